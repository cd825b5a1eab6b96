"""A convolutional network for pictures of a few pixels."""

from collections.abc import Sequence
from itertools import pairwise

from mmengine.model import BaseModule
from torch import Tensor, nn

from mtkd_rl.models.blocks import INIT_CFG, conv_norm
from mtkd_rl.registry import MODELS


@MODELS.register_module()
class TinyConvNet(BaseModule):
    """One 3 x 3 convolution, BatchNorm and ReLU a stage; every stage after the first halves the picture.

    With N stages, ``(B, in_channels, H, W)`` gives one feature map ``(B, widths[-1], ceil(H / 2^(N-1)), ...)``.

    Args:
        widths: Channels of each stage.
        in_channels: Channels of the pictures.
    """

    def __init__(self, widths: Sequence[int] = (16, 32, 64), in_channels: int = 3) -> None:
        super().__init__(init_cfg=INIT_CFG)
        self.stages = nn.Sequential(conv_norm(in_channels, widths[0], 3))
        for before, width in pairwise(widths):
            self.stages.append(conv_norm(before, width, 3, 2))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map ``(B, in_channels, H, W)`` to the tuple of the last stage's feature map."""
        return (self.stages(x),)
