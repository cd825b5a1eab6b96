"""The numbers that CDDFuse's evaluator prints.

``utils/Evaluator.py`` of Zhaozixiang1228/MMIF-CDDFuse, commit 40de058 (2023), which EMMA and others use too. Its
arithmetic is in float32. It has no MS-SSIM and no Nabf.
"""

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from mtkd_rl.fusion.metrics import contrast, dependence, distortion, edges, fidelity
from mtkd_rl.fusion.metrics.base import Protocol, check_window, in_double


def _grey(picture: np.ndarray) -> np.ndarray:
    """OpenCV's luma in float32, rounded, halves to even; float32 ``(H, W)``."""
    colour = picture if picture.ndim == 3 else np.repeat(picture[..., None], 3, axis=2)
    return np.round(cv2.cvtColor(colour.astype(np.float32), cv2.COLOR_RGB2GRAY))


def _mutual_information(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """MI in nats."""
    return dependence.mutual_information(fused, infrared, visible) * float(np.log(2))


def _peak_signal_to_noise(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """PSNR whose peak is the largest value of the fused picture, not 255."""
    error = distortion.mean_squared_error(fused, infrared, visible)
    with np.errstate(divide='ignore'):
        return float(10 * np.log10(fused.max() ** 2 / error)) if error > 0 else float('inf')


def _ssim(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """SSIM with scikit-image's defaults: a flat window of 7x7, and values taken to be in -1..1, though in 0..255.

    The range, 2, is what scikit-image 0.19, which the script is for, assumes of floats; later ones refuse its call.
    """
    check_window('SSIM', fused, 7)
    return sum(float(structural_similarity(fused, source, data_range=2)) for source in (infrared, visible))


def ratio_of_scripts(source: np.ndarray, fused: np.ndarray) -> np.ndarray:
    """Ratio of two edges' strengths, but where they are equal the strength itself, not 1, as in all public scripts."""
    return np.where(source == fused, fused, edges.strength_ratio(source, fused))


def edge_preservation(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """Qabf with the scripts' ratio, which is up to 0.06 % more."""
    return edges.weighted_edges(fused, infrared, visible, ratio_of_scripts)


CDDFUSE = Protocol(
    name='cddfuse',
    source='utils/Evaluator.py of MMIF-CDDFuse',
    prepare=_grey,
    metrics={
        'EN': contrast.entropy,
        'SD': contrast.standard_deviation,
        'SF': contrast.spatial_frequency,
        'AG': contrast.average_gradient,
        'MI': _mutual_information,
        'CC': dependence.correlation_coefficient,
        'SCD': dependence.sum_of_correlations_of_differences,
        'PSNR': _peak_signal_to_noise,
        'SSIM': _ssim,
        'VIF': in_double(fidelity.visual_information_fidelity),
        'Qabf': edge_preservation,
    },
)
