"""Knowledge losses: pure functions in ``functional``, thin registered classes over them, and adapters for features."""

from .adapters import Adapter, build_adapter
from .base import FeatureLoss, LogitLoss, build_loss
from .feature import MSE, PKD, ChannelWiseKL, Cosine
from .logit import DIST, DKD, KD
from .picture import FusedPicture, PerceptualPicture

__all__ = [
    'DIST',
    'DKD',
    'KD',
    'MSE',
    'PKD',
    'Adapter',
    'ChannelWiseKL',
    'Cosine',
    'FeatureLoss',
    'FusedPicture',
    'LogitLoss',
    'PerceptualPicture',
    'build_adapter',
    'build_loss',
]
