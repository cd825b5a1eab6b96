"""The backbones: sizes against arithmetic and published figures, shapes, and a step that reaches every weight."""

from collections.abc import Callable

import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.registry import MODELS as MMPRETRAIN_MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.models import (
    CIFARMobileNetV2,
    CIFARRegNet,
    CIFARResNet,
    CIFARShuffleNetV2,
    TinyConvNet,
    WideResNet,
)

PICTURE = (3, 32, 32)

# name: backbone, feature map of one picture, parameters with a classifier of 100 classes. The counts are those of the
# authors' code (winycg/MTKD-RL, models/), built with num_classes=100 and counted; CRD (Tian et al., 2020) reports
# 0.86M, 7.43M, 0.81M and 1.36M for ResNet-56, ResNet32x4, MobileNetV2 and ShuffleNetV2.
PAPER = {
    'ResNet-20': ({'type': 'CIFARResNet', 'depth': 20}, (64, 8, 8), 278_324),
    'ResNet-56': ({'type': 'CIFARResNet', 'depth': 56}, (64, 8, 8), 861_620),
    'ResNet32x4': (
        {'type': 'CIFARResNet', 'depth': 32, 'stem_channels': 32, 'base_channels': 64},
        (256, 8, 8),
        7_433_860,
    ),
    'WRN-28-4': ({'type': 'WideResNet', 'depth': 28, 'widen_factor': 4}, (256, 8, 8), 5_872_180),
    'RegNetX-200MF': ({'type': 'CIFARRegNet', 'arch': 'x_200mf'}, (368, 8, 8), 2_355_156),
    'RegNetX-400MF': ({'type': 'CIFARRegNet', 'arch': 'x_400mf'}, (384, 8, 8), 4_813_988),
    'RegNetY-400MF': ({'type': 'CIFARRegNet', 'arch': 'y_400mf'}, (384, 8, 8), 5_749_012),
    'MobileNetV2': ({'type': 'CIFARMobileNetV2'}, (1280, 2, 2), 812_836),
    'ShuffleNetV2': ({'type': 'CIFARShuffleNetV2'}, (1024, 4, 4), 1_355_528),
}


def classifier(backbone: dict[str, object], channels: int, classes: int) -> nn.Module:
    """An ImageClassifier with the backbone named as a config names it."""
    init_default_scope('mmpretrain')
    return MMPRETRAIN_MODELS.build(
        {
            'type': 'ImageClassifier',
            'backbone': {**backbone, 'type': f'mtkd_rl.{backbone["type"]}'},
            'neck': {'type': 'GlobalAveragePooling'},
            'head': {
                'type': 'LinearClsHead',
                'num_classes': classes,
                'in_channels': channels,
                'loss': {'type': 'CrossEntropyLoss'},
            },
        }
    )


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize('name', PAPER)
def test_size_and_feature_map(name: str) -> None:
    backbone, shape, parameters = PAPER[name]
    model = classifier(backbone, shape[0], classes=100).eval()
    assert count(model) == parameters
    with torch.no_grad():
        features = model.backbone(torch.randn(2, *PICTURE))
    assert isinstance(features, tuple)
    assert [tuple(feature.shape) for feature in features] == [(2, *shape)]


def regnet_parameters(
    depths: tuple[int, ...], widths: tuple[int, ...], strides: tuple[int, ...], group: int, se: float
) -> int:
    """Parameters of a RegNet (Radosavovic et al., 2020) without classifier, summed layer by layer."""
    channels = 64
    total = 3 * 9 * channels + 2 * channels
    for depth, width, stride in zip(depths, widths, strides):
        for position in range(depth):
            total += channels * width + 9 * width * group + width * width + 3 * 2 * width
            if position == 0 and (stride == 2 or channels != width):
                total += channels * width + 2 * width
            if se:
                squeezed = round(se * channels)
                total += 2 * width * squeezed + squeezed + width
            channels = width
    return total


@pytest.mark.parametrize(
    ('arch', 'depths', 'widths', 'group', 'se'),
    [
        ('x_200mf', (1, 1, 4, 7), (24, 56, 152, 368), 8, 0.0),
        ('x_400mf', (1, 2, 7, 12), (32, 64, 160, 384), 16, 0.0),
        ('y_400mf', (1, 2, 7, 12), (32, 64, 160, 384), 16, 0.25),
    ],
)
def test_regnet_by_arithmetic(
    arch: str, depths: tuple[int, ...], widths: tuple[int, ...], group: int, se: float
) -> None:
    assert count(CIFARRegNet(arch)) == regnet_parameters(depths, widths, (1, 1, 2, 2), group, se)


def test_regnet_groups_have_the_width_of_the_arch() -> None:
    grouped = [m for m in CIFARRegNet('x_400mf').stages.modules() if isinstance(m, nn.Conv2d) and m.kernel_size[0] == 3]
    assert len(grouped) == 22
    assert {m.out_channels // m.groups for m in grouped} == {16}


def test_tiny_by_arithmetic() -> None:
    expected = 9 * (1 * 4 + 4 * 8 + 8 * 16) + 2 * (4 + 8 + 16)
    assert count(TinyConvNet(widths=(4, 8, 16), in_channels=1)) == expected


@pytest.mark.parametrize(('size', 'left'), [(8, 2), (9, 3), (1, 1)])
def test_tiny_takes_any_size(size: int, left: int) -> None:
    (feature,) = TinyConvNet(widths=(4, 8, 16), in_channels=1)(torch.randn(2, 1, size, size))
    assert feature.shape == (2, 16, left, left)


@pytest.mark.parametrize(
    'backbone',
    [
        {'type': 'CIFARResNet', 'depth': 8},
        {'type': 'WideResNet', 'depth': 10, 'widen_factor': 1},
        {'type': 'CIFARRegNet', 'arch': 'x_200mf'},
        {'type': 'CIFARRegNet', 'arch': 'y_400mf'},
        {'type': 'CIFARMobileNetV2'},
        {'type': 'CIFARShuffleNetV2', 'widen_factor': 0.5},
        {'type': 'TinyConvNet', 'widths': (4, 8)},
    ],
    ids=lambda backbone: '-'.join(str(value) for value in backbone.values()),
)
def test_one_step_moves_every_parameter(backbone: dict[str, object]) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(4, *PICTURE)
    width = MMPRETRAIN_MODELS.build({**backbone, 'type': f'mtkd_rl.{backbone["type"]}'})(inputs)[0].shape[1]
    model = classifier(backbone, width, classes=3)
    model.init_weights()
    # In float32 a step of 1e-8 on a BatchNorm weight of 1 is lost.
    model, inputs = model.double(), inputs.double()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 0)]
    loss = model(inputs, samples, mode='loss')['loss']
    loss.backward()
    optimizer.step()
    assert torch.isfinite(loss)
    still = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert still == []


@pytest.mark.parametrize('backbone', [CIFARRegNet('y_400mf'), WideResNet(10, 1), CIFARMobileNetV2(), TinyConvNet()])
def test_weights_start_as_kaiming_says(backbone: nn.Module) -> None:
    backbone.init_weights()
    widest = max((m for m in backbone.modules() if isinstance(m, nn.Conv2d)), key=lambda m: m.weight.numel())
    fan_out = widest.out_channels * widest.kernel_size[0] ** 2
    assert widest.weight.std().item() == pytest.approx((2 / fan_out) ** 0.5, rel=0.05)


@pytest.mark.parametrize(
    ('build', 'said'),
    [
        (lambda: CIFARResNet(18), 'depth=18'),
        (lambda: CIFARResNet(2), 'depth=2'),
        (lambda: WideResNet(30), 'depth=30'),
        (lambda: CIFARRegNet('x_401mf'), 'x_400mf'),
    ],
)
def test_wrong_options(build: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(MTKDError, match=said) as error:
        build()
    assert '\n' not in str(error.value)


def test_other_channel_counts() -> None:
    gray = torch.randn(2, 1, 32, 32)
    assert CIFARResNet(8, in_channels=1)(gray)[0].shape == (2, 64, 8, 8)
    assert CIFARShuffleNetV2(0.5, in_channels=1)(gray)[0].shape == (2, 1024, 4, 4)
