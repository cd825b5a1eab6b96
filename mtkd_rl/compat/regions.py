"""mmcv's operators that pool regions of interest, ``(index in the batch, x1, y1, x2, y2)``, from maps (B, C, H, W)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mtkd_rl.compat.missing import missing, torchvision_operators
from mtkd_rl.compat.precision import wide


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Mean of each region's bins.

    Args:
        input: (B, C, H, W).
        rois: (K, 5), in pixels of the picture. One with a corner that is not finite gives NaN.
        output: Set, (K, C, aligned_height, aligned_width).
        argmax_y: Not used.
        argmax_x: Not used.
        aligned_height: Bins in a column.
        aligned_width: Bins in a row.
        spatial_scale: Pixels of the map for one of the picture.
        sampling_ratio: Points a bin is sampled at, in each direction; 0 for one per pixel of the map.
        pool_mode: 1 for the mean; 0, the maximum, raises.
        aligned: Whether a pixel's value belongs to its centre.

    Raises:
        RuntimeError: The maximum was asked for, or torchvision is not installed.
    """
    if pool_mode == 0:
        raise missing("roi_align_forward with pool_mode='max'")
    size = (spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned)
    image = wide(input)
    pooled = torchvision_operators('roi_align_forward').roi_align(
        image, _sound(rois, image.dtype, sampling_ratio), *size
    )
    output.copy_(pooled.masked_fill((~rois.isfinite()).any(1)[:, None, None, None], math.nan))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Set ``grad_input`` (B, C, H, W) to the gradient of the map; see `roi_align_forward`."""
    gradient = wide(grad_output)
    size = (spatial_scale, aligned_height, aligned_width, *grad_input.shape, sampling_ratio, aligned)
    operators = torchvision_operators('roi_align_backward')
    grad_input.copy_(operators._roi_align_backward(gradient, _sound(rois, gradient.dtype, sampling_ratio), *size))


def _sound(rois: Tensor, dtype: torch.dtype, sampling_ratio: int) -> Tensor:
    """Regions that torchvision can pool.

    With what is not finite it would read from anywhere, and the process die. One that ends before it begins has no
    points where their number follows from its size, which its CPU kernel refuses.
    """
    rois = rois.to(dtype).nan_to_num(0.0, 0.0, 0.0)
    if sampling_ratio > 0:
        return rois
    return torch.cat([rois[:, :3], torch.maximum(rois[:, 1:3], rois[:, 3:])], 1)


def roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Maximum of each region's bins, which mmcv does not round as torchvision does.

    Args:
        input: (B, C, H, W).
        rois: (K, 5), in pixels of the picture; the last pixel belongs to the region.
        output: Set, (K, C, pooled_height, pooled_width); 0 for a bin without pixels.
        argmax: Set, likewise in int32: the pixel, ``y * W + x``; -1 for a bin without pixels.
        pooled_height: Bins in a column.
        pooled_width: Bins in a row.
        spatial_scale: Pixels of the map for one of the picture.
    """
    height, width = input.shape[2:]
    argmax.fill_(-1)
    for roi, (batch, *corners) in enumerate(rois.tolist()):
        x1, y1, x2, y2 = (corner * spatial_scale for corner in (*corners[:2], corners[2] + 1, corners[3] + 1))
        if x2 <= x1 or y2 <= y1:
            continue
        columns = [(i, *bin_) for i, bin_ in enumerate(_bins(x1, x2, pooled_width, width)) if bin_[1] > bin_[0]]
        for row, (top, bottom) in enumerate(_bins(y1, y2, pooled_height, height)):
            if bottom <= top:
                continue
            strip, lines = input[int(batch), :, top:bottom].max(1)
            for column, left, right in columns:
                output[roi, :, row, column], x = strip[:, left:right].max(1)
                y = lines.gather(1, x[:, None] + left)[:, 0]
                argmax[roi, :, row, column] = (y + top) * width + x + left


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_input: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add to ``grad_input`` (B, C, H, W); see `roi_pool_forward`."""
    channel = torch.arange(grad_input.size(1), device=rois.device)
    planes = rois[:, :1].long() * grad_input.size(1) + channel
    pixel = planes[:, :, None, None] * grad_input[0, 0].numel() + argmax
    taken = argmax >= 0
    grad_input.view(-1).index_add_(0, pixel[taken], grad_output[taken])


def _bins(low: float, high: float, number: int, size: int) -> list[tuple[int, int]]:
    """The pixels, from and to, of the bins that a stretch of a map is cut into."""
    step = (high - low) / number
    borders = [(math.floor(low + step * i), math.ceil(low + step * (i + 1))) for i in range(number)]
    return [(min(max(start, 0), size), min(max(stop, 0), size)) for start, stop in borders]


def deform_roi_pool_forward(
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    output: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Mean of each region's bins, each moved by an offset.

    Args:
        input: (B, C, H, W).
        rois: (K, 5), in pixels of the picture.
        offset: (K, 2, pooled_height, pooled_width), x before y, in parts of the region; empty for none.
        output: Set, (K, C, pooled_height, pooled_width).
        pooled_height: Bins in a column.
        pooled_width: Bins in a row.
        spatial_scale: Pixels of the map for one of the picture.
        sampling_ratio: As in `roi_align_forward`.
        gamma: Factor of the offsets.
    """
    image = wide(input)
    bins = _moved_bins(rois, offset, pooled_height, pooled_width, spatial_scale, gamma)
    bins = _sound(bins, image.dtype, sampling_ratio)
    pooled = torchvision_operators('deform_roi_pool_forward').roi_align(image, bins, 1.0, 1, 1, sampling_ratio, True)
    output.copy_(pooled.view(len(rois), pooled_height, pooled_width, -1).permute(0, 3, 1, 2))


def deform_roi_pool_backward(
    grad_output: Tensor,
    input: Tensor,
    rois: Tensor,
    offset: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    gamma: float,
) -> None:
    """Set ``grad_input`` and, where there are offsets, ``grad_offset``; see `deform_roi_pool_forward`."""
    gradient = wide(grad_output)
    bins = _moved_bins(rois, offset, pooled_height, pooled_width, spatial_scale, gamma)
    bins = _sound(bins, gradient.dtype, sampling_ratio)
    by_bin = gradient.permute(0, 2, 3, 1).reshape(len(bins), -1, 1, 1)
    operator = torchvision_operators('deform_roi_pool_backward')._roi_align_backward
    grad_input.copy_(operator(by_bin, bins, 1.0, 1, 1, *grad_input.shape, sampling_ratio, True))
    if offset.numel():
        image = wide(input)
        size = wide(rois[:, 3:] - rois[:, 1:3]) * spatial_scale * gamma
        pairs = zip(bins.view(len(rois), -1, 5), by_bin.view(len(rois), pooled_height * pooled_width, -1))
        slopes = torch.cat([_slopes(image, some, into, sampling_ratio) for some, into in pairs])
        slopes = slopes.view(len(rois), pooled_height, pooled_width, 2).permute(0, 3, 1, 2)
        grad_offset.copy_(slopes * size[:, :, None, None])


def _moved_bins(rois: Tensor, offset: Tensor, rows: int, columns: int, scale: float, gamma: float) -> Tensor:
    """Every bin as a region of the map, (K * rows * columns, 5)."""
    corner = wide(rois)[:, None, None, 1:3] * scale
    size = wide(rois)[:, None, None, 3:] * scale - corner
    step = size / corner.new_tensor([columns, rows])
    y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing='ij')
    start = corner + step * torch.stack([x, y], -1).to(corner)
    if offset.numel():
        start = start + gamma * size * offset.permute(0, 2, 3, 1)
    batch = wide(rois)[:, None, None, :1].expand(-1, rows, columns, -1)
    end = start + step * (1 - 1e-5)  # where a bin is whole pixels high, rounding must not add a row of samples
    return torch.cat([batch, start, end], -1).flatten(0, 2)


def _slopes(image: Tensor, bins: Tensor, gradient: Tensor, sampling_ratio: int) -> Tensor:
    """How the means of a region's bins (P, 5), weighted by ``gradient`` (P, C), change with x and y, as (P, 2)."""
    batch, x1, y1, x2, y2 = bins[0].tolist()
    points = [sampling_ratio or math.ceil(size) for size in (x2 - x1, y2 - y1)]
    if min(points) <= 0:
        return bins.new_zeros(len(bins), 2)
    start = bins[:, 1:3].detach().requires_grad_()
    with torch.enable_grad():
        x = (start[:, :1] + _samples(x2 - x1, points[0], bins))[:, None, :].expand(-1, points[1], -1)
        y = (start[:, 1:] + _samples(y2 - y1, points[1], bins))[:, :, None].expand(-1, -1, points[0])
        height, width = image.shape[2:]
        grid = torch.stack([2 * x / max(width - 1, 1) - 1, 2 * y / max(height - 1, 1) - 1], -1)
        flat = grid.flatten(0, 1)[None]
        values = F.grid_sample(image[int(batch), None], flat, padding_mode='border', align_corners=True)
        inside = (x >= -1) & (x <= width) & (y >= -1) & (y <= height)
        means = (values[0].unflatten(1, (len(bins), -1)) * inside).mean((2, 3))
    return torch.autograd.grad(means, start, gradient.T)[0]


def _samples(size: float, points: int, like: Tensor) -> Tensor:
    """Where a stretch is sampled, in indices of pixels from its start."""
    return size / points * (torch.arange(points, dtype=like.dtype, device=like.device) + 0.5) - 0.5
