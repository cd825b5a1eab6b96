"""mmcv's convolutions that look where offsets tell them, version 1 and 2, or are computed at some places only.

Shapes: input (B, C, H, W), weight (O, C / group, kH, kW), offset (B, 2 * deformable_group * kH * kW, H', W') in pixels,
y before x for every point of the kernel, mask (B, deformable_group * kH * kW, H', W'), output (B, O, H', W').
Outputs and gradients are set in place.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from mtkd_rl.compat.missing import torchvision_operators
from mtkd_rl.compat.precision import wide

FAR = 1e6
"""Pixels."""


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Set ``output`` to the deformable convolution; ``d`` are strides, buffers and ``im2col_step`` are not used."""
    steps = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_forward('deform_conv_forward', input, weight, offset, None, None, steps))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    im2col_step: int,
) -> None:
    """Set the gradients of input and offset."""
    steps = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    gradients = _backward('deform_conv_backward_input', grad_output, input, weight, offset, None, None, steps)
    grad_input.copy_(gradients[0])
    grad_offset.copy_(gradients[2])
    # mmcv asks for the weight's gradient next, with the same buffer, and torchvision has just computed it
    columns.resize_as_(weight).copy_(gradients[1])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    kW: int,
    kH: int,
    dW: int,
    dH: int,
    padW: int,
    padH: int,
    dilationW: int,
    dilationH: int,
    group: int,
    deformable_group: int,
    scale: float,
    im2col_step: int,
) -> None:
    """Set the gradient of the weight, times ``scale``."""
    if columns.shape != grad_weight.shape:  # neither input nor offset has a gradient
        steps = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
        any_weight = grad_weight  # its gradient does not depend on it
        name = 'deform_conv_backward_parameters'
        columns = _backward(name, grad_output, input, any_weight, offset, None, None, steps)[1]
    grad_weight.copy_(columns * scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Set ``output`` to the deformable convolution of version 2; the buffers are not used.

    Offsets and masks may be larger than the output (DyHead's are): the first values of an image's are read, as if they
    had the output's size.
    """
    steps = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    name = 'modulated_deform_conv_forward'
    offset, mask = _read(offset, output), _read(mask, output)
    output.copy_(_forward(name, input, weight, offset, mask, bias if with_bias else None, steps))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    group: int,
    deformable_group: int,
    with_bias: bool,
) -> None:
    """Set the gradients of everything; that of the bias only where there is one."""
    steps = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    name = 'modulated_deform_conv_backward'
    offset, mask = _read(offset, grad_output), _read(mask, grad_output)
    gradients = _backward(name, grad_output, input, weight, offset, mask, bias if with_bias else None, steps)
    grad_input.copy_(gradients[0])
    grad_weight.copy_(gradients[1])
    for into, gradient in zip((grad_offset, grad_mask), gradients[2:]):
        unread = into[0].numel() - gradient[0].numel()
        into.copy_(F.pad(gradient.flatten(1), (0, unread)).view_as(into))
    if with_bias:
        grad_bias.copy_(gradients[4])


def masked_im2col_forward(
    im: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    col: Tensor,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Set ``col`` (C * kernel_h * kernel_w, N) to what a kernel sees of ``im`` (1, C, H, W) at N places, in int64."""
    padded = F.pad(im[0], (pad_w, pad_w, pad_h, pad_h))
    rows = mask_h_idx[:, None] + torch.arange(kernel_h, device=im.device)
    columns = mask_w_idx[:, None] + torch.arange(kernel_w, device=im.device)
    seen = padded[:, rows[:, :, None], columns[:, None, :]]
    col.copy_(seen.permute(0, 2, 3, 1).reshape(col.shape))


def masked_col2im_forward(
    col: Tensor, mask_h_idx: Tensor, mask_w_idx: Tensor, im: Tensor, height: int, width: int, channels: int
) -> None:
    """Set ``im`` (1, C, H, W) at N places to ``col`` (C, N)."""
    im[0][:, mask_h_idx, mask_w_idx] = col


def _read(values: Tensor, output: Tensor) -> Tensor:
    """What mmcv reads of offsets or masks (B, C, ...) for an output (B, O, H', W'): (B, C, H', W')."""
    size = (values.size(1), *output.shape[2:])
    return values.flatten(1)[:, : math.prod(size)].unflatten(1, size)


def _forward(
    name: str,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    steps: tuple[int, ...],
) -> Tensor:
    operator = torchvision_operators(name).deform_conv2d
    return operator(*_arguments(input, weight, offset, mask, bias), *steps, mask is not None)


def _backward(
    name: str,
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    steps: tuple[int, ...],
) -> tuple[Tensor, ...]:
    """Gradients of input, weight, offset, mask, bias."""
    operator = torchvision_operators(name)._deform_conv2d_backward
    arguments = _arguments(input, weight, offset, mask, bias)
    return operator(wide(grad_output), *arguments, *steps, mask is not None)


def _arguments(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, ...]:
    """What torchvision takes; it wants some mask and bias even where there are none.

    An offset that is not finite points far away, where there is nothing, as with mmcv; torchvision would read from
    anywhere, and the process die.
    """
    mask = input.new_zeros(len(input), 1) if mask is None else mask
    bias = input.new_zeros(len(weight)) if bias is None else bias
    offset = wide(offset).nan_to_num(FAR, FAR, -FAR)
    return tuple(map(wide, (input, weight, offset, mask, bias)))
