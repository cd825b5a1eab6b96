"""Means over Gaussian windows, which SSIM and VIF are made of."""

from typing import NamedTuple

import cv2
import numpy as np


def gaussian(side: int, sigma: float) -> np.ndarray:
    """A Gaussian at the whole numbers around 0, of sum 1, float64 ``(side,)``; side is odd."""
    weights = np.exp(-((np.arange(side) - side // 2) ** 2) / (2 * sigma**2))
    return weights / weights.sum()


def smooth(picture: np.ndarray, window: np.ndarray) -> np.ndarray:
    """The mean over each window that lies in the picture.

    Args:
        picture: ``(H, W)``, no side shorter than the window.
        window: Weights along each axis, ``(side,)``.

    Returns:
        ``(H - side + 1, W - side + 1)``.
    """
    edge = len(window) // 2
    height, width = picture.shape
    return cv2.sepFilter2D(picture, -1, window, window)[edge : height - edge, edge : width - edge]


class Moments(NamedTuple):
    """Of two pictures in each window, ``(h, w)`` each; rounding can leave a variance a little under 0."""

    mean_a: np.ndarray
    mean_b: np.ndarray
    variance_a: np.ndarray
    variance_b: np.ndarray
    covariance: np.ndarray


def moments(a: np.ndarray, b: np.ndarray, window: np.ndarray) -> Moments:
    """Means, variances and the covariance of two pictures ``(H, W)`` in each window that lies in them."""
    mean_a, mean_b = smooth(a, window), smooth(b, window)
    return Moments(
        mean_a,
        mean_b,
        smooth(a * a, window) - mean_a**2,
        smooth(b * b, window) - mean_b**2,
        smooth(a * b, window) - mean_a * mean_b,
    )
