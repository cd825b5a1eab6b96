"""Metrics of the fused picture alone: how much varies in it, whatever it is. Noise raises all of them."""

import numpy as np
from skimage.measure import shannon_entropy


def entropy(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """EN: ``-sum_v p(v) log2 p(v)`` over the values v (Roberts et al. 2008, J. Appl. Remote Sens. 2).

    Returns:
        Bits, in 0..8; 0 of a constant picture.
    """
    return float(shannon_entropy(fused.astype(np.uint8), base=2)) + 0.0  # no -0.0


def standard_deviation(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """SD: ``sqrt(mean (F - mean F)^2)``, the standard deviation of the population.

    Returns:
        Grey levels, in 0..127.5.
    """
    return float(fused.std())


def spatial_frequency(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """SF: ``sqrt(RF^2 + CF^2)``, means of squared differences along rows and columns.

    Eskicioglu and Fisher 1995, IEEE Trans. Commun. 43.

    Returns:
        Grey levels, in 0..361.
    """
    return float(np.sqrt(_mean_square(np.diff(fused, axis=1)) + _mean_square(np.diff(fused, axis=0))))


def _mean_square(differences: np.ndarray) -> np.floating:
    return np.mean(differences**2) if differences.size else np.float64(0)


def average_gradient(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """AG: ``mean sqrt((gx^2 + gy^2) / 2)``, central differences, one-sided at the border.

    Cui et al. 2015, Opt. Commun. 341.

    Returns:
        Grey levels a pixel, in 0..255.
    """
    return float(gradient_lengths(fused).mean())


def gradient_lengths(picture: np.ndarray) -> np.ndarray:
    """``sqrt((gx^2 + gy^2) / 2)`` of every pixel, ``(H, W)``; along a side of one pixel nothing changes."""
    along = [np.gradient(picture, axis=axis) for axis in (0, 1) if picture.shape[axis] > 1]
    return np.sqrt(sum((each**2 for each in along), np.zeros_like(picture)) / 2)
