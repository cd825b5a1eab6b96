"""The protocol of this project, and the default: the definitions of the papers, on what is written to files."""

import numpy as np

from mtkd_rl.fusion.colour import luma8
from mtkd_rl.fusion.metrics import contrast, dependence, distortion, edges, fidelity, structure
from mtkd_rl.fusion.metrics.base import Protocol


def _luma(picture: np.ndarray) -> np.ndarray:
    return luma8(picture).astype(np.float64)


MTKD = Protocol(
    name='mtkd',
    source='the definitions of the papers: luma, uint8, no stretching',
    prepare=_luma,
    metrics={
        'EN': contrast.entropy,
        'SD': contrast.standard_deviation,
        'SF': contrast.spatial_frequency,
        'AG': contrast.average_gradient,
        'MI': dependence.mutual_information,
        'CC': dependence.correlation_coefficient,
        'SCD': dependence.sum_of_correlations_of_differences,
        'PSNR': distortion.peak_signal_to_noise,
        'SSIM': structure.ssim,
        'MS-SSIM': structure.multi_scale_ssim,
        'VIF': fidelity.visual_information_fidelity,
        'Qabf': edges.edge_preservation,
        'Nabf': edges.edge_artefacts,
    },
)
