import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.model import ImgDataPreprocessor
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as TF

from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers.contract import InputContract, contract_of, convert, loaded_order
from mtkd_rl.teachers.openmmlab import packaged

torch.set_num_threads(1)

IMAGENET = {'mean': (123.675, 116.28, 103.53), 'std': (58.395, 57.12, 57.375)}


def pictures(size: tuple[int, int] = (8, 6), batch: int = 2) -> Tensor:
    """Random RGB pictures, uint8 ``(B, 3, H, W)``."""
    return torch.randint(0, 256, (batch, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def normalised(rgb: Tensor, contract: InputContract) -> Tensor:
    """By hand: what a model with this contract should see of RGB pictures."""
    x = rgb.double()
    if contract.channel_order == 'bgr':
        x = x[:, [2, 1, 0]]
    if contract.mean is None or contract.std is None:
        return x.float()
    stats = (torch.tensor(values, dtype=torch.float64).view(1, -1, 1, 1) for values in (contract.mean, contract.std))
    mean, std = stats
    return ((x - mean) / std).float()


numbers = st.floats(1, 255, allow_nan=False, width=32)
triples = st.tuples(numbers, numbers, numbers) | st.tuples(numbers)


@st.composite
def contracts(draw) -> InputContract:
    normalise = draw(st.booleans())
    return InputContract(
        mean=draw(triples) if normalise else None,
        std=draw(triples) if normalise else None,
        channel_order=draw(st.sampled_from(['rgb', 'bgr'])),
    )


@settings(max_examples=100, deadline=None)
@given(source=contracts(), target=contracts())
def test_the_teacher_sees_what_its_own_pipeline_would_make(source, target):
    rgb = pictures()
    expected = normalised(rgb, target)
    actual = convert(normalised(rgb, source), source, target)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-2)


@settings(max_examples=50, deadline=None)
@given(source=contracts(), target=contracts())
def test_there_and_back_again(source, target):
    x = normalised(pictures(), source)
    torch.testing.assert_close(convert(convert(x, source, target), target, source), x, rtol=1e-4, atol=1e-2)


@settings(max_examples=25, deadline=None)
@given(source=contracts(), target=contracts(), share=st.floats(0, 1))
def test_mixing_before_or_after_is_the_same(source, target, share):
    one, other = normalised(pictures(batch=2), source).split(1)
    mixed = convert(share * one + (1 - share) * other, source, target)
    expected = share * convert(one, source, target) + (1 - share) * convert(other, source, target)
    torch.testing.assert_close(mixed, expected, rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize('source', [InputContract(**IMAGENET, channel_order='rgb'), InputContract()])
@pytest.mark.parametrize('order', ['rgb', None])
def test_the_same_tensor_when_nothing_differs(source, order):
    x = torch.rand(2, 3, 4, 4)
    assert convert(x, source, source._replace(channel_order=order, size=(4, 4), channels=3)) is x


def test_the_same_tensor_for_the_same_numbers_written_in_another_way():
    from mmpretrain.models.utils import ClsDataPreprocessor

    student = contract_of(ClsDataPreprocessor(**IMAGENET, to_rgb=True), 'bgr')
    teacher = InputContract(
        mean=tuple(255 * value for value in (0.485, 0.456, 0.406)),
        std=tuple(255 * value for value in (0.229, 0.224, 0.225)),
        channel_order='rgb',
    )
    x = torch.rand(2, 3, 4, 4)
    assert convert(x, student, teacher) is x


def test_only_the_order_differs():
    x = torch.rand(2, 3, 4, 4)
    bgr = InputContract(channel_order='bgr')
    assert torch.equal(convert(x, InputContract(channel_order='rgb'), bgr), x[:, [2, 1, 0]])
    assert convert(x, InputContract(), bgr) is x


def test_from_a_real_student_to_a_real_torchvision_teacher():
    from mmpretrain.models.utils import ClsDataPreprocessor
    from torchvision.models import ResNet18_Weights

    rgb = pictures(size=(224, 224))
    preprocessor = ClsDataPreprocessor(mean=[10.0, 20.0, 30.0], std=[50.0, 60.0, 70.0], to_rgb=True)
    batch = preprocessor({'inputs': list(rgb[:, [2, 1, 0]])})['inputs']
    expected = ResNet18_Weights.IMAGENET1K_V1.transforms(resize_size=224)(rgb)

    teacher = InputContract(**IMAGENET, channel_order='rgb')
    actual = convert(batch, contract_of(preprocessor, 'bgr'), teacher)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_grey_becomes_colour_by_repetition():
    grey = torch.rand(2, 1, 4, 4)
    source = InputContract(mean=(10.0,), std=(2.0,))
    expected = normalised((grey * 2 + 10).expand(-1, 3, -1, -1), InputContract(**IMAGENET))
    torch.testing.assert_close(convert(grey, source, InputContract(**IMAGENET, channel_order='bgr')), expected)
    raw = convert(grey, InputContract(), InputContract(channels=3))
    assert torch.equal(raw, grey.expand(-1, 3, -1, -1))


@pytest.mark.parametrize('order', ['rgb', 'bgr'])
def test_colour_becomes_grey_as_pillow_does_it(order):
    rgb = pictures()
    source = InputContract(**IMAGENET, channel_order=order)
    target = InputContract(mean=(33.0,), std=(78.0,), channels=1)
    grey = convert(normalised(rgb, source), source, target)
    for picture, values in zip(rgb, grey):
        expected = np.asarray(Image.fromarray(picture.permute(1, 2, 0).numpy()).convert('L'), dtype=np.float32)
        assert values.shape == (1, 8, 6)
        np.testing.assert_allclose(values[0].numpy() * 78 + 33, expected, atol=1.0)  # pillow rounds to integers


def test_one_mean_is_for_all_channels_unless_the_teacher_is_known_to_be_grey():
    x = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(convert(x, InputContract(), InputContract(mean=(1.0,), std=(2.0,))), (x - 1) / 2)


@pytest.mark.parametrize('size', [(4, 3), (5, 9), (16, 12)])
def test_resizing_as_pillow_does_it(size):
    rgb = pictures()
    resized = convert(rgb.float(), InputContract(), InputContract(size=size))
    assert resized.shape == (2, 3, *size)
    for channel, values in zip(rgb.flatten(0, 1), resized.flatten(0, 1)):
        image = Image.fromarray(channel.numpy().astype(np.float32))
        expected = np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
        np.testing.assert_allclose(values.numpy(), expected, atol=1e-2)


def test_normalising_and_resizing_together():
    source, target = InputContract(**IMAGENET), InputContract(mean=(127.5,), std=(127.5,), size=(5, 5))
    rgb = pictures()
    expected = (TF.resize(rgb.float(), [5, 5], antialias=True) - 127.5) / 127.5
    torch.testing.assert_close(convert(normalised(rgb, source), source, target), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float64])
def test_the_dtype_stays(dtype):
    x = torch.rand(2, 3, 4, 4).to(dtype)
    assert convert(x, InputContract(), InputContract(**IMAGENET)).dtype is dtype


def test_constants_made_in_inference_mode_serve_training():
    source, target = InputContract(**IMAGENET), InputContract(mean=(1.5,), std=(2.5,))
    with torch.inference_mode():
        convert(torch.rand(1, 3, 2, 2), source, target)
    x = torch.rand(1, 3, 2, 2, requires_grad=True)
    convert(x, source, target).sum().backward()
    expected = torch.tensor(IMAGENET['std']).view(3, 1, 1).expand(1, 3, 2, 2) / 2.5
    torch.testing.assert_close(x.grad, expected)


@pytest.mark.parametrize(
    ('channels', 'source', 'target', 'message'),
    [
        (4, InputContract(), InputContract(channels=3), 'pictures of 4 channels, a teacher takes 3'),
        (1, InputContract(), InputContract(channels=4), 'pictures of 1 channels, a teacher takes 4'),
        (4, InputContract(**IMAGENET), InputContract(), "the student's mean has 3 values"),
        (3, InputContract(), InputContract(**IMAGENET, channels=1), "the teacher's mean has 3 values"),
    ],
)
def test_what_cannot_be_converted_is_refused(channels, source, target, message):
    with pytest.raises(MTKDError, match=message):
        convert(torch.rand(1, channels, 2, 2), source, target)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_a_step_copies_no_constants_to_the_device():
    source, target = InputContract(**IMAGENET), InputContract(mean=(7.0,), std=(8.0,), size=(3, 3))
    x = torch.rand(2, 3, 4, 4, device='cuda')
    convert(x, source, target)
    torch.cuda.set_sync_debug_mode('error')
    try:
        assert convert(x, source, target).device == x.device
    finally:
        torch.cuda.set_sync_debug_mode('default')


@pytest.mark.parametrize(
    ('flag', 'loaded', 'order'),
    [
        (True, 'bgr', 'rgb'),
        (True, 'rgb', 'bgr'),
        (True, None, 'rgb'),
        (False, 'bgr', 'bgr'),
        (False, 'rgb', 'rgb'),
        (False, None, None),
    ],
)
def test_contracts_of_real_preprocessors(flag, loaded, order):
    from mmpretrain.models.utils import ClsDataPreprocessor

    for preprocessor in (
        ClsDataPreprocessor(**IMAGENET, to_rgb=flag),
        ImgDataPreprocessor(**IMAGENET, bgr_to_rgb=flag),
        ImgDataPreprocessor(**IMAGENET, rgb_to_bgr=flag),
    ):
        assert contract_of(preprocessor, loaded) == InputContract(**IMAGENET, channel_order=order)


def test_contract_without_normalisation_and_with_one_mean():
    assert contract_of(ImgDataPreprocessor(), 'bgr') == InputContract(channel_order='bgr')
    one = contract_of(ImgDataPreprocessor(mean=[127], std=[0.1]), 'bgr')
    assert (one.mean, one.std) == ((127.0,), (0.1,))


@pytest.mark.parametrize(
    ('config', 'order'),
    [
        ('mmpretrain::resnet/resnet50_8xb32_in1k.py', 'bgr'),
        ('mmpretrain::resnet/resnet18_8xb16_cifar10.py', 'rgb'),
        ('mmpretrain::spark/benchmarks/resnet50_8xb256-coslr-300e_in1k.py', 'bgr'),
        ('mmdet::retinanet/retinanet_r50_fpn_1x_coco.py', 'bgr'),
        ('mmdet::yolox/yolox_s_8xb8-300e_coco.py', 'bgr'),  # loads in the data set that Mosaic wraps
        ('mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py', 'bgr'),
    ],
)
def test_loaded_order_of_real_configs(config, order):
    assert loaded_order(Config.fromfile(packaged(config))) == order


@pytest.mark.parametrize(
    ('pipeline', 'order'),
    [
        ([{'type': 'PackInputs'}], 'rgb'),
        ([{'type': 'LoadImageFromFile', 'channel_order': 'rgb'}], 'rgb'),
        ([{'type': 'mmcv.LoadImageFromFile'}, {'type': 'NumpyToPIL', 'to_rgb': True}], 'rgb'),
        ([{'type': 'LoadImageFromFile'}, {'type': 'NumpyToPIL', 'to_rgb': False}], 'bgr'),
    ],
)
def test_loaded_order_follows_the_pipeline(pipeline, order):
    dataset = {'type': 'RepeatDataset', 'dataset': {'type': 'ConcatDataset', 'datasets': [{'pipeline': pipeline}]}}
    assert loaded_order({'test_dataloader': {'dataset': dataset}}) == order
    assert loaded_order(Config({'train_dataloader': {'dataset': dataset}})) == order


@pytest.mark.parametrize('cfg', [{}, {'train_dataloader': None}, {'train_dataloader': {'dataset': {'type': 'X'}}}])
def test_loaded_order_is_unknown_without_a_pipeline(cfg):
    assert loaded_order(cfg) is None
