"""Luma and chroma: what of a colour picture is fused, and what is kept and put back.

ITU-R BT.601 in full range, as JPEG files have it (JFIF 1.02, 1992), in units of [0, 1] and without JFIF's offset::

    Y = 0.299 R + 0.587 G + 0.114 B      Cb = (B - Y) / 1.772      Cr = (R - Y) / 1.402

Y is in [0, 1]; Cb and Cr are in [-0.5, 0.5] and 0 where the picture is grey.
"""

import numpy as np
import torch
from torch import Tensor

from mtkd_rl.errors import MTKDError


def luma(rgb: Tensor) -> Tensor:
    """Y of pictures; where R, G and B are equal it is exactly that value.

    Args:
        rgb: ``(..., 3, H, W)`` in [0, 1].

    Returns:
        ``(..., 1, H, W)`` in [0, 1].
    """
    red, green, blue = rgb.split(1, dim=-3)
    return green + 0.299 * (red - green) + 0.114 * (blue - green)


def to_ycbcr(rgb: Tensor) -> Tensor:
    """Y, Cb and Cr of pictures.

    Args:
        rgb: ``(..., 3, H, W)`` in [0, 1].

    Returns:
        ``(..., 3, H, W)``: Y in [0, 1], Cb and Cr in [-0.5, 0.5].
    """
    red, _, blue = rgb.split(1, dim=-3)
    y = luma(rgb)
    return torch.cat([y, (blue - y) / 1.772, (red - y) / 1.402], dim=-3)


def from_ycbcr(ycbcr: Tensor) -> Tensor:
    """The inverse of :func:`to_ycbcr`.

    Args:
        ycbcr: ``(..., 3, H, W)``.

    Returns:
        R, G and B, ``(..., 3, H, W)``; outside of [0, 1] where the luma was changed and no such colour exists.
    """
    y, cb, cr = ycbcr.split(1, dim=-3)
    red, blue = y + 1.402 * cr, y + 1.772 * cb
    return torch.cat([red, (y - 0.299 * red - 0.114 * blue) / 0.587, blue], dim=-3)


def as_written(fused: Tensor, chroma: Tensor | None = None) -> Tensor:
    """A fused luma as the picture that is written to a file: colours put back, clipped, rounded to whole numbers.

    Args:
        fused: Luma ``(..., 1, H, W)`` in [0, 1]; what is outside is clipped.
        chroma: Cb and Cr of the visible, ``(..., 2, H, W)``; ``None`` where it is grey.

    Returns:
        uint8, ``(..., 3, H, W)`` in RGB order, or ``(..., 1, H, W)`` without chroma.
    """
    fused = fused.clamp(0, 1)
    picture = fused if chroma is None else from_ycbcr(torch.cat([fused, chroma.to(fused)], dim=-3))
    return (picture.clamp(0, 1) * 255).round().to(torch.uint8)


def luma8(picture: np.ndarray) -> np.ndarray:
    """Y of a picture as a file holds it, rounded to whole numbers, halves upwards.

    Args:
        picture: uint8 ``(H, W)`` grey, which passes as it is, or ``(H, W, 3)`` in RGB order.

    Returns:
        uint8 ``(H, W)``.

    Raises:
        MTKDError: It is of another type or shape.
    """
    if picture.dtype != np.uint8 or not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)):
        raise MTKDError(
            f'luma8: a picture is {picture.dtype} {picture.shape}; it must be uint8 (H, W) or (H, W, 3) in 0..255'
        )
    if picture.ndim == 2:
        return picture
    weighted = picture.astype(np.int32) @ np.array([299, 587, 114], dtype=np.int32)
    return ((weighted + 500) // 1000).astype(np.uint8)
