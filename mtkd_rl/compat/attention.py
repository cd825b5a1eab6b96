"""mmcv's operators that gather from places of a map: deformable attention, point-wise attention, CARAFE."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from mtkd_rl.compat.precision import wide


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    im2col_step: int,
) -> Tensor:
    """Attention of queries to a few points of maps at several levels; mmcv has it in torch for the CPU.

    Args:
        value: (B, keys, heads, channels); the keys are the levels' pixels.
        value_spatial_shapes: (levels, 2), height and width.
        value_level_start_index: Not used, the shapes tell.
        sampling_locations: (B, queries, heads, levels, points, 2), x and y in [0, 1].
        attention_weights: (B, queries, heads, levels, points).
        im2col_step: Not used.

    Returns:
        (B, queries, heads * channels) in the type of ``value``.
    """
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    maps = (wide(value), value_spatial_shapes.tolist(), wide(sampling_locations), wide(attention_weights))
    return multi_scale_deformable_attn_pytorch(*maps).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    im2col_step: int,
) -> None:
    """Set the three gradients, by computing the output again; see `ms_deform_attn_forward`."""
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    inputs = [wide(each).detach().requires_grad_() for each in (value, sampling_locations, attention_weights)]
    with torch.enable_grad():
        output = multi_scale_deformable_attn_pytorch(inputs[0], value_spatial_shapes.tolist(), *inputs[1:])
    gradients = torch.autograd.grad(output, inputs, wide(grad_output))
    for into, gradient in zip((grad_value, grad_sampling_loc, grad_attn_weight), gradients):
        into.copy_(gradient)


def psamask_forward(
    input: Tensor,
    output: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Spread every pixel's mask over the map, with the mask's centre at the pixel.

    Args:
        input: (B, h_mask * w_mask, H, W).
        output: Set, (B, H * W, H, W): channel q of pixel p is what p says of q (type 0), or q of p (type 1); 0 beyond
            the mask.
        psa_type: 0 to collect, 1 to distribute.
        num_: B.
        h_feature: H.
        w_feature: W.
        h_mask: Height of the masks.
        w_mask: Their width.
        half_h_mask: Row of their centre.
        half_w_mask: Column of their centre.
    """
    index, inside = _places(input.device, h_feature, w_feature, h_mask, w_mask, half_h_mask, half_w_mask)
    spread = input.flatten(2).gather(1, index.expand(num_, -1, -1)) * inside
    output.copy_((spread.transpose(1, 2) if psa_type else spread).reshape(output.shape))


def psamask_backward(
    grad_output: Tensor,
    grad_input: Tensor,
    psa_type: int,
    num_: int,
    h_feature: int,
    w_feature: int,
    h_mask: int,
    w_mask: int,
    half_h_mask: int,
    half_w_mask: int,
) -> None:
    """Set ``grad_input``; see `psamask_forward`."""
    index, inside = _places(grad_input.device, h_feature, w_feature, h_mask, w_mask, half_h_mask, half_w_mask)
    spread = grad_output.flatten(2)
    spread = (spread.transpose(1, 2) if psa_type else spread) * inside
    gradient = torch.zeros_like(grad_input).flatten(2).scatter_add(1, index.expand(num_, -1, -1), spread)
    grad_input.copy_(gradient.view_as(grad_input))


def _places(
    device: torch.device, height: int, width: int, h_mask: int, w_mask: int, half_h: int, half_w: int
) -> tuple[Tensor, Tensor]:
    """For pixel q of a map and the mask of pixel p: the channel of p's mask that is at q, and whether there is one."""
    y = torch.arange(height, device=device)
    x = torch.arange(width, device=device)
    row = (y[:, None] - y + half_h)[:, None, :, None]  # q's row, q's column, p's row, p's column
    column = (x[:, None] - x + half_w)[None, :, None, :]
    inside = (row >= 0) & (row < h_mask) & (column >= 0) & (column < w_mask)
    index = (row * w_mask + column).where(inside, 0)
    return index.flatten(2).flatten(0, 1), inside.flatten(2).flatten(0, 1)


def carafe_forward(
    features: Tensor,
    masks: Tensor,
    rfeatures: Tensor,
    routput: Tensor,
    rmasks: Tensor,
    output: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Upsample by a weighted sum of every pixel's neighbourhood, with weights of each new pixel's own.

    Args:
        features: (B, C, H, W).
        masks: (B, group_size * kernel_size^2, H * scale_factor, W * scale_factor), the weights.
        rfeatures: (B, C, H, W), set to what the gradient needs of the features.
        routput: Not used.
        rmasks: Not used.
        output: Set, (B, C, H * scale_factor, W * scale_factor).
        kernel_size: Side of a neighbourhood, odd.
        group_size: Groups of channels with weights of their own.
        scale_factor: New pixels for one, in each direction.
    """
    rfeatures.copy_(features)
    weights = _fine(masks, group_size, scale_factor)
    total = torch.zeros_like(_fine(output, group_size, scale_factor))
    for tap, shifted in enumerate(_shifts(_padded(features, kernel_size), kernel_size, group_size)):
        total += shifted * weights[:, :, tap, None]
    output.copy_(total.view_as(output))


def carafe_backward(
    grad_output: Tensor,
    rfeatures: Tensor,
    masks: Tensor,
    rgrad_output: Tensor,
    rgrad_input_hs: Tensor,
    rgrad_input: Tensor,
    rgrad_masks: Tensor,
    grad_input: Tensor,
    grad_masks: Tensor,
    kernel_size: int,
    group_size: int,
    scale_factor: int,
) -> None:
    """Set ``grad_input`` and ``grad_masks``; see `carafe_forward`."""
    weights = _fine(masks, group_size, scale_factor)
    gradient = _fine(grad_output, group_size, scale_factor)
    into = _fine(grad_masks, group_size, scale_factor)
    padded = _padded(rfeatures, kernel_size)
    grad_padded = torch.zeros_like(padded)
    pairs = zip(_shifts(padded, kernel_size, group_size), _shifts(grad_padded, kernel_size, group_size))
    for tap, (shifted, grad_shifted) in enumerate(pairs):
        into[:, :, tap] = (gradient * shifted).sum(2)
        grad_shifted += (gradient * weights[:, :, tap, None]).sum((4, 6), keepdim=True)
    margin = kernel_size // 2
    height, width = grad_input.shape[2:]
    grad_input.copy_(grad_padded[:, :, margin : margin + height, margin : margin + width])


def _fine(maps: Tensor, groups: int, scale: int) -> Tensor:
    """A fine map as (B, groups, C / groups, H, scale, W, scale)."""
    batch, _, height, width = maps.shape
    return maps.view(batch, groups, -1, height // scale, scale, width // scale, scale)


def _padded(features: Tensor, kernel_size: int) -> Tensor:
    return F.pad(features, [kernel_size // 2] * 4)


def _shifts(padded: Tensor, kernel_size: int, groups: int) -> Iterator[Tensor]:
    """Views of the map as every place of the kernel sees it, (B, groups, C / groups, H, 1, W, 1)."""
    grouped = padded.unflatten(1, (groups, -1))
    height, width = padded.size(2) - kernel_size + 1, padded.size(3) - kernel_size + 1
    for y in range(kernel_size):
        for x in range(kernel_size):
            yield grouped[..., y : y + height, x : x + width].unsqueeze(-2).unsqueeze(-1)
