"""The numbers that Linfeng Tang's scripts print, of which there are two sets.

``tang``: MATLAB, ``Evaluation/analysis_Reference.m`` of Linfeng-Tang/Evaluation-for-Image-Fusion, commit 0e87153
(2026), in float64. ``tang_python``: ``Metric_Python``, in float32, which he published beside a blog (issue 5 of that
repository) and others copied, among them Nonex111/vif_benchmark, commit 71558c9. The MATLAB function for CC takes the
mean of one source for that of the other, which changes nothing, for the fused picture's deviations add up to 0.
"""

import cv2
import numpy as np

from mtkd_rl.fusion.metrics import contrast, dependence, edges, fidelity, ivif_zoo, structure
from mtkd_rl.fusion.metrics.base import Protocol, check_window, in_double
from mtkd_rl.fusion.metrics.cddfuse import edge_preservation
from mtkd_rl.fusion.metrics.windows import gaussian, moments

RGB2GRAY = (0.298936021293775, 0.587043074451121, 0.114020904255103)
"""MATLAB's weights of R, G and B."""


def _rgb2gray(picture: np.ndarray) -> np.ndarray:
    """MATLAB's luma, rounded, halves upwards; float64 ``(H, W)``."""
    grey = picture if picture.ndim == 2 else np.floor(picture @ np.array(RGB2GRAY) + 0.5)
    return grey.astype(np.float64)


def _average_gradient(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """AG whose sum over H W pixels is divided by ``(H - 1)(W - 1)``."""
    height, width = fused.shape
    with np.errstate(divide='ignore', invalid='ignore'):
        return float(contrast.gradient_lengths(fused).sum() / np.float64((height - 1) * (width - 1)))


def _mutual_information(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """MI, in bits, in whose joint entropies 255 counts as 254: MATLAB's uint8 cannot hold the index 256."""
    return sum(_shared_information(fused, source) for source in (infrared, visible))


def _shared_information(fused: np.ndarray, source: np.ndarray) -> float:
    apart = dependence.joint_counts(fused, source)
    merged = dependence.joint_counts(np.minimum(fused, 254), np.minimum(source, 254))
    alone = sum(dependence.entropy_of(apart.sum(axis=axis)) for axis in (0, 1))
    return alone - dependence.entropy_of(merged)


def _ssim(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """SSIM, the mean of both, with values taken to be in 0..1, as MATLAB's ``ssim`` does with all of class double.

    Its windows are Gaussian and go beyond the border, where the outermost pixel is repeated. After MathWorks'
    documentation, for want of MATLAB.
    """
    return sum(_matlab_ssim(fused, source) for source in (infrared, visible)) / 2


def _matlab_ssim(one: np.ndarray, other: np.ndarray) -> float:
    edge = structure.SIDE // 2
    one, other = (np.pad(each, edge, mode='edge') for each in (one, other))
    local = moments(one, other, gaussian(structure.SIDE, structure.SIGMA))
    c1, c2 = structure.C1 / 255**2, structure.C2 / 255**2
    of_means = (2 * local.mean_a * local.mean_b + c1) / (local.mean_a**2 + local.mean_b**2 + c1)
    return float(np.mean(of_means * (2 * local.covariance + c2) / (local.variance_a + local.variance_b + c2)))


MEF_SCALES = (0.0448, 0.2856, 0.3001)


def _mef_ssim(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """What the scripts call MS_SSIM: MEF-SSIM over three scales (Ma, Zeng and Wang 2015, IEEE TIP 24), in 0..1.

    The fused picture is compared with one patch wanted at each place, made of those of both sources. Smaller sides than
    44 pixels are refused, for which the script gives minus infinity.
    """
    check_window('MS-SSIM', fused, 4 * structure.SIDE)
    weights = np.array(MEF_SCALES) / sum(MEF_SCALES)
    pictures = [fused, infrared, visible]
    scores = []
    for scale in range(len(weights)):
        if scale > 0:
            pictures = [_matlab_halved(picture) for picture in pictures]
        scores.append(_mef_score(*pictures))
    return float(np.prod(np.power(np.maximum(scores, 0), weights)))


def _matlab_halved(picture: np.ndarray) -> np.ndarray:
    """Means of 2x2 pixels, beyond the border the outermost repeated, ``(ceil(H / 2), ceil(W / 2))``."""
    return cv2.blur(picture, (2, 2), anchor=(0, 0), borderType=cv2.BORDER_REFLECT)[::2, ::2]


def _mef_score(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    side, c = structure.SIDE, (0.03 * 255) ** 2
    epsilon = np.finfo(np.float64).eps
    flat = np.full(side, 1 / side)
    # Each patch is its mean, its strength (the length of what differs from the mean) and its direction.
    patches = moments(infrared, visible, flat)
    variances = np.stack([patches.variance_a, patches.variance_b]).clip(min=0)
    lengths = side * np.sqrt(variances)
    strengths = lengths + 0.001
    together = side * np.sqrt((variances.sum(axis=0) + 2 * patches.covariance).clip(min=0))
    # The more the directions agree, the more the stronger patch counts.
    consistency = np.clip((together + epsilon) / (lengths.sum(axis=0) + epsilon), epsilon, 1 - epsilon)
    power = np.minimum(np.tan(np.pi / 2 * consistency), 10)
    shares = (strengths / side) ** power + epsilon
    first, second = shares / shares.sum(axis=0) / strengths
    length = side * np.sqrt(
        (first**2 * variances[0] + second**2 * variances[1] + 2 * first * second * patches.covariance).clip(min=0)
    )
    scale = np.divide(strengths.max(axis=0), length, out=np.ones_like(length), where=length > 0)
    # What SSIM needs of the wanted patch and the fused one, in Gaussian windows.
    window = gaussian(side, structure.SIGMA)
    local = moments(infrared, visible, window)
    wanted = scale**2 * (
        first**2 * local.variance_a + second**2 * local.variance_b + 2 * first * second * local.covariance
    )
    to_first, to_second = moments(infrared, fused, window), moments(visible, fused, window)
    covariance = scale * (first * to_first.covariance + second * to_second.covariance)
    return float(np.mean((2 * covariance + c) / (wanted + to_first.variance_b + c)))


def _artefacts(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """Nabf with its arguments in the wrong order: the infrared is judged, with visible and fused for sources."""
    return edges.edge_artefacts(infrared, visible, fused)


TANG = Protocol(
    name='tang',
    source='MATLAB, Evaluation-for-Image-Fusion of L. Tang',
    prepare=_rgb2gray,
    metrics={
        'EN': contrast.entropy,
        'SD': contrast.standard_deviation,
        'SF': contrast.spatial_frequency,
        'AG': _average_gradient,
        'MI': _mutual_information,
        'CC': dependence.correlation_coefficient,
        'SCD': dependence.sum_of_correlations_of_differences,
        'PSNR': ivif_zoo.peak_signal_to_noise,
        'SSIM': _ssim,
        'MS-SSIM': _mef_ssim,
        'VIF': fidelity.visual_information_fidelity,
        'Qabf': edge_preservation,
        'Nabf': _artefacts,
    },
)

TANG_PYTHON = Protocol(
    name='tang_python',
    source='Metric_Python of L. Tang',
    prepare=ivif_zoo.float_luma,
    metrics={
        'EN': ivif_zoo.entropy,
        'SD': contrast.standard_deviation,
        'SF': contrast.spatial_frequency,
        'AG': _average_gradient,
        'MI': dependence.mutual_information,
        'CC': dependence.correlation_coefficient,
        'SCD': dependence.sum_of_correlations_of_differences,
        'PSNR': ivif_zoo.peak_signal_to_noise,
        'SSIM': ivif_zoo.ssim,
        'MS-SSIM': ivif_zoo.multi_scale_ssim,
        'VIF': in_double(fidelity.visual_information_fidelity),
        'Qabf': edge_preservation,
        'Nabf': ivif_zoo.artefacts,
    },
)
