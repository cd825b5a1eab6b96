"""Classifiers of many families as students and as teachers; an iteration each, with gradients."""

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mtkd_rl.distiller import Distiller
from mtkd_rl.errors import MTKDError
from mtkd_rl.losses import build_loss
from mtkd_rl.tasks import Classification, MultiLabel, find_task
from mtkd_rl.teachers import build_pool, contract_of
from mtkd_rl.teachers.openmmlab import packaged
from mtkd_rl.weighting import PPOWeighting

PIXELS = dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375])
GAP = dict(type='GlobalAveragePooling')
LOSS = dict(type='CrossEntropyLoss', loss_weight=1.0)


def linear(width):
    return dict(type='LinearClsHead', num_classes=10, in_channels=width, loss=LOSS)


VIT = dict(embed_dims=32, num_layers=2, num_heads=2, feedforward_channels=64)
FAMILIES = {
    'ResNet': dict(backbone=dict(type='ResNet', depth=18, base_channels=8, stem_channels=8), neck=GAP, head=linear(64)),
    'MobileNetV2': dict(backbone=dict(type='MobileNetV2', widen_factor=0.25), neck=GAP, head=linear(1280)),
    'MobileNetV3': dict(
        backbone=dict(type='MobileNetV3', arch='small'),
        neck=GAP,
        head=dict(
            type='StackedLinearClsHead',
            num_classes=10,
            in_channels=576,
            mid_channels=[32],
            dropout_rate=0.2,
            act_cfg=dict(type='HSwish'),
            loss=LOSS,
        ),
    ),
    'ShuffleNetV2': dict(backbone=dict(type='ShuffleNetV2', widen_factor=0.5), neck=GAP, head=linear(1024)),
    'EfficientNet': dict(backbone=dict(type='EfficientNet', arch='b0'), neck=GAP, head=linear(1280)),
    'LeNet5': dict(backbone=dict(type='LeNet5', num_classes=10), head=dict(type='ClsHead', loss=LOSS)),
    'RepVGG': dict(backbone=dict(type='RepVGG', arch='A0'), neck=GAP, head=linear(1280)),
    'ConvNeXt': dict(
        backbone=dict(type='ConvNeXt', arch=dict(depths=[1, 1, 1, 1], channels=[8, 16, 24, 32])), head=linear(32)
    ),
    'ViT': dict(
        backbone=dict(type='VisionTransformer', arch=VIT, img_size=32, patch_size=8),
        head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=32, loss=LOSS),
    ),
    'ViT with a hidden layer': dict(
        backbone=dict(type='VisionTransformer', arch=VIT, img_size=32, patch_size=8),
        head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=32, hidden_dim=24, loss=LOSS),
    ),
    'DeiT': dict(
        backbone=dict(type='DistilledVisionTransformer', arch=VIT, img_size=32, patch_size=8),
        head=dict(type='DeiTClsHead', num_classes=10, in_channels=32, loss=LOSS),
    ),
    'Swin': dict(
        backbone=dict(
            type='SwinTransformer',
            arch=dict(embed_dims=16, depths=[1, 1], num_heads=[1, 2]),
            img_size=32,
            out_indices=(1,),
            window_size=4,
        ),
        neck=GAP,
        head=linear(32),
    ),
    'Conformer': dict(
        backbone=dict(type='Conformer', arch='tiny'),
        head=dict(type='ConformerHead', num_classes=10, in_channels=[256, 384], loss=LOSS),
    ),
}
MINE = dict(mine=dict(type='Callable', build=f'{__name__}.Plain'))
AUGMENTS = dict(MobileNetV2='CutMix', ViT='Mixup', Conformer='Mixup', Swin='CutMix')
# Two heads: their own loss is the sum of both.
SEVERAL_LOSSES = ('Conformer',)


def model_of(family, **more):
    pixels = dict(mean=[127.5], std=[127.5]) if family == 'LeNet5' else PIXELS
    cfg = dict(type='ImageClassifier', data_preprocessor=dict(num_classes=10, **pixels), **FAMILIES[family], **more)
    return MODELS.build(ConfigDict(cfg))


def picture_of(family):
    channels = 1 if family == 'LeNet5' else 3
    return torch.randint(0, 256, (4, channels, 32, 32), generator=torch.Generator().manual_seed(0))


def distiller_of(student, teachers, **options):
    source = contract_of(student.data_preprocessor, 'rgb')
    return Distiller(
        student,
        build_pool(teachers, temperature=4.0, source=source),
        find_task(student),
        source,
        PPOWeighting(rollout=4, batch_size=4),
        logit_loss=build_loss(dict(type='KD'), 'logit'),
        feature_loss=build_loss(dict(type='MSE'), 'feature'),
        **dict(logit_weight=1.0, feature_weight=1.0, student_layer=None, seed=0) | options,
    )


def step(distiller, pictures):
    """One iteration: the student's own losses, and what came of the lesson; gradients are of the lesson alone."""
    student = distiller.student
    samples = [DataSample().set_gt_label(i) for i in range(len(pictures))]
    data = student.data_preprocessor(dict(inputs=list(pictures), data_samples=samples), training=True)
    student.train()
    distiller.student_taps.start()
    own = student(**data, mode='loss')
    lesson = distiller.lesson(**data, losses=own, factor=1.0)
    student.zero_grad()
    sum(lesson.losses.values()).backward()
    distiller.strategy.learn(lesson.feedback)
    return own, lesson


@pytest.mark.parametrize('family', FAMILIES)
def test_a_student_of_every_family(family):
    augments = dict(type=AUGMENTS[family], alpha=1.0) if family in AUGMENTS else None
    student = model_of(family, train_cfg=dict(augments=augments) if augments else None)
    student.init_weights()
    channels = picture_of(family).shape[1]
    teacher = dict(type='Callable', build=f'{__name__}.Plain', args=dict(channels=channels))
    distiller = distiller_of(student, dict(plain=teacher))
    own, lesson = step(distiller, picture_of(family))
    state = lesson.feedback.state
    assert state.present.all()
    assert all(torch.isfinite(loss) for loss in lesson.losses.values())
    if family not in SEVERAL_LOSSES:  # the logits that were tapped are those of the student's own loss
        torch.testing.assert_close(state.student.task_loss.mean(), own['loss'].detach(), rtol=1e-4, atol=1e-5)
    if augments:
        assert ((state.target > 0).sum(dim=1) <= 2).all()
        torch.testing.assert_close(state.target.sum(dim=1), torch.ones(4))
    else:
        assert torch.equal(state.target, torch.eye(10)[:4])
    first = next(parameter for parameter in student.backbone.parameters() if parameter.requires_grad)
    assert torch.isfinite(first.grad).all()
    assert first.grad.any()
    assert distiller.strategy.agent.ppo._n_updates > 0


class Plain(nn.Module):
    """A teacher of no library."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(channels, 6, 3, 4), nn.Linear(6, 10)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean(dim=(2, 3)))


@pytest.mark.parametrize('family', [name for name in FAMILIES if name != 'LeNet5'])
def test_a_teacher_of_every_family(family):
    cfg = dict(type='ImageClassifier', data_preprocessor=dict(num_classes=10, **PIXELS), **FAMILIES[family])
    distiller = distiller_of(model_of('ResNet'), dict(t=dict(config=cfg, checkpoint='random')))
    _, lesson = step(distiller, picture_of(family))
    told = lesson.feedback.state.teachers[0]
    teacher = distiller.teachers[0].model
    inputs = distiller.student.data_preprocessor(dict(inputs=list(picture_of(family))))['inputs']
    said = teacher(inputs)
    torch.testing.assert_close(told.logits, sum(said) if isinstance(said, list | tuple) else said)
    torch.testing.assert_close(told.logits.softmax(dim=1), torch.stack([s.pred_score for s in teacher.predict(inputs)]))
    assert told.feature[0].dim() in (2, 3, 4)
    assert all(torch.isfinite(loss) for loss in lesson.losses.values())


def test_teachers_of_every_library_in_one_pool():
    teachers = dict(
        mm=dict(config=dict(type='ImageClassifier', **FAMILIES['ResNet']), checkpoint='random'),
        tv=dict(type='Torchvision', model='squeezenet1_1', num_classes=10, checkpoint='random'),
        tv2=dict(type='Torchvision', model='shufflenet_v2_x0_5', num_classes=10, checkpoint='random'),
        tm=dict(type='Timm', model='test_vit', num_classes=10, checkpoint='random'),
        tm2=dict(type='Timm', model='test_resnet', num_classes=10, checkpoint='random', input_size=64),
        **MINE,
    )
    distiller = distiller_of(model_of('ShuffleNetV2'), teachers)
    _, lesson = step(distiller, picture_of('ShuffleNetV2'))
    state = lesson.feedback.state
    assert state.present.all()
    for teacher, told in zip(distiller.teachers, state.teachers):
        assert told.feature[0].dim() in (3, 4), teacher.name
        last = [module for module in teacher.model.modules() if isinstance(module, nn.Linear)]
        if last:
            torch.testing.assert_close(told.logits, last[-1](told.embedding), rtol=1e-3, atol=1e-4)
    assert lesson.feedback.decision.logit.shape == (4, len(teachers))


def test_a_wrapped_model_of_timm_is_a_student():
    cfg = dict(type='TimmClassifier', model_name='test_resnet', num_classes=10, loss=LOSS, data_preprocessor=PIXELS)
    student = MODELS.build(ConfigDict(cfg))
    own, lesson = step(distiller_of(student, MINE), picture_of('ViT'))
    torch.testing.assert_close(lesson.feedback.state.student.task_loss.mean(), own['loss'].detach())


def test_a_frozen_backbone_is_taught_where_it_can_learn():
    student = model_of('ResNet')
    student.backbone.requires_grad_(False)
    _, lesson = step(distiller_of(student, MINE), picture_of('ResNet'))
    assert student.head.fc.weight.grad.any()
    assert not lesson.feedback.credit['feature'].alignment.any()


@pytest.mark.parametrize('head', [dict(type='RegressionHead'), None])
def test_students_of_no_known_task(head):
    cfg = dict(type='ImageClassifier', **FAMILIES['ResNet'] | dict(head=head))
    student = nn.Linear(2, 2) if head is None else MODELS.build(ConfigDict(cfg))
    assert not Classification.accepts(student)
    with pytest.raises(MTKDError, match=r'use a classifier of mmpretrain'):
        find_task(student)


def test_groups_are_the_labelled_classes():
    scores = ([0.0, 1.0, 0.0], [0.7, 0.0, 0.3])
    samples = [DataSample().set_gt_label(1).set_gt_score(torch.tensor(score)) for score in scores]
    batch = Classification().read(torch.zeros(2, 1, 4, 4), samples, dict(logits=torch.zeros(2, 3)))
    assert batch.group.tolist() == [1, 0]


@pytest.mark.slow
@pytest.mark.parametrize(
    'name',
    [
        'resnet/resnet18_8xb32_in1k',
        'mobilenet_v2/mobilenet-v2_8xb32_in1k',
        'mobilenet_v3/mobilenet-v3-small_8xb128_in1k',
        'shufflenet_v2/shufflenet-v2-1x_16xb64_in1k',
        'vision_transformer/vit-base-p32_64xb64_in1k-384px',
        'swin_transformer/swin-tiny_16xb64_in1k',
        'convnext/convnext-tiny_32xb128_in1k',
        'efficientnet/efficientnet-b0_8xb32_in1k',
        'deit/deit-tiny_4xb256_in1k',
        'conformer/conformer-tiny-p16_8xb128_in1k',
        'regnet/regnetx-400mf_8xb128_in1k',
        'mlp_mixer/mlp-mixer-base-p16_64xb64_in1k',
        'densenet/densenet121_4xb256_in1k',
        'hrnet/hrnet-w18_4xb32_in1k',
    ],
)
def test_configs_of_mmpretrain_as_they_are(name):
    cfg = Config.fromfile(packaged(f'mmpretrain::{name}.py'))
    cfg.model.data_preprocessor = cfg.data_preprocessor
    student = MODELS.build(cfg.model)
    size = 384 if '384px' in name else 224
    teacher = dict(type='Torchvision', model='squeezenet1_1', num_classes=1000, checkpoint='random', input_size=64)
    _, lesson = step(distiller_of(student, dict(t=teacher)), torch.randint(0, 256, (2, 3, size, size)))
    assert all(torch.isfinite(loss) for loss in lesson.losses.values())


def test_a_multi_label_student():
    """Its logits are compared class by class, as binary cross-entropies and divergences."""
    head = dict(type='MultiLabelLinearClsHead', num_classes=10, in_channels=FAMILIES['ResNet']['head']['in_channels'])
    cfg = dict(type='ImageClassifier', **FAMILIES['ResNet'] | dict(head=head))
    student = MODELS.build(ConfigDict(cfg))
    assert isinstance(find_task(student), MultiLabel)
    distiller = distiller_of(student, dict(a=MINE['mine']))
    pictures = picture_of('ResNet')
    samples = [DataSample().set_gt_label([i, i + 3]) for i in range(len(pictures))]
    data = student.data_preprocessor(dict(inputs=list(pictures), data_samples=samples), training=True)
    student.train()
    distiller.student_taps.start()
    own = student(**data, mode='loss')
    lesson = distiller.lesson(**data, losses=own, factor=1.0)
    state = lesson.feedback.state
    assert state.target is None
    assert state.group.tolist() == [0, 1, 2, 3]
    torch.testing.assert_close(state.student.task_loss.mean(), own['loss'].detach(), rtol=1e-4, atol=1e-5)

    def binary(logits):
        return torch.distributions.Bernoulli(logits=logits / 4)

    ours, theirs = binary(state.student.logits), binary(state.teachers[0].logits)
    expected = 16 * torch.distributions.kl_divergence(theirs, ours).sum(dim=1)
    torch.testing.assert_close(lesson.feedback.knowledge.logit[:, 0], expected, rtol=1e-4, atol=1e-5)
    sum(lesson.losses.values()).backward()
    assert student.head.fc.weight.grad.any()
