"""Transforms of pairs: both pictures are read, moved and packed alike.

Between ``LoadPair`` and ``PackPair`` a pair is a dict with ``infrared``, uint8 ``(H, W)``; ``visible``, uint8
``(H, W, 3)`` in RGB order or ``(H, W)``; and ``ideal``, uint8 ``(H, W)``, where it is known.
"""

from mtkd_rl.fusion.transforms.degrading import PairDegrade
from mtkd_rl.fusion.transforms.geometry import PairRandomCrop, PairRandomFlip, PairResize
from mtkd_rl.fusion.transforms.loading import LoadPair
from mtkd_rl.fusion.transforms.packing import PackPair

__all__ = ['LoadPair', 'PackPair', 'PairDegrade', 'PairRandomCrop', 'PairRandomFlip', 'PairResize']
