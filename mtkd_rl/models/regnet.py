"""RegNet for 32 x 32 pictures."""

from typing import NamedTuple

from mmengine.model import BaseModule
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.models.blocks import INIT_CFG, conv_norm
from mtkd_rl.registry import MODELS


class Arch(NamedTuple):
    """Blocks and channels of each stage, channels of a group, and squeezed over incoming channels (0: no SE)."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    group_width: int
    se_ratio: float = 0.0


class SqueezeExcite(BaseModule):
    """Channel gates from the pooled feature ("Squeeze-and-Excitation Networks", Hu et al., 2018)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Scale the channels of ``(B, D, H, W)`` by gates in (0, 1)."""
        return x * self.gate(x)


class RegNetBlock(BaseModule):
    """1 x 1, grouped 3 x 3, SE where asked for, 1 x 1; none of them narrower than the output."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, arch: Arch) -> None:
        super().__init__()
        squeezed = round(in_channels * arch.se_ratio)
        self.branch = nn.Sequential(
            conv_norm(in_channels, out_channels),
            conv_norm(out_channels, out_channels, 3, stride, groups=out_channels // arch.group_width),
            SqueezeExcite(out_channels, squeezed) if squeezed else nn.Identity(),
            conv_norm(out_channels, out_channels, relu=False),
        )
        same = stride == 1 and in_channels == out_channels
        self.shortcut = nn.Identity() if same else conv_norm(in_channels, out_channels, 1, stride, relu=False)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(B, in_channels, H, W)`` to ``(B, out_channels, H / stride, W / stride)``."""
        return self.relu(self.branch(x) + self.shortcut(x))


@MODELS.register_module()
class CIFARRegNet(BaseModule):
    """RegNet ("Designing Network Design Spaces", Radosavovic et al., 2020) with a stem and strides for 32 x 32.

    The stem is a 3 x 3 convolution to 64 channels with stride 1, and only the last two stages halve the picture, as in
    the code of MTKD-RL (Yang et al., 2025): ``(B, in_channels, 32, 32)`` gives one feature map ``(B, D, 8, 8)`` with D
    368 for ``x_200mf`` and 384 for the others. mmpretrain's RegNet has neither this stem nor RegNetY.

    Args:
        arch: ``x_200mf``, ``x_400mf`` or ``y_400mf``.
        in_channels: Channels of the pictures.

    Raises:
        MTKDError: If ``arch`` is none of these.
    """

    archs = {
        'x_200mf': Arch((1, 1, 4, 7), (24, 56, 152, 368), 8),
        'x_400mf': Arch((1, 2, 7, 12), (32, 64, 160, 384), 16),
        # The code of MTKD-RL gives RegNetY-400MF the stages of RegNetX-400MF, not those of the RegNet paper.
        'y_400mf': Arch((1, 2, 7, 12), (32, 64, 160, 384), 16, 0.25),
    }

    def __init__(self, arch: str, in_channels: int = 3) -> None:
        super().__init__(init_cfg=INIT_CFG)
        if arch not in self.archs:
            raise MTKDError(f'CIFARRegNet: there is no arch={arch!r}; take one of {candidates(arch, self.archs)}')
        chosen = self.archs[arch]
        channels = 64
        self.stem = conv_norm(in_channels, channels, 3)
        self.stages = nn.Sequential()
        for depth, width, stride in zip(chosen.depths, chosen.widths, (1, 1, 2, 2)):
            stage = nn.Sequential()
            for position in range(depth):
                stage.append(RegNetBlock(channels, width, stride if position == 0 else 1, chosen))
                channels = width
            self.stages.append(stage)

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map ``(B, in_channels, H, W)`` to one feature map ``(B, D, H / 4, W / 4)``."""
        return (self.stages(self.stem(x)),)
