"""A network of the SwinFusion kind (Ma et al., IEEE/CAA J. Automatica Sinica 2022, doi:10.1109/JAS.2022.105686)."""

from typing import ClassVar

import torch
from torch import Tensor, nn
from torchvision.models.swin_transformer import SwinTransformerBlock

from mtkd_rl.fusion.models.base import FusionNetwork, conv
from mtkd_rl.fusion.models.tiny import Mixture
from mtkd_rl.registry import MODELS


@MODELS.register_module()
class SwinFuse(FusionNetwork):
    """Window attention in each source, then over both together, on 2 x 2 pixels at a time.

    SwinFusion attends within and across sources by turns at full size; here the second stage attends over windows of
    both features, joined by a convolution, and tokens are 2 x 2 pixels, for a sixteenth of the attention.

    Args:
        width: Channels of a token, a multiple of ``heads``.
        heads: Heads of the attention.
        depth: Blocks of each stage; every second one shifts its windows.
        window: Side of a window, in tokens.
    """

    stride: ClassVar[int] = 2

    def __init__(self, width: int = 48, heads: int = 4, depth: int = 2, window: int = 8) -> None:
        super().__init__()
        self.encoder = SwinEncoder(width, heads, depth, window)
        self.decoder = Mixture(width)


class SwinEncoder(nn.Module):
    """Tokens of each source through one stage, joined, and through another.

    Args:
        width: Channels of a token.
        heads: Heads of the attention.
        depth: Blocks of a stage.
        window: Side of a window.
    """

    def __init__(self, width: int, heads: int, depth: int, window: int) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.PixelUnshuffle(2), conv(4, width))
        self.within = stage(width, heads, depth, window)
        self.join = conv(2 * width, width)
        self.across = stage(width, heads, depth, window)

    def forward(self, pair: Tensor) -> Tensor:
        """Map a pair ``(B, 2, H, W)`` to ``(B, width, H / 2, W / 2)``."""
        tokens = self.embed(pair.flatten(0, 1).unsqueeze(1))
        tokens = tokens + _over_maps(self.within, tokens)
        both = self.join(tokens.unflatten(0, (-1, 2)).flatten(1, 2))
        out: Tensor = both + _over_maps(self.across, both)
        return out


def stage(width: int, heads: int, depth: int, window: int) -> nn.Sequential:
    """Blocks of window attention, every second one shifted; maps ``(B, H, W, width)``."""
    shifts = [0 if i % 2 == 0 else window // 2 for i in range(depth)]
    return nn.Sequential(
        *(SwinTransformerBlock(width, heads, [window, window], [shift, shift], mlp_ratio=2.0) for shift in shifts)
    )


def _over_maps(blocks: nn.Module, maps: Tensor) -> Tensor:
    out: Tensor = blocks(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
    return torch.Tensor.contiguous(out)
