"""The numbers that IVIF_ZOO's script prints.

``Metric/eval_torch.py`` of RollingPlain/IVIF_ZOO, commit 2fc8473 (2024). Its arithmetic is PyTorch's, in float32. Its
CE, NMI, QNCIE, TE, EI, Qy, Qcb and MSE are not here.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mtkd_rl.fusion.colour import luma8
from mtkd_rl.fusion.metrics import contrast, dependence, distortion, edges, structure
from mtkd_rl.fusion.metrics.base import Protocol, check_window, in_double
from mtkd_rl.fusion.metrics.cddfuse import edge_preservation


def float_luma(picture: np.ndarray) -> np.ndarray:
    """Luma in float32; Pillow's, which the script takes, rounds as ours does but for rare halves."""
    return luma8(picture).astype(np.float32)


def entropy(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """EN with 1e-7 added to every probability in the logarithm: ``-sum p log2(p + 1e-7)``."""
    p = np.bincount(fused.astype(np.uint8).ravel(), minlength=256) / fused.size
    return float(-np.sum(p * np.log2(p + 1e-7)))


def peak_signal_to_noise(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """PSNR with a peak of 255 for pictures divided by 255: 48.13 dB too much."""
    return distortion.peak_signal_to_noise(fused, infrared, visible) + float(20 * np.log10(255))


def ssim(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """SSIM of pictures multiplied by 255, as if they were still in 0..255: C1 and C2 almost vanish.

    In float32 squares of up to 65025 leave an error in the variances that is larger than C2, so that the last digits
    depend on the order of additions.
    """
    check_window('SSIM', fused, structure.SIDE)
    return _summed(_ssim, fused, infrared, visible)


def multi_scale_ssim(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """MS-SSIM with the same mistake; odd sides are padded with 0 before they are halved; at least 161 pixels a side."""
    check_window('MS-SSIM', fused, 161)
    return _summed(_multi_scale, fused, infrared, visible)


artefacts = in_double(partial(edges.weighted_artefacts, faint=0.0))
"""Nabf in which faint edges weigh 0, not 0.001."""


def _summed(index: Callable[[Tensor, Tensor], Tensor], *pictures: np.ndarray) -> float:
    """``index(infrared, F) + index(visible, F)`` of ``(H, W)``, as tensors ``(1, 1, H, W)``."""
    fused, infrared, visible = (torch.from_numpy(picture)[None, None] for picture in pictures)
    return float(index(infrared, fused) + index(visible, fused))


def _factors(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Means of SSIM and of its factor of contrast and structure, of ``(1, 1, H, W)``."""
    steps = torch.arange(structure.SIDE, dtype=torch.float32) - structure.SIDE // 2
    window = torch.exp(-(steps**2) / (2 * structure.SIGMA**2))
    window = window / window.sum()

    def smooth(picture: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(picture, window.view(1, 1, -1, 1)), window.view(1, 1, 1, -1))

    mean_x, mean_y = smooth(x), smooth(y)
    variances = (smooth(x * x) - mean_x.square()) + (smooth(y * y) - mean_y.square())
    covariance = smooth(x * y) - mean_x * mean_y
    contrast_structure = (2 * covariance + structure.C2) / (variances + structure.C2)
    luminance = (2 * (mean_x * mean_y) + structure.C1) / (mean_x.square() + mean_y.square() + structure.C1)
    return (luminance * contrast_structure).mean(), contrast_structure.mean()


def _ssim(x: Tensor, y: Tensor) -> Tensor:
    return _factors(x * 255, y * 255)[0]


def _multi_scale(x: Tensor, y: Tensor) -> Tensor:
    x, y = x * 255, y * 255
    factors = []
    for scale in range(len(structure.SCALES)):
        if scale > 0:
            odd = [side % 2 for side in x.shape[2:]]
            x, y = (F.avg_pool2d(each, kernel_size=2, padding=odd) for each in (x, y))
        whole, contrast_structure = _factors(x, y)
        factors.append(contrast_structure)
    return (torch.stack([*factors[:-1], whole]).relu() ** torch.tensor(structure.SCALES)).prod()


def _fidelity(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """VIF with lopsided windows, from ``-(n // 2) - 1`` to ``n // 2`` in n steps, that go beyond the border, into 0."""
    return _summed(_one_fidelity, fused, infrared, visible)


def _one_fidelity(source: Tensor, fused: Tensor) -> Tensor:
    told = total = torch.zeros(())
    for scale, side in enumerate((17, 9, 5, 3)):
        steps = torch.linspace(-(side // 2) - 1, side // 2, side)
        window = torch.exp(-(steps[:, None] ** 2 + steps**2) / (2 * (side / 5) ** 2))
        window = (window / window.sum())[None, None]

        def smooth(picture: Tensor, window: Tensor = window) -> Tensor:
            return F.conv2d(picture, window, padding=window.shape[-1] // 2)

        if scale > 0:
            source, fused = (smooth(each)[..., ::2, ::2] for each in (source, fused))
        mean_s, mean_f = smooth(source), smooth(fused)
        signal = (smooth(source * source) - mean_s * mean_s).clamp(min=0)
        seen = (smooth(fused * fused) - mean_f * mean_f).clamp(min=0)
        covariance = smooth(source * fused) - mean_s * mean_f
        gain = covariance / (signal + 1e-10)
        gain[(signal < 1e-10) | (seen < 1e-10)] = 0
        noise = torch.where(gain > 0, seen - gain * covariance, seen).clamp(min=1e-10)
        signal = torch.where(signal < 1e-10, 0, signal)
        told = told + torch.log10(1 + gain.clamp(min=0) ** 2 * signal / (noise + 2)).sum()
        total = total + torch.log10(1 + signal / 2).sum()
    return told / total if total > 0 else torch.ones(())


IVIF_ZOO = Protocol(
    name='ivif_zoo',
    source='Metric/eval_torch.py of IVIF_ZOO',
    prepare=float_luma,
    metrics={
        'EN': entropy,
        'SD': contrast.standard_deviation,
        'SF': contrast.spatial_frequency,
        'AG': contrast.average_gradient,
        'MI': dependence.mutual_information,
        'CC': dependence.correlation_coefficient,
        'SCD': dependence.sum_of_correlations_of_differences,
        'PSNR': peak_signal_to_noise,
        'SSIM': ssim,
        'MS-SSIM': multi_scale_ssim,
        'VIF': _fidelity,
        'Qabf': edge_preservation,
        'Nabf': artefacts,
    },
)
