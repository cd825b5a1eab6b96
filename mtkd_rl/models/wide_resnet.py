"""Wide ResNet for 32 x 32 pictures."""

from itertools import pairwise

from mmengine.model import BaseModule
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.models.blocks import INIT_CFG
from mtkd_rl.registry import MODELS


class PreActBlock(BaseModule):
    """Two 3 x 3 convolutions with BatchNorm and ReLU before each (He et al., "Identity Mappings", 2016).

    Where the shape changes, the shortcut is a 1 x 1 convolution of the normalised input, as in Wide ResNet.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False)
        self.shortcut = (
            None if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        )
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to ``(B, out_channels, H / stride, W / stride)``."""
        active = self.relu(self.norm1(x))
        residual = self.conv2(self.relu(self.norm2(self.conv1(active))))
        return residual + (x if self.shortcut is None else self.shortcut(active))


@MODELS.register_module()
class WideResNet(BaseModule):
    """Wide ResNet without dropout ("Wide Residual Networks", Zagoruyko and Komodakis, 2016).

    Pictures of ``(B, in_channels, 32, 32)`` give one feature map ``(B, 64 * widen_factor, 8, 8)``, after the last
    BatchNorm and ReLU. WRN-28-4 is the default.

    Args:
        depth: Number of layers, ``6 n + 4`` with n blocks a stage.
        widen_factor: Multiplies the channels of the three stages: 16, 32, 64.
        in_channels: Channels of the pictures.

    Raises:
        MTKDError: If ``depth`` is not ``6 n + 4`` with n at least 1.
    """

    def __init__(self, depth: int = 28, widen_factor: int = 4, in_channels: int = 3) -> None:
        super().__init__(init_cfg=INIT_CFG)
        blocks, rest = divmod(depth - 4, 6)
        if blocks < 1 or rest:
            raise MTKDError(f'WideResNet: depth={depth} is not 6 n + 4; take 10, 16, 22, 28 or 40')
        widths = (16, 16 * widen_factor, 32 * widen_factor, 64 * widen_factor)
        self.stem = nn.Conv2d(in_channels, widths[0], 3, 1, 1, bias=False)
        self.stages = nn.Sequential()
        for (before, width), stride in zip(pairwise(widths), (1, 2, 2)):
            rest_of_stage = [PreActBlock(width, width, 1) for _ in range(blocks - 1)]
            self.stages.append(nn.Sequential(PreActBlock(before, width, stride), *rest_of_stage))
        self.norm = nn.BatchNorm2d(widths[-1])
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map ``(B, in_channels, H, W)`` to one feature map ``(B, 64 * widen_factor, H / 4, W / 4)``."""
        return (self.relu(self.norm(self.stages(self.stem(x)))),)
