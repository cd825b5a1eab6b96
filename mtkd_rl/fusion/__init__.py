"""Infrared-visible image fusion, for which OpenMMLab has no toolbox, on the same Runner, registries and hook.

A pair of pictures becomes ``(B, 2, H, W)`` in [0, 1], infrared first and then the visible luma (``preprocessor``); a
network makes the fused luma of it (``models``), taught without labels (``losses``); the visible's colours are put back,
and the picture is scored as it would be written to a file (``metrics``).
"""

from mtkd_rl.fusion import datasets, hook, losses, metrics, models, preprocessor, transforms, visualizer

__all__ = ['datasets', 'hook', 'losses', 'metrics', 'models', 'preprocessor', 'transforms', 'visualizer']
