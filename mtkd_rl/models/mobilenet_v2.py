"""MobileNetV2 for 32 x 32 pictures."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from mtkd_rl.models.blocks import INIT_CFG, conv_norm
from mtkd_rl.registry import MODELS


class InvertedResidual(BaseModule):
    """Expand 1 x 1, depthwise 3 x 3, project 1 x 1 without ReLU; a shortcut where the shape stays."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expand_ratio: int) -> None:
        super().__init__()
        hidden = in_channels * expand_ratio
        self.branch = nn.Sequential(
            conv_norm(in_channels, hidden),
            conv_norm(hidden, hidden, 3, stride, groups=hidden),
            conv_norm(hidden, out_channels, relu=False),
        )
        self.shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to ``(B, out_channels, H / stride, W / stride)``."""
        return x + self.branch(x) if self.shortcut else self.branch(x)


@MODELS.register_module()
class CIFARMobileNetV2(BaseModule):
    """MobileNetV2 (Sandler et al., 2018) as the distillation literature uses it on 32 x 32 pictures, at half width.

    It follows the code of CRD (Tian et al., 2020), which MTKD-RL took over: the stage of 24 channels has stride 1, the
    first block expands too, ReLU stands for ReLU6, and widths are not rounded to multiples of 8. Pictures of
    ``(B, in_channels, 32, 32)`` give one feature map ``(B, 1280, 2, 2)``.

    Args:
        widen_factor: Multiplies the channels of all layers but the last, which keeps 1280 up to factor 1.
        in_channels: Channels of the pictures.
    """

    # Of each stage: expansion, channels, blocks, stride of the first block.
    stages_settings = (
        (1, 16, 1, 1),
        (6, 24, 2, 1),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    )

    def __init__(self, widen_factor: float = 0.5, in_channels: int = 3) -> None:
        super().__init__(init_cfg=INIT_CFG)
        channels = int(32 * widen_factor)
        self.stem = conv_norm(in_channels, channels, 3, 2)
        self.stages = nn.Sequential()
        for expand_ratio, full_width, blocks, stride in self.stages_settings:
            width = int(full_width * widen_factor)
            stage = nn.Sequential()
            for position in range(blocks):
                stage.append(InvertedResidual(channels, width, stride if position == 0 else 1, expand_ratio))
                channels = width
            self.stages.append(stage)
        self.last = conv_norm(channels, int(1280 * max(1.0, widen_factor)))

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map ``(B, in_channels, H, W)`` to one feature map ``(B, 1280, H / 16, W / 16)``."""
        return (self.last(self.stages(self.stem(x))),)
