"""DenseFuse (Li and Wu, IEEE Transactions on Image Processing 2019, https://arxiv.org/abs/1804.08361)."""

import torch
from torch import Tensor, nn

from mtkd_rl.fusion.models.base import FusionNetwork, conv
from mtkd_rl.registry import MODELS


@MODELS.register_module()
class DenseFuse(FusionNetwork):
    """An autoencoder with a dense block, which encodes each source alone.

    The sources' codes are fused by their mean (the paper's addition strategy). The paper trains it to reconstruct
    single pictures and fuses afterwards; here it is trained on pairs, as all are, so the decoder knows what it will be
    given.

    Args:
        width: Channels of each layer of the encoder, the paper's 16; the code has four times as many.
    """

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.encoder = SharedEncoder(width)
        self.decoder = Decoder(4 * width, (4 * width, 2 * width, width))


class SharedEncoder(nn.Module):
    """A convolution and a dense block of three, of each source with the same weights; the codes' mean.

    Args:
        width: Channels of each layer.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = conv(1, width)
        self.dense = nn.ModuleList([conv(i * width, width) for i in (1, 2, 3)])

    def forward(self, pair: Tensor) -> Tensor:
        """Map a pair ``(B, 2, H, W)`` to the fused code ``(B, 4 width, H, W)``."""
        code = self.first(pair.flatten(0, 1).unsqueeze(1))
        for layer in self.dense:
            code = torch.cat([code, layer(code)], dim=1)
        return code.unflatten(0, (-1, 2)).mean(dim=1)


class Decoder(nn.Module):
    """Convolutions from a feature to a picture; the pair itself is not looked at.

    Args:
        before: Channels of the feature.
        widths: Channels of the layers before the last one.
    """

    def __init__(self, before: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        layers = [conv(*each) for each in zip((before, *widths), widths)]
        self.layers = nn.Sequential(*layers, conv(widths[-1], 1, act=False))

    def forward(self, feature: Tensor, pair: Tensor) -> Tensor:
        """Map a feature ``(B, before, H, W)`` to the fused ``(B, 1, H, W)``."""
        fused: Tensor = self.layers(feature)
        return fused
