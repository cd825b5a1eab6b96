"""Losses of fused pictures."""

from mtkd_rl.fusion.losses.label_free import FusionLoss

__all__ = ['FusionLoss']
