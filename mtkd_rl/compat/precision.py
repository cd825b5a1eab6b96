"""Precision in which the operators work."""

import torch
from torch import Tensor


def wide(tensor: Tensor) -> Tensor:
    """In float32 where it is half precision or integers, which not every operator takes on every device."""
    return tensor if tensor.dtype in (torch.float32, torch.float64) else tensor.float()
