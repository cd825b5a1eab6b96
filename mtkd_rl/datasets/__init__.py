"""Data sets that mmpretrain, mmdet and mmseg lack."""

from mtkd_rl.datasets.digits import Digits
from mtkd_rl.datasets.made import MadeClassification
from mtkd_rl.datasets.npz import NpzClassification
from mtkd_rl.datasets.scenes import DetectionScenes, SegmentationScenes

__all__ = ['DetectionScenes', 'Digits', 'MadeClassification', 'NpzClassification', 'SegmentationScenes']
