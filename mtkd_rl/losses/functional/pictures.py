"""Losses between pictures ``(B, C, H, W)`` in [0, 1], one value a sample."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .numerics import as_float

SIDE = 11
"""Of the windows of SSIM."""


def sobel(pictures: Tensor) -> Tensor:
    """``|Sobel_x| + |Sobel_y|`` of every channel, of the shape of the pictures; the border is repeated."""
    padded = F.pad(pictures, (1, 1, 1, 1), mode='replicate')
    across, down = padded[..., 2:] - padded[..., :-2], padded[..., 2:, :] - padded[..., :-2, :]
    x = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
    y = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
    return x.abs() + y.abs()


def l1(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean absolute difference, ``(B,)``."""
    return (as_float(student) - as_float(teacher)).abs().flatten(1).mean(dim=1)


def ssim(student: Tensor, teacher: Tensor) -> Tensor:
    """Structural similarity of pictures in [0, 1], ``(B,)`` in [-1, 1] (Wang et al., 2004, IEEE TIP 13).

    With ``m``, ``v`` and ``c`` the means, variances and covariance in Gaussian windows of 11 x 11, sigma 1.5, the mean
    over all windows that lie in the picture of ``(2 m_x m_y + 0.01^2) (2 c + 0.03^2) / ((m_x^2 + m_y^2 + 0.01^2) (v_x +
    v_y + 0.03^2))``. Pictures smaller than a window are enlarged to it.
    """
    x, y = _at_least(SIDE, as_float(student)), _at_least(SIDE, as_float(teacher))
    with torch.autocast(x.device.type, enabled=False):  # variances are small differences
        m_x, m_y, xx, yy, xy = _windows(torch.stack([x, y, x * x, y * y, x * y])).unbind()
    mean = (2 * m_x * m_y + 0.01**2) / (m_x.square() + m_y.square() + 0.01**2)
    rest = (2 * (xy - m_x * m_y) + 0.03**2) / (xx - m_x.square() + yy - m_y.square() + 0.03**2)
    return (mean * rest).flatten(1).mean(dim=1)


def _windows(pictures: Tensor) -> Tensor:
    """Gaussian means in all windows that lie in the picture, ``(..., H, W)`` to ``(..., H - 10, W - 10)``."""
    rows, columns = (_window(side, pictures) for side in pictures.shape[-2:])
    return rows.T @ (pictures @ columns)


def _window(side: int, like: Tensor) -> Tensor:
    """A window at each of its places in a column, ``(side, side - 10)``.

    A convolution of one channel, and its gradient more so, takes PyTorch many times as long as this product on a CPU.
    """
    at = torch.arange(side, dtype=like.dtype, device=like.device)
    away = at.unsqueeze(1) - at[SIDE // 2 : side - SIDE // 2]
    window = torch.where(away.abs() <= SIDE // 2, torch.exp(-away.square() / (2 * 1.5**2)), 0.0)
    return window / window.sum(dim=0)


def _at_least(side: int, pictures: Tensor) -> Tensor:
    if min(pictures.shape[-2:]) >= side:
        return pictures
    return F.interpolate(pictures, [max(side, each) for each in pictures.shape[-2:]])
