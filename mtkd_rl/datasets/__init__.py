"""Data sets that mmpretrain lacks."""

from mtkd_rl.datasets.npz import NpzClassification

__all__ = ['NpzClassification']
