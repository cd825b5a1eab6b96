"""Data sets that mmpretrain lacks."""

from mtkd_rl.datasets.digits import Digits
from mtkd_rl.datasets.made import MadeClassification
from mtkd_rl.datasets.npz import NpzClassification

__all__ = ['Digits', 'MadeClassification', 'NpzClassification']
