"""A student: small and fast, because it looks at a picture at half its size."""

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from mtkd_rl.fusion.models.base import FusionNetwork, conv
from mtkd_rl.registry import MODELS


@MODELS.register_module()
class TinyFuser(FusionNetwork):
    """Convolutions on 2 x 2 pixels at a time, which say how to mix the sources and what to add.

    Writing ``I`` and ``Y`` for infrared and visible luma, the fused picture is ``a I + (1 - a) Y + r`` with a mixture
    ``a`` in (0, 1) and a detail ``r`` of every pixel. At first ``a`` is near 1/2 and ``r`` near 0. It has ``144 w + 9 d
    w^2`` weights and some biases: 1,000 at ``w = 4``, 7,000 at ``w = 16``, 70,000 at ``w = 48, d = 3``.

    Args:
        width: Channels, w.
        depth: Residual convolutions, d.
    """

    stride: ClassVar[int] = 2

    def __init__(self, width: int = 16, depth: int = 2) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.PixelUnshuffle(2), conv(8, width), *(Residual(width) for _ in range(depth)))
        self.decoder = Mixture(width)


class Residual(nn.Module):
    """``x + f(x)`` with one convolution.

    Args:
        width: Channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = conv(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, width, H, W)`` to the same shape."""
        out: Tensor = x + self.conv(x)
        return out


class Mixture(nn.Module):
    """Mixture and detail of four pixels each.

    Args:
        width: Channels of the feature.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        last = nn.Conv2d(width, 8, 3, padding=1, padding_mode='replicate')
        nn.init.normal_(last.weight, std=0.01)
        nn.init.zeros_(cast(Tensor, last.bias))
        self.head = nn.Sequential(last, nn.PixelShuffle(2))

    def forward(self, feature: Tensor, pair: Tensor) -> Tensor:
        """Map a feature ``(B, width, H / 2, W / 2)`` and the pair ``(B, 2, H, W)`` to the fused ``(B, 1, H, W)``."""
        mixture, detail = self.head(feature).chunk(2, dim=1)
        infrared, visible = pair.chunk(2, dim=1)
        return torch.lerp(visible, infrared, mixture.sigmoid()) + detail
