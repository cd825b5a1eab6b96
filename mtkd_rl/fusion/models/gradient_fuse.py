"""A network of the SeAFusion kind (Tang, Yuan and Ma, Information Fusion 2022, doi:10.1016/j.inffus.2021.12.004)."""

import torch
from torch import Tensor, nn

from mtkd_rl.fusion.models.base import FusionNetwork, conv
from mtkd_rl.fusion.models.dense_fuse import Decoder
from mtkd_rl.losses.functional import sobel
from mtkd_rl.registry import MODELS


@MODELS.register_module()
class GradientFuse(FusionNetwork):
    """A branch of gradient residual dense blocks for each source; both features are decoded together.

    As SeAFusion's fusion network, without the segmentation network that trains it there.

    Args:
        width: Channels of the first layer, the paper's 16; the blocks have two and three times as many.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.encoder = TwoBranches(width)
        self.decoder = Decoder(6 * width, (4 * width, 2 * width, width))


class TwoBranches(nn.Module):
    """Infrared and visible each by their own layers, then side by side.

    Args:
        width: Channels of the first layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList(
            [
                nn.Sequential(conv(1, width), GradientBlock(width, 2 * width), GradientBlock(2 * width, 3 * width))
                for _ in range(2)
            ]
        )

    def forward(self, pair: Tensor) -> Tensor:
        """Map a pair ``(B, 2, H, W)`` to ``(B, 6 width, H, W)``."""
        return torch.cat([branch(pair[:, i : i + 1]) for i, branch in enumerate(self.branches)], dim=1)


class GradientBlock(nn.Module):
    """Dense convolutions beside the gradient of what comes in (SeAFusion's GRDB).

    Args:
        before: Channels in.
        after: Channels out.
    """

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.first = conv(before, before)
        self.second = conv(2 * before, before)
        self.main = nn.Conv2d(3 * before, after, 1)
        self.edges = nn.Conv2d(before, after, 1)
        self.act = nn.LeakyReLU(0.1)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, before, H, W)`` to ``(B, after, H, W)``."""
        dense = torch.cat([x, self.first(x)], dim=1)
        dense = torch.cat([dense, self.second(dense)], dim=1)
        out: Tensor = self.act(self.main(dense) + self.edges(sobel(x)))
        return out
