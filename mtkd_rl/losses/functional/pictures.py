"""Losses between pictures ``(B, C, H, W)`` in [0, 1], one value a sample."""

import torch
from torch import Tensor
from torch.nn import functional as F

from .numerics import as_float


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
    """Structural similarity, ``(B,)`` in [-1, 1]: Gaussian windows of 11 x 11, sigma 1.5, range 1 (Wang et al., 2004).

    Pictures smaller than a window are enlarged to it.
    """
    from torchmetrics.functional.image import structural_similarity_index_measure  # slow to import

    found = structural_similarity_index_measure(
        _at_least(11, as_float(student)), _at_least(11, as_float(teacher)), data_range=1.0, reduction='none'
    )
    assert isinstance(found, Tensor)
    return found.reshape(len(student))


def _at_least(side: int, pictures: Tensor) -> Tensor:
    if min(pictures.shape[-2:]) >= side:
        return pictures
    return F.interpolate(pictures, [max(side, each) for each in pictures.shape[-2:]])
