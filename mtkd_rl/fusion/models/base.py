"""What every fusion network is made of: an encoder to a feature, and a decoder of it to the fused picture."""

from typing import ClassVar

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F


class FusionNetwork(BaseModule):
    """A network from a pair of pictures to a fused one; inherit, and set ``encoder`` and ``decoder``.

    ``encoder`` maps a pair ``(B, 2, H, W)`` to the feature ``(B, D, H', W')`` on which students are compared with
    teachers; ``decoder`` maps feature and pair to the fused luma ``(B, 1, H, W)``.

    Attributes:
        stride: What height and width have to be multiples of; other pictures are padded here and cropped again.
    """

    stride: ClassVar[int] = 1
    encoder: nn.Module
    decoder: nn.Module

    def forward(self, pair: Tensor) -> Tensor:
        """The fused luma ``(B, 1, H, W)`` of a pair ``(B, 2, H, W)`` in [0, 1], infrared first; not clamped."""
        height, width = pair.shape[-2:]
        padded = pad_to_multiple(pair, self.stride)
        fused: Tensor = self.decoder(self.encoder(padded), padded)
        return fused[..., :height, :width]


def pad_to_multiple(pictures: Tensor, stride: int) -> Tensor:
    """Pictures ``(B, C, H, W)`` with the last row and column repeated until both sizes are multiples of ``stride``."""
    below, right = -pictures.shape[-2] % stride, -pictures.shape[-1] % stride
    # what is traced is to pad pictures of other sizes too
    if torch.jit.is_tracing() or below or right:
        return F.pad(pictures, (0, right, 0, below), mode='replicate')
    return pictures


def conv(before: int, after: int, kernel: int = 3, act: bool = True) -> nn.Sequential:
    """A convolution that keeps the size, repeating the border, with a leaky ReLU unless that is left out."""
    layers: list[nn.Module] = [nn.Conv2d(before, after, kernel, padding=kernel // 2, padding_mode='replicate')]
    if act:
        layers.append(nn.LeakyReLU(0.1, inplace=True))
    return nn.Sequential(*layers)
