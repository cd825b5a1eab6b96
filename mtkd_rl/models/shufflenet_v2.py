"""ShuffleNetV2 for 32 x 32 pictures."""

from mmpretrain.models.backbones.shufflenet_v2 import ShuffleNetV2
from torch import nn

from mtkd_rl.models.blocks import conv_norm
from mtkd_rl.registry import MODELS


@MODELS.register_module()
class CIFARShuffleNetV2(ShuffleNetV2):
    """ShuffleNetV2 (Ma et al., 2018) with a stem for 32 x 32 pictures: a 1 x 1 convolution and no pooling.

    The stem is the one of the code of CRD (Tian et al., 2020), which MTKD-RL took over; all else is mmpretrain's.
    Pictures of ``(B, in_channels, 32, 32)`` give one feature map ``(B, 1024, 4, 4)``, 2048 channels at factor 2.

    Args:
        widen_factor: 0.5, 1.0, 1.5 or 2.0.
        in_channels: Channels of the pictures.
    """

    def __init__(self, widen_factor: float = 1.0, in_channels: int = 3) -> None:
        super().__init__(widen_factor=widen_factor)
        self.conv1 = conv_norm(in_channels, 24)
        self.maxpool = nn.Identity()
