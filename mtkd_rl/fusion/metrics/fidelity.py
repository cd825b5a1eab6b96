"""VIF, summed over the sources."""

import numpy as np

from mtkd_rl.fusion.metrics.base import check_window
from mtkd_rl.fusion.metrics.windows import gaussian, moments, smooth

SIDES = (17, 9, 5, 3)
"""Of the windows at the four scales; sigma is a fifth."""

NOISE = 2.0
"""Variance of the noise that vision adds, in squared grey levels."""

TINY = 1e-10


def visual_information_fidelity(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """VIF: ``V(infrared, F) + V(visible, F)``, in the pixel domain.

    ``V = sum log(1 + g^2 vs / (ve + 2)) / sum log(1 + vs / 2)`` over the windows of four scales; in each ``F = g S +
    noise`` of variance ``ve``, fitted to the source S of variance ``vs`` (Sheikh and Bovik 2006, IEEE TIP 15, in the
    authors' vifp). Of a scale only windows that lie in the picture count, so of one under 41 pixels fewer scales do.
    torchmetrics has the same definition, over two-dimensional windows, which take forty times as long in float64.

    Returns:
        At least 0; 2 where all three pictures are equal, more where contrast is raised. A constant source, which tells
        nothing, counts as told whole: 1.

    Raises:
        TooSmallError: A side is shorter than 17 pixels.
    """
    check_window('VIF', fused, SIDES[0])
    return _fidelity(infrared, fused) + _fidelity(visible, fused)


def _fidelity(source: np.ndarray, fused: np.ndarray) -> float:
    told = total = 0.0
    for scale, side in enumerate(SIDES):
        window = gaussian(side, side / 5)
        if scale > 0:
            source, fused = (smooth(picture, window)[::2, ::2] for picture in (source, fused))
        if min(fused.shape) < side:
            break
        local = moments(source, fused, window)
        signal, seen = np.maximum(local.variance_a, 0), np.maximum(local.variance_b, 0)
        gain = local.covariance / (signal + TINY)
        gain[(signal < TINY) | (seen < TINY)] = 0
        signal[signal < TINY] = 0
        noise = np.where(gain > 0, seen - gain * local.covariance, seen)
        gain = np.maximum(gain, 0)
        told += float(np.log(1 + gain**2 * signal / (np.maximum(noise, TINY) + NOISE)).sum())
        total += float(np.log(1 + signal / NOISE).sum())
    return told / total if total > 0 else 1.0
