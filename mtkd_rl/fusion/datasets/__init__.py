"""Pairs of infrared and visible pictures: from folders, and made."""

from mtkd_rl.fusion.datasets.pairs import PairDataset
from mtkd_rl.fusion.datasets.scenes import FusionScenes

__all__ = ['FusionScenes', 'PairDataset']
