"""Pieces that the losses share: the dtype they compute in, and lengths and directions that survive constant input."""

import torch
from torch import Tensor


def as_float(x: Tensor) -> Tensor:
    """Half types as float32; float32 and float64 as they are.

    Args:
        x: Any shape, a floating dtype.

    Returns:
        ``x`` itself, or a float32 copy of it.
    """
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def direction(x: Tensor, dim: int | tuple[int, ...], eps: float = 1e-8) -> Tensor:
    """``x`` divided by its Euclidean length along ``dim``.

    What is no longer than ``eps`` has no direction and is returned as it is: dividing by a tiny length would make its
    gradient huge.

    Args:
        x: Any shape, float32 or float64.
        dim: Where the length is taken.
        eps: The largest length that counts as zero.

    Returns:
        Shape and dtype of ``x``; every length is 1, or at most ``eps``.
    """
    length = torch.linalg.vector_norm(x, dim=dim, keepdim=True)
    return x / torch.where(length > eps, length, 1.0)


def centred_direction(x: Tensor, dim: int | tuple[int, ...], eps: float = 1e-8) -> Tensor:
    """``x`` without its mean along ``dim``, scaled to length 1 there: the sum of a product of two is Pearson's r.

    Args:
        x: Any shape, float32 or float64.
        dim: Where mean and length are taken.
        eps: The largest length after centring that counts as constant; constant values become (nearly) 0.

    Returns:
        Shape and dtype of ``x``.

    Example:
        >>> centred_direction(torch.tensor([[3.0, 9.0], [5.0, 5.0]]), dim=1)
        tensor([[-0.7071,  0.7071],
                [ 0.0000,  0.0000]])
    """
    return direction(x - x.mean(dim=dim, keepdim=True), dim, eps)
