"""Adapters: what makes a student's feature comparable to a teacher's. Every shape is inferred."""

import torch
from torch import Tensor, nn
from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

from mtkd_rl.errors import MTKDError

from .functional import pool


class Adapter(nn.Module):
    """Brings a student's and a teacher's feature to one shape: a learned layer for widths, averages for positions.

    Only the widths are fixed; height, width and number of tokens may change from batch to batch. There is no BatchNorm:
    a batch of one works, and no statistics have to be shared between processes.

    It computes in the dtype of its parameters, float32, also under autocast: the loss subtracts its output from the
    teacher's feature, where the rounding of half precision would be as large as the difference of a good student, and
    the squares of large activations would overflow float16.

    Args:
        layer: From the student's width to the teacher's: a 1x1 convolution between maps, else a linear layer.
    """

    def __init__(self, layer: nn.Conv2d | nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Bring two features to one shape.

        Args:
            student: Map ``(B, D1, H1, W1)``, tokens ``(B, N1, D1)`` or vector ``(B, D1)``, any floating dtype.
            teacher: Likewise, with a width of D2.

        Returns:
            Both with a width of D2, in the dtype of the parameters: maps at the smaller of both heights and widths,
            tokens where there are equally many, else ``(B, D2)`` means over positions.
        """
        dtype = self.layer.weight.dtype
        with torch.autocast(student.device.type, enabled=False):
            student, teacher = _same_positions(student.to(dtype), teacher.to(dtype))
            return self.layer(student), teacher


def build_adapter(student: Tensor, teacher: Tensor) -> Adapter:
    """An adapter for features like these, on the student's device.

    Its weights are drawn from torch's global random state of the CPU, whatever the device; the caller restores that.

    Args:
        student: A batch of the student's feature: ``(B, D1, H1, W1)``, ``(B, N1, D1)`` or ``(B, D1)``.
        teacher: A batch of the teacher's, likewise.

    Returns:
        The adapter, with float32 parameters.

    Raises:
        MTKDError: A feature has another number of dimensions.

    Example:
        >>> adapter = build_adapter(torch.zeros(2, 16, 8, 8), torch.zeros(2, 32, 4, 4))
        >>> [tuple(x.shape) for x in adapter(torch.zeros(3, 16, 6, 6), torch.zeros(3, 32, 3, 3))]
        [(3, 32, 3, 3), (3, 32, 3, 3)]
    """
    widths = _width(student, 'student'), _width(teacher, 'teacher')
    maps = student.ndim == teacher.ndim == 4
    layer = nn.Conv2d(*widths, kernel_size=1, device='cpu') if maps else nn.Linear(*widths, device='cpu')
    return Adapter(layer.to(student.device))


def _width(feature: Tensor, whose: str) -> int:
    """The number of channels of a feature; MTKDError where it is no map, tokens or vector."""
    if feature.ndim not in (2, 3, 4):
        raise MTKDError(
            f"the {whose}'s tapped feature has shape {tuple(feature.shape)}; name a layer whose output is "
            '(B, D, H, W), (B, N, D) or (B, D)'
        )
    return feature.shape[2 if feature.ndim == 3 else 1]


def _same_positions(student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
    """Both features over the same positions; the widths stay."""
    if student.ndim == teacher.ndim == 4:
        size = min(student.shape[2], teacher.shape[2]), min(student.shape[3], teacher.shape[3])
        return _average(student, size), _average(teacher, size)
    if student.ndim == teacher.ndim == 3 and student.shape[1] == teacher.shape[1]:
        return student, teacher
    return pool(student), pool(teacher)


def _average(feature: Tensor, size: tuple[int, int]) -> Tensor:
    """A map ``(B, D, H, W)`` average-pooled to a size that is not larger."""
    height, width = feature.shape[2:]
    if (height, width) == size:
        return feature
    if height % size[0] == width % size[1] == 0:  # the same means, and unlike adaptive pooling deterministic on CUDA
        return avg_pool2d(feature, (height // size[0], width // size[1]))
    return adaptive_avg_pool2d(feature, size)
