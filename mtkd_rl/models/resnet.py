"""ResNet for 32 x 32 pictures."""

from mmpretrain.models.backbones.resnet import BasicBlock
from mmpretrain.models.backbones.resnet_cifar import ResNet_CIFAR

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import MODELS


@MODELS.register_module()
class CIFARResNet(ResNet_CIFAR):
    """The three-stage ResNet of "Deep Residual Learning for Image Recognition" (He et al., 2016), section 4.2.

    mmpretrain's ``ResNet_CIFAR`` is the four-stage network for ImageNet with another stem; its blocks are used here.
    Pictures of ``(B, 3, 32, 32)`` give one feature map ``(B, 4 * base_channels, 8, 8)``. A shortcut whose shape changes
    is a 1 x 1 convolution.

    ResNet-20 and ResNet-56 are ``depth=20`` and ``depth=56``. ResNet32x4 (Tian et al., "Contrastive Representation
    Distillation", 2020) is ``depth=32, stem_channels=32, base_channels=64``.

    Args:
        depth: Number of layers, ``6 n + 2`` with n blocks a stage.
        stem_channels: Channels of the first convolution.
        base_channels: Channels of the first stage; each later stage doubles them.
        in_channels: Channels of the pictures.

    Raises:
        MTKDError: If ``depth`` is not ``6 n + 2`` with n at least 1.
    """

    def __init__(self, depth: int, stem_channels: int = 16, base_channels: int = 16, in_channels: int = 3) -> None:
        blocks, rest = divmod(depth - 2, 6)
        if blocks < 1 or rest:
            raise MTKDError(f'CIFARResNet: depth={depth} is not 6 n + 2; take 8, 14, 20, 32, 44, 56 or 110')
        self.arch_settings = {depth: (BasicBlock, (blocks,) * 3)}
        super().__init__(
            depth,
            in_channels=in_channels,
            stem_channels=stem_channels,
            base_channels=base_channels,
            num_stages=3,
            strides=(1, 2, 2),
            dilations=(1, 1, 1),
            out_indices=(2,),
            zero_init_residual=False,
        )
