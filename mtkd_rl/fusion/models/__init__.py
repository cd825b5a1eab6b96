"""Fusion networks, and the model that trains and applies them."""

from mtkd_rl.fusion.models.dense_fuse import DenseFuse
from mtkd_rl.fusion.models.gradient_fuse import GradientFuse
from mtkd_rl.fusion.models.model import FusionModel
from mtkd_rl.fusion.models.swin_fuse import SwinFuse
from mtkd_rl.fusion.models.tiny import TinyFuser

__all__ = ['DenseFuse', 'FusionModel', 'GradientFuse', 'SwinFuse', 'TinyFuser']
