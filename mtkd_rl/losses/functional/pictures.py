"""Losses between pictures ``(B, C, H, W)`` in [0, 1], one value a sample."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .numerics import as_float

SIDE = 11
"""Of the windows of SSIM."""


def sobel(pictures: Tensor) -> Tensor:
    """``|Sobel_x| + |Sobel_y|`` of every channel, of the shape of the pictures; the border is repeated."""
    smooth, difference = pictures.new_tensor([1.0, 2.0, 1.0]), pictures.new_tensor([-1.0, 0.0, 1.0])
    kernels = torch.stack([torch.outer(smooth, difference), torch.outer(difference, smooth)]).unsqueeze(1)
    padded = F.pad(pictures, (1, 1, 1, 1), mode='replicate').flatten(0, 1).unsqueeze(1)
    return F.conv2d(padded, kernels).abs().sum(dim=1).view_as(pictures)


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
    m_x, m_y, xx, yy, xy = _windows(torch.stack([x, y, x * x, y * y, x * y])).unbind()
    mean = (2 * m_x * m_y + 0.01**2) / (m_x.square() + m_y.square() + 0.01**2)
    rest = (2 * (xy - m_x * m_y) + 0.03**2) / (xx - m_x.square() + yy - m_y.square() + 0.03**2)
    return (mean * rest).flatten(1).mean(dim=1)


def _windows(pictures: Tensor) -> Tensor:
    """Gaussian means in all windows that lie in the picture, ``(..., H, W)`` to ``(..., H - 10, W - 10)``."""
    at = torch.arange(SIDE, dtype=pictures.dtype, device=pictures.device) - SIDE // 2
    window = torch.exp(-at.square() / (2 * 1.5**2))
    window = window / window.sum()
    flat = pictures.flatten(0, -3).unsqueeze(1)
    flat = F.conv2d(F.conv2d(flat, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))
    return flat.view(*pictures.shape[:-2], *flat.shape[-2:])


def _at_least(side: int, pictures: Tensor) -> Tensor:
    if min(pictures.shape[-2:]) >= side:
        return pictures
    return F.interpolate(pictures, [max(side, each) for each in pictures.shape[-2:]])
