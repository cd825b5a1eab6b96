"""Backbones for small pictures that mmpretrain lacks, among them those of the MTKD-RL paper (Yang et al., AAAI 2025).

All are used as ``backbone`` of mmpretrain's ``ImageClassifier`` and return a tuple with the last feature map.
"""

from mtkd_rl.models.mobilenet_v2 import CIFARMobileNetV2
from mtkd_rl.models.regnet import CIFARRegNet
from mtkd_rl.models.resnet import CIFARResNet
from mtkd_rl.models.shufflenet_v2 import CIFARShuffleNetV2
from mtkd_rl.models.tiny import TinyConvNet
from mtkd_rl.models.wide_resnet import WideResNet

__all__ = ['CIFARMobileNetV2', 'CIFARRegNet', 'CIFARResNet', 'CIFARShuffleNetV2', 'TinyConvNet', 'WideResNet']
