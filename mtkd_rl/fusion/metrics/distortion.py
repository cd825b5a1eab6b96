"""How far the fused picture is from the sources. Their mean is the nearest that there is."""

import numpy as np


def peak_signal_to_noise(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """PSNR: ``10 log10(255^2 / MSE)``, MSE the mean of those to both sources (Ma, Ma and Li 2019, Inf. Fusion 45).

    Returns:
        Decibels, at least 0; infinite where all three pictures are equal.
    """
    error = mean_squared_error(fused, infrared, visible)
    return float(10 * np.log10(255**2 / error)) if error > 0 else float('inf')


def mean_squared_error(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> np.floating:
    """``(mean (F - infrared)^2 + mean (F - visible)^2) / 2``."""
    return (np.mean((infrared - fused) ** 2) + np.mean((visible - fused) ** 2)) / 2
