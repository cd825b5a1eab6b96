"""SSIM and its multi-scale form, summed over the sources. Gaussian windows of 11x11, sigma 1.5; values of 0..255."""

import numpy as np
from skimage.metrics import structural_similarity

from mtkd_rl.fusion.metrics.base import check_window
from mtkd_rl.fusion.metrics.windows import gaussian, moments

SIDE = 11
SIGMA = 1.5
C1, C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
SCALES = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, the finest first (Wang, Simoncelli and Bovik 2003); their sum is 1.0001."""


def ssim(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """SSIM: ``S(F, infrared) + S(F, visible)``, S the mean over all windows that lie in the picture.

    ``S = (2 mx my + C1)(2 cxy + C2) / ((mx^2 + my^2 + C1)(vx + vy + C2))``, ``C1 = (0.01 255)^2``,
    ``C2 = (0.03 255)^2`` (Wang et al. 2004, IEEE TIP 13). It is scikit-image's; torchmetrics' also counts windows that
    go over the border.

    Returns:
        In -2..2; 2 where all three pictures are equal.

    Raises:
        TooSmallError: A side is shorter than 11 pixels.
    """
    check_window('SSIM', fused, SIDE)
    return sum(
        float(
            structural_similarity(
                source, fused, gaussian_weights=True, sigma=SIGMA, use_sample_covariance=False, data_range=255
            )
        )
        for source in (infrared, visible)
    )


def multi_scale_ssim(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """MS-SSIM: ``M(F, infrared) + M(F, visible)``, M the product over five scales of the powers of SSIM's factors.

    ``M = mean(S_5)^w5 prod_{j<5} mean(cs_j)^wj``, ``cs = (2 cxy + C2) / (vx + vy + C2)``; a scale is the mean of 2x2
    pixels of the one before; a negative mean counts as 0 (Wang, Simoncelli and Bovik 2003, Asilomar). A picture with a
    side under 176 pixels has fewer scales with room for a window; then their weights are divided by their sum.

    Returns:
        In 0..2; 2 where all three pictures are equal.

    Raises:
        TooSmallError: A side is shorter than 11 pixels.
    """
    check_window('MS-SSIM', fused, SIDE)
    return sum(_multi_scale(source, fused) for source in (infrared, visible))


def _multi_scale(source: np.ndarray, fused: np.ndarray) -> float:
    weights = np.array(SCALES[: (min(fused.shape) // SIDE).bit_length()])
    if len(weights) < len(SCALES):
        weights /= weights.sum()
    window = gaussian(SIDE, SIGMA)
    factors = []
    for scale in range(len(weights)):
        if scale > 0:
            source, fused = halved(source), halved(fused)
        local = moments(source, fused, window)
        factor = (2 * local.covariance + C2) / (local.variance_a + local.variance_b + C2)
        if scale == len(weights) - 1:
            mean_a, mean_b = local.mean_a, local.mean_b
            factor = factor * (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
        factors.append(max(float(factor.mean()), 0.0))
    return float(np.prod(np.power(factors, weights)))


def halved(picture: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels, ``(H // 2, W // 2)``; an odd last row or column is left out."""
    height, width = (side // 2 for side in picture.shape)
    return picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2).mean(axis=(1, 3))
