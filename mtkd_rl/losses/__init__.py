"""Knowledge losses: pure functions in ``functional``, thin registered classes over them, and adapters for features."""

from .adapters import Adapter, build_adapter
from .base import FeatureLoss, LogitLoss, Says, build_loss
from .feature import MSE, PKD, ChannelWiseKL, Cosine
from .logit import DIST, DKD, KD, ChannelWiseLogits
from .picture import FusedPicture, PerceptualPicture

__all__ = [
    'DIST',
    'DKD',
    'KD',
    'MSE',
    'PKD',
    'Adapter',
    'ChannelWiseKL',
    'ChannelWiseLogits',
    'Cosine',
    'FeatureLoss',
    'FusedPicture',
    'LogitLoss',
    'PerceptualPicture',
    'Says',
    'build_adapter',
    'build_loss',
]
