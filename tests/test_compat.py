"""mmcv's operators over torchvision and plain torch, each as mmcv calls it, against something that is neither."""

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd import gradcheck

import mtkd_rl.compat  # noqa: F401

from mmcv import ops  # isort: skip
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction, multi_scale_deformable_attn_pytorch

ROOT = Path(__file__).parents[1]


def python(code: str, *args: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, in which nothing is imported."""
    command = [sys.executable, '-W', 'ignore', '-c', code, *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def printed(code: str, *args: str) -> str:
    done = python(code, *args)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def double(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, requires_grad=True)


# importing


def test_importing_is_light():
    code = 'import sys, mtkd_rl.compat; print(sorted(m for m in sys.modules if m.split(".")[0] in sys.argv[1:]))'
    assert printed(code, 'torch', 'torchvision', 'numpy', 'mmcv', 'mmengine', 'mtkd_rl') == (
        "['mtkd_rl', 'mtkd_rl.compat']"
    )


@pytest.mark.slow
def test_the_models_need_nothing_else_of_mtkd_rl():
    code = """
import mtkd_rl.compat, sys, mmdet.models, mmseg.models
print(sorted({m.split('.')[1] for m in sys.modules if m.startswith('mtkd_rl.')}))
"""
    assert printed(code) == "['compat']"


@pytest.mark.parametrize('first', ['mtkd_rl', 'mtkd_rl.compat'])
def test_mmcv_finds_the_extension(first):
    code = f"""
import {first}
from mmengine.model.utils import mmcv_full_available
import mmcv.ops, mmcv._ext
assert mmcv_full_available() and mmcv._ext.__spec__.name == 'mmcv._ext'
print(mmcv.ops.get_compiler_version())
"""
    assert printed(code) == ops.get_compiler_version()


@pytest.mark.slow
def test_a_config_that_imports_mtkd_rl_is_enough(tmp_path):
    config = tmp_path / 'config.py'
    config.write_text("custom_imports = dict(imports=['mtkd_rl'])\n")
    code = """
import sys
from mmengine.config import Config
Config.fromfile(sys.argv[1])
import mmdet.models
print(mmdet.models.RetinaNet.__name__)
"""
    assert printed(code, str(config)) == 'RetinaNet'


@pytest.mark.parametrize('early', [True, False])
def test_a_compiled_extension_goes_first(tmp_path, early):
    (tmp_path / '_ext.py').write_text("compiled = 'yes'\n")
    lines = ['import mtkd_rl.compat', 'import mmcv, sys; mmcv.__path__.append(sys.argv[1])']
    code = '\n'.join([*(lines if early else lines[::-1]), 'import mmcv._ext; print(mmcv._ext.compiled)'])
    assert printed(code, str(tmp_path)) == 'yes'


@pytest.mark.slow
def test_importing_again_after_a_failure():
    code = """
try:
    import mmcv.ops
except ImportError:
    pass
import mtkd_rl.compat
import mmcv.ops
print(mmcv.ops.get_compiler_version())
"""
    assert printed(code) == ops.get_compiler_version()


# what is not there


def test_an_operator_that_is_nowhere_raises_by_name():
    boxes = torch.tensor([[10.0, 10, 4, 4, 0.1]])
    with pytest.raises(RuntimeError, match=r'^operator nms_rotated: mmcv .* install mmcv with compiled operators$'):
        ops.nms_rotated(boxes, torch.ones(1), 0.5)
    with pytest.raises(RuntimeError, match=r"^operator roi_align_forward with pool_mode='max': "):
        ops.roi_align(torch.ones(1, 1, 4, 4), torch.tensor([[0.0, 0, 0, 2, 2]]), (1, 1), 1.0, 0, 'max', True)


def test_without_torchvision_only_what_needs_it_raises():
    code = """
import sys
sys.modules['torchvision'] = None  # an import of it fails
import mtkd_rl.compat, torch
from mmcv import ops
print(ops.bbox_overlaps(torch.tensor([[0., 0, 2, 2]]), torch.tensor([[1., 0, 3, 2]])).item())
ops.nms(torch.zeros(1, 4), torch.ones(1), 0.5)
"""
    done = python(code)
    assert float(done.stdout) == pytest.approx(1 / 3)
    assert done.stderr.strip().splitlines()[-1].startswith('RuntimeError: operator nms: mmcv was installed without')


# boxes

BOXES = torch.tensor([[0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10], [30, 30, 40, 40], [30, 30, 40, 35]]).float()
SCORES = torch.tensor([0.8, 0.9, 0.3, 0.5, 0.95])


def iou(a: list[float], b: list[float], offset: int = 0) -> float:
    wide = min(a[2], b[2]) - max(a[0], b[0]) + offset
    high = min(a[3], b[3]) - max(a[1], b[1]) + offset
    inter = max(wide, 0) * max(high, 0)
    areas = [(box[2] - box[0] + offset) * (box[3] - box[1] + offset) for box in (a, b)]
    return inter / (sum(areas) - inter)


def test_nms():
    dets, kept = ops.nms(BOXES, SCORES, 0.49)
    assert kept.tolist() == [4, 1]
    assert torch.equal(dets, torch.cat([BOXES[kept], SCORES[kept, None]], 1))
    assert ops.nms(BOXES, SCORES, 0.51)[1].tolist() == [4, 1, 3]
    assert ops.nms(BOXES, SCORES, 0.82)[1].tolist() == [4, 1, 0, 3]  # 9 of 11
    assert ops.nms(BOXES, SCORES, 0.49, max_num=1)[1].tolist() == [4]
    assert ops.nms(BOXES, SCORES, 0.82, score_threshold=0.6)[1].tolist() == [4, 1, 0]
    assert ops.nms(BOXES[:0], SCORES[:0], 0.5)[1].shape == (0,)


def test_nms_with_an_offset():
    a, b = [0, 0, 9, 9], [4, 3, 13, 12]
    boxes, scores = torch.tensor([a, b]).float(), torch.tensor([0.9, 0.8])
    threshold = (iou(a, b) + 3 * iou(a, b, 1)) / 4  # not passed with an offset in one direction alone
    assert ops.nms(boxes, scores, threshold)[1].tolist() == [0, 1]
    assert ops.nms(boxes, scores, threshold, offset=1)[1].tolist() == [0]


def test_nms_in_half_precision_and_of_several_classes():
    assert ops.nms(BOXES.half(), SCORES.half(), 0.51)[1].tolist() == [4, 1, 3]
    classes = torch.tensor([0, 1, 0, 0, 1])
    assert ops.batched_nms(BOXES, SCORES, classes, dict(type='nms', iou_threshold=0.49))[1].tolist() == [4, 1, 0, 3]


@pytest.mark.parametrize('offset', [0, 1])
@pytest.mark.parametrize('method', ['naive', 'linear', 'gaussian'])
def test_soft_nms(method, offset):
    corners = torch.rand(30, 2) * 20
    boxes, scores = torch.cat([corners, corners + 5 + torch.rand(30, 2) * 10], 1), torch.rand(30)
    left, wanted = {i: float(score) for i, score in enumerate(scores)}, []
    while left:
        best = max(left, key=lambda i: left[i])
        wanted.append((best, left.pop(best)))
        for i in list(left):
            overlap = iou(boxes[best].tolist(), boxes[i].tolist(), offset)
            if method == 'gaussian':
                left[i] *= math.exp(-(overlap**2) / 0.4)
            elif overlap >= 0.3:
                left[i] *= 1 - overlap if method == 'linear' else 0
            if left[i] < 0.05:
                del left[i]
    dets, kept = ops.soft_nms(boxes, scores, 0.3, 0.4, 0.05, method, offset)
    assert kept.tolist() == [i for i, _ in wanted]
    torch.testing.assert_close(dets, torch.cat([boxes[kept], torch.tensor([[s] for _, s in wanted])], 1))
    assert 2 < len(wanted) < 30


def test_nms_match():
    groups = ops.nms_match(torch.cat([BOXES, SCORES[:, None]], 1), 0.5)
    assert [group.tolist() for group in groups] == [[4, 3], [1, 0, 2]]


@pytest.mark.parametrize('offset', [0, 1])
def test_bbox_overlaps(offset):
    others = BOXES[[1, 4, 0, 3, 2]]
    wanted = torch.tensor([[iou(a, b, offset) for b in others.tolist()] for a in BOXES.tolist()])
    torch.testing.assert_close(ops.bbox_overlaps(BOXES, others, offset=offset), wanted)
    torch.testing.assert_close(ops.bbox_overlaps(BOXES, others, aligned=True, offset=offset), wanted.diagonal())
    assert ops.bbox_overlaps(BOXES[3:4], BOXES[4:5], mode='iof').item() == 0.5


# regions


def bilinear(image: Tensor, y: float, x: float) -> Tensor:
    """Values (C,) of an image (C, H, W) between pixels; the border's beyond it, 0 from a pixel away on."""
    height, width = image.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return image.new_zeros(len(image))
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    upper = image[:, top, left] * (left + 1 - x) + image[:, top, right] * (x - left)
    lower = image[:, bottom, left] * (left + 1 - x) + image[:, bottom, right] * (x - left)
    return upper * (top + 1 - y) + lower * (y - top)


def aligned(
    image: Tensor, rois: Tensor, bins: tuple[int, int], scale: float, points: int, half: float, moves: Tensor
) -> Tensor:
    """RoIAlign in loops; bins are moved by ``moves`` (K, 2, rows, columns) in pixels of the map, x first."""
    out = torch.zeros(len(rois), image.size(1), *bins)
    for k, (batch, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (corner * scale - half for corner in corners)
        high, wide = (y2 - y1, x2 - x1) if half else (max(y2 - y1, 1), max(x2 - x1, 1))
        rows, columns = points or math.ceil(high / bins[0]), points or math.ceil(wide / bins[1])
        for i, j, r, c in itertools.product(*map(range, (*bins, rows, columns))):
            y = y1 + (i + (r + 0.5) / rows) * high / bins[0] + float(moves[k, 1, i, j])
            x = x1 + (j + (c + 0.5) / columns) * wide / bins[1] + float(moves[k, 0, i, j])
            out[k, :, i, j] += bilinear(image[int(batch)], y, x) / (rows * columns)
    return out


ROIS = torch.tensor([[1.0, 3.1, 1.2, 17.3, 12.1], [0, -2.3, 0.4, 5.2, 6.1], [0, 8, 9, 9, 21], [1, 4, 4, 4.5, 4.2]])


@pytest.mark.parametrize('points', [0, 2])
@pytest.mark.parametrize('half', [True, False])
def test_roi_align(half, points):
    image = torch.randn(2, 3, 9, 8)
    wanted = aligned(image, ROIS, (2, 3), 0.5, points, 0.5 * half, torch.zeros(4, 2, 2, 3))
    torch.testing.assert_close(ops.roi_align(image, ROIS, (2, 3), 0.5, points, 'avg', half), wanted)
    rough = ops.roi_align(image.bfloat16(), ROIS.bfloat16(), (2, 3), 0.5, points, 'avg', half)
    assert rough.dtype == torch.bfloat16
    torch.testing.assert_close(rough.float(), wanted, rtol=0.1, atol=0.3)


@pytest.mark.parametrize('half', [True, False])
def test_the_gradient_of_roi_align(half):
    assert gradcheck(lambda image: ops.roi_align(image, ROIS.double(), (2, 3), 0.5, 0, 'avg', half), double(2, 2, 5, 6))


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_regions_that_are_not_finite(value):
    image, rois = torch.randn(2, 3, 9, 8, requires_grad=True), ROIS.clone()
    rois[1, 3] = value
    pooled = ops.roi_align(image, rois, (2, 3), 0.5, 0, 'avg', True)
    assert pooled[1].isnan().all()
    others = [0, 2, 3]
    torch.testing.assert_close(pooled[others], ops.roi_align(image, ROIS[others], (2, 3), 0.5, 0, 'avg', True))
    pooled[others].sum().backward()
    assert image.grad.isfinite().all()


def test_regions_that_end_before_they_begin():
    image = torch.randn(2, 3, 9, 8, requires_grad=True)
    rois = torch.cat([ROIS, torch.tensor([[0.0, 9, 3, 2, 12], [1, 3, 9, 12, 2]])])
    pooled = ops.roi_align(image, rois, (2, 3), 0.5, 0, 'avg', True)
    torch.testing.assert_close(pooled[:4], ops.roi_align(image, ROIS, (2, 3), 0.5, 0, 'avg', True))
    assert not pooled[4:].any()
    pooled[4:].sum().backward()
    assert not image.grad.any()


def test_roi_pool():
    image = torch.randn(2, 3, 9, 8)
    wanted = torch.zeros(4, 3, 2, 3)
    for k, (batch, *corners) in enumerate(ROIS.tolist()):
        x1, y1, x2, y2 = corners[0] * 0.5, corners[1] * 0.5, (corners[2] + 1) * 0.5, (corners[3] + 1) * 0.5
        for i, j in itertools.product(range(2), range(3)):
            top, bottom = math.floor(y1 + i * (y2 - y1) / 2), math.ceil(y1 + (i + 1) * (y2 - y1) / 2)
            left, right = math.floor(x1 + j * (x2 - x1) / 3), math.ceil(x1 + (j + 1) * (x2 - x1) / 3)
            seen = image[int(batch), :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
            if seen.numel():
                wanted[k, :, i, j] = seen.amax((1, 2))
    assert torch.equal(ops.roi_pool(image, ROIS, (2, 3), 0.5), wanted)
    assert gradcheck(lambda image: ops.roi_pool(image, ROIS.double(), (2, 3), 0.5), double(2, 2, 5, 6))


def test_roi_pool_of_nothing():
    rois = torch.tensor([[0.0, 5, 5, 2, 2], [0, 40, 40, 50, 50]])
    image = torch.randn(1, 2, 4, 4, requires_grad=True)
    pooled = ops.roi_pool(image, rois, (2, 2), 1.0)
    assert not pooled.any()
    pooled.sum().backward()
    assert not image.grad.any()


@pytest.mark.parametrize('points', [0, 2])
def test_deform_roi_pool(points):
    image, offset = torch.randn(2, 3, 9, 8), torch.randn(4, 2, 2, 3)
    size = (ROIS[:, 3:] - ROIS[:, 1:3])[:, :, None, None] * 0.5
    wanted = aligned(image, ROIS, (2, 3), 0.5, points, 0.5, 0.1 * size * offset)
    close = dict(rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ops.deform_roi_pool(image, ROIS, offset, (2, 3), 0.5, points, 0.1), wanted, **close)
    still = ops.deform_roi_pool(image, ROIS, None, (2, 3), 0.5, points, 0.1)
    torch.testing.assert_close(still, ops.roi_align(image, ROIS, (2, 3), 0.5, points, 'avg', True), **close)


def test_the_gradient_of_deform_roi_pool():
    rois = torch.tensor([[0, 1.3, 1.1, 5.2, 6.3], [1, 0.2, 2.1, 6.4, 4.7]], dtype=torch.float64)
    image, offset = double(2, 2, 8, 8), double(2, 2, 2, 2)
    assert gradcheck(
        lambda *inputs: ops.deform_roi_pool(inputs[0], rois, inputs[1], (2, 2), 1.0, 2, 0.1), [image, offset]
    )
    assert gradcheck(lambda image: ops.deform_roi_pool(image, rois, None, (2, 2), 1.0, 2, 0.1), image)


# convolutions


class Steps(NamedTuple):
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    deform_groups: int = 1


STEPS = [Steps(), Steps((2, 1), (1, 2), (1, 2), 2, 1), Steps((1, 2), (2, 0), (2, 1), 1, 2)]


def deformed(image: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, steps: Steps) -> Tensor:
    """A deformable convolution in loops."""
    kernel_h, kernel_w = weight.shape[2:]
    out = torch.zeros(len(image), len(weight), *offset.shape[2:])
    channels, per_group = image.size(1) // steps.deform_groups, len(weight) // steps.groups
    padded = F.pad(image, (1, 1, 1, 1))  # 0 a pixel beyond the border, in between linear
    for b, i, j in itertools.product(*map(range, (len(image), *out.shape[2:]))):
        seen = torch.zeros(image.size(1), kernel_h, kernel_w)
        for d, r, c in itertools.product(range(steps.deform_groups), range(kernel_h), range(kernel_w)):
            point = (d * kernel_h + r) * kernel_w + c
            y = i * steps.stride[0] - steps.padding[0] + r * steps.dilation[0] + float(offset[b, 2 * point, i, j])
            x = j * steps.stride[1] - steps.padding[1] + c * steps.dilation[1] + float(offset[b, 2 * point + 1, i, j])
            own = slice(d * channels, (d + 1) * channels)
            if -1 < y < image.size(2) and -1 < x < image.size(3):
                seen[own, r, c] = bilinear(padded[b, own], y + 1, x + 1) * mask[b, point, i, j]
        for o, kernel in enumerate(weight):
            first = o // per_group * len(kernel[:, 0, 0])
            out[b, o, i, j] = (kernel * seen[first : first + len(kernel)]).sum()
    return out


def conv_inputs(steps: Steps, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """Image, offset, mask, weight."""
    image, weight = torch.randn(2, 4, 5, 6, dtype=dtype), torch.randn(4, 4 // steps.groups, 3, 2, dtype=dtype)
    size = F.conv2d(image, weight, None, *steps[:4]).shape[2:]
    offset = torch.randn(2, 2 * steps.deform_groups * 6, *size, dtype=dtype)
    return [image, offset, torch.rand(2, steps.deform_groups * 6, *size, dtype=dtype), weight]


@pytest.mark.parametrize('steps', STEPS)
def test_deform_conv2d(steps):
    image, offset, mask, weight = conv_inputs(steps)
    wanted = deformed(image, offset, torch.ones_like(mask), weight, steps)
    torch.testing.assert_close(ops.deform_conv2d(image, offset, weight, *steps), wanted)
    straight = ops.deform_conv2d(image, torch.zeros_like(offset), weight, *steps)
    torch.testing.assert_close(straight, F.conv2d(image, weight, None, *steps[:4]))


@pytest.mark.parametrize('steps', STEPS)
def test_modulated_deform_conv2d(steps):
    image, offset, mask, weight = conv_inputs(steps)
    wanted, bias = deformed(image, offset, mask, weight, steps), torch.randn(4)
    torch.testing.assert_close(ops.modulated_deform_conv2d(image, offset, mask, weight, None, *steps), wanted)
    with_bias = ops.modulated_deform_conv2d(image, offset, mask, weight, bias, *steps)
    torch.testing.assert_close(with_bias, wanted + bias[:, None, None])
    half = [each.bfloat16() for each in (image, offset, mask, weight, bias)]
    assert ops.modulated_deform_conv2d(*half, *steps).dtype == torch.bfloat16


@pytest.mark.parametrize('steps', STEPS)
@pytest.mark.parametrize('wanted', [(True, True, True), (False, False, True), (True, False, False)])
def test_the_gradient_of_deform_conv2d(steps, wanted):
    image, offset, _, weight = conv_inputs(steps, torch.float64)
    inputs = [each.requires_grad_(want) for each, want in zip((image, offset, weight), wanted)]
    assert gradcheck(lambda *inputs: ops.deform_conv2d(*inputs, *steps), inputs, fast_mode=True)


@pytest.mark.parametrize('steps', STEPS)
@pytest.mark.parametrize('with_bias', [True, False])
def test_the_gradient_of_modulated_deform_conv2d(steps, with_bias):
    inputs = conv_inputs(steps, torch.float64)
    inputs = [each.requires_grad_() for each in [*inputs, torch.randn(4, dtype=torch.float64)][: 4 + with_bias]]
    more = () if with_bias else (None,)
    assert gradcheck(lambda *inputs: ops.modulated_deform_conv2d(*inputs, *more, *steps), inputs, fast_mode=True)


def test_modulated_deform_conv2d_with_offsets_larger_than_its_output():
    steps = Steps(padding=(1, 0))
    image, offset, mask, weight = conv_inputs(steps)
    large = [F.pad(each, (0, 3, 0, 2), value=9.0) for each in (offset, mask)]
    for each, small in zip(large, (offset, mask)):
        for b in range(2):  # mmcv's kernel goes through memory by the output's size
            each[b].view(-1)[: small[b].numel()] = small[b].view(-1)
    wanted = deformed(image, offset, mask, weight, steps)
    torch.testing.assert_close(ops.modulated_deform_conv2d(image, *large, weight, None, *steps), wanted)
    inputs = [each.double().requires_grad_() for each in (image, *large, weight)]
    assert gradcheck(lambda *inputs: ops.modulated_deform_conv2d(*inputs, None, *steps), inputs, fast_mode=True)


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf, 1e30])
def test_offsets_that_point_nowhere_see_nothing(value):
    steps = STEPS[1]
    image, offset, mask, weight = conv_inputs(steps)
    offset[:, :, 1] = value
    wanted = deformed(image, offset, mask, weight, steps)
    inputs = [each.requires_grad_() for each in (image, offset, mask, weight)]
    out = ops.modulated_deform_conv2d(*inputs, None, *steps)
    torch.testing.assert_close(out, wanted)
    assert not out[:, :, 1].any()
    out.sum().backward()
    assert all(each.grad.isfinite().all() for each in inputs)
    assert not offset.grad[:, :, 1].any()


def test_masked_conv2d():
    layer = ops.MaskedConv2d(3, 4, (3, 5), padding=(1, 2))
    image, mask = torch.randn(1, 3, 6, 7), torch.rand(1, 6, 7) > 0.5
    torch.testing.assert_close(layer(image, mask), layer(image) * mask)
    assert not layer(image, mask & False).any()


# attention


def test_deformable_attention():
    shapes = torch.tensor([[4, 5], [2, 3]])
    value, weights = double(2, 26, 2, 3), torch.rand(2, 4, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    places = (torch.rand(2, 4, 2, 2, 3, 2, dtype=torch.float64) * 1.4 - 0.2).requires_grad_()
    starts = torch.tensor([0, 20])
    out = MultiScaleDeformableAttnFunction.apply(value, shapes, starts, places, weights, 64)
    for b, q, h in itertools.product(range(2), range(4), range(2)):
        total = torch.zeros(3, dtype=torch.float64)
        for level, (height, width) in enumerate(shapes.tolist()):
            pixels = value[b, starts[level] : starts[level] + height * width, h].T.reshape(3, height, width)
            padded = F.pad(pixels, (2, 2, 2, 2))
            for point in range(3):
                x, y = places[b, q, h, level, point].tolist()
                y, x = y * height - 0.5, x * width - 0.5
                total = total + weights[b, q, h, level, point] * bilinear(padded, y + 2, x + 2)
        torch.testing.assert_close(out[b, q, 3 * h : 3 * h + 3], total)
    torch.testing.assert_close(out, multi_scale_deformable_attn_pytorch(value, shapes, places, weights))
    gradcheck(
        lambda *inputs: MultiScaleDeformableAttnFunction.apply(inputs[0], shapes, starts, *inputs[1:], 64),
        [value, places, weights],
        fast_mode=True,
    )
    half = MultiScaleDeformableAttnFunction.apply(value.half(), shapes, starts, places, weights, 64)
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.double(), out, rtol=0.01, atol=0.01)


@pytest.mark.parametrize('kind', ['collect', 'distribute'])
def test_psa_mask(kind):
    mask = torch.randn(2, 5 * 3, 4, 3, requires_grad=True, dtype=torch.float64)
    wanted = torch.zeros(2, 4, 3, 4, 3, dtype=torch.float64)
    for y, x, r, c in itertools.product(range(4), range(3), range(5), range(3)):
        there = (y + r - 2, x + c - 1)
        if 0 <= there[0] < 4 and 0 <= there[1] < 3:
            place = (*there, y, x) if kind == 'collect' else (y, x, *there)
            wanted[(slice(None), *place)] = mask[:, r * 3 + c, y, x].detach()
    layer = ops.PSAMask(kind, (5, 3))
    assert torch.equal(layer(mask), wanted.flatten(1, 2))
    assert gradcheck(layer, mask)


@pytest.mark.parametrize(('groups', 'kernel', 'scale'), [(1, 3, 2), (2, 5, 2), (2, 1, 3)])
def test_carafe(groups, kernel, scale):
    features, masks = double(2, 4, 3, 4), double(2, groups * kernel**2, 3 * scale, 4 * scale)
    out, margin = ops.carafe(features, masks, kernel, groups, scale), kernel // 2
    padded = F.pad(features, [margin] * 4)
    for c, y, x in itertools.product(*map(range, out.shape[1:])):
        seen = padded[:, c, y // scale : y // scale + kernel, x // scale : x // scale + kernel].flatten(1)
        group = c // (4 // groups)
        wanted = (seen * masks[:, group * kernel**2 : (group + 1) * kernel**2, y, x]).sum(1)
        torch.testing.assert_close(out[:, c, y, x], wanted)
    assert gradcheck(lambda *inputs: ops.carafe(*inputs, kernel, groups, scale), [features, masks], fast_mode=True)


# losses and normalization


@pytest.mark.parametrize('weighted', [False, True])
def test_sigmoid_focal_loss(weighted):
    logits, target = double(6, 3), torch.tensor([0, 1, 2, 3, 3, 1])
    weight = torch.rand(3, dtype=torch.float64) if weighted else None
    loss = ops.sigmoid_focal_loss(logits, target, 1.7, 0.3, weight, 'none')
    for n, c in itertools.product(range(6), range(3)):
        p = torch.sigmoid(logits[n, c])
        p, alpha = (p, 0.3) if target[n] == c else (1 - p, 0.7)
        factor = weight[target[n]] if weighted and target[n] < 3 else 1.0
        torch.testing.assert_close(loss[n, c], -alpha * (1 - p) ** 1.7 * p.log() * factor)
    for reduction in ('none', 'mean', 'sum'):
        assert gradcheck(lambda logits: ops.sigmoid_focal_loss(logits, target, 1.7, 0.3, weight, reduction), logits)  # noqa: B023
    sure = torch.tensor([[200.0, -200]], requires_grad=True)
    ops.sigmoid_focal_loss(sure, torch.tensor([1]), 2.0, 0.25, None, 'sum').backward()
    assert sure.grad.isfinite().all()


@pytest.mark.parametrize('weighted', [False, True])
def test_softmax_focal_loss(weighted):
    logits, target = double(5, 3), torch.tensor([0, 1, 2, -1, 1])
    weight = torch.rand(3, dtype=torch.float64) if weighted else None

    def by_hand(logits: Tensor) -> Tensor:
        p = logits.softmax(1)[torch.arange(5), target.clamp(min=0)]
        factor = weight[target.clamp(min=0)] if weighted else 1.0
        return -0.3 * (1 - p) ** 1.7 * p.log() * factor * (target >= 0)

    loss = ops.softmax_focal_loss(logits, target, 1.7, 0.3, weight, 'none')
    torch.testing.assert_close(loss, by_hand(logits))
    gradient = torch.autograd.grad(ops.softmax_focal_loss(logits, target, 1.7, 0.3, weight, 'sum'), logits)
    torch.testing.assert_close(gradient, torch.autograd.grad(by_hand(logits).sum(), logits))


def test_sync_batch_norm_of_one_process(monkeypatch):
    monkeypatch.setattr('mmcv.ops.sync_bn.dist.get_world_size', lambda group=None: 1)
    mine, torchs = ops.SyncBatchNorm(3, momentum=0.2), nn.BatchNorm2d(3, momentum=0.2)
    torchs.load_state_dict(mine.state_dict())
    for layer in (mine, torchs):
        nn.init.constant_(layer.weight, 1.5)
        nn.init.constant_(layer.bias, -0.5)
    image, results = torch.randn(4, 3, 5, 6) * 2 + 1, []
    for layer in (mine, torchs):
        own = image.clone().requires_grad_()
        out = layer(own)
        (out**3).sum().backward()
        results.append([out, own.grad, layer.weight.grad, layer.bias.grad, layer.running_mean, layer.running_var])
    torch.testing.assert_close(*results)
    torch.testing.assert_close(mine.eval()(image), torchs.eval()(image))


# models

STEP = """
import sys
import IMPORT
import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
import mmdet
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
torch.manual_seed(0)
init_default_scope('mmdet')
folder = mmdet.__path__[0] + '/.mim/configs/'
cfg = Config.fromfile(folder + sys.argv[1]).model
cfg.backbone.init_cfg = None
cfg.test_cfg.get('rcnn', cfg.test_cfg).score_thr = 0.0  # it knows nothing yet
def build():
    return MODELS.build(cfg)
model = build().train()
optimizer = torch.optim.SGD(model.parameters(), 1e-5)
batch = demo_mm_inputs(2, [[3, 128, 128]] * 2, num_classes=3, with_mask=True)
data = model.data_preprocessor(batch, True)
losses = []
for step in range(2):
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    assert loss.isfinite()
assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
torch.save(model.state_dict(), sys.argv[2])
other = build()
other.load_state_dict(torch.load(sys.argv[2], weights_only=True), strict=True)
found = []
for each in (model, other):
    with torch.no_grad():
        found.append(each.eval()(**each.data_preprocessor(batch, False), mode='predict')[0].pred_instances)
assert len(found[0]) and torch.equal(found[0].bboxes, found[1].bboxes)
print(sorted({name.split('.')[1] for name in sys.modules if name.startswith('mtkd_rl.')}))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ('config', 'first'),
    [
        ('retinanet/retinanet_r18_fpn_1x_coco.py', 'mtkd_rl'),
        ('retinanet/retinanet_r18_fpn_1x_coco.py', 'mtkd_rl.compat'),
        ('faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py', 'mtkd_rl.compat'),
        ('mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py', 'mtkd_rl.compat'),
        ('dcnv2/faster-rcnn_r50_fpn_mdpool_1x_coco.py', 'mtkd_rl.compat'),
        ('reppoints/reppoints-moment_r50_fpn-gn_head-gn_1x_coco.py', 'mtkd_rl.compat'),
    ],
)
def test_models_train_and_predict(config, first, tmp_path):
    assert printed(STEP.replace('IMPORT', first), config, str(tmp_path / 'model.pth')) == "['compat']"
