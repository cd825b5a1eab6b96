"""How far a fused picture is from what there was to see, where that is known: of made scenes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.evaluator import BaseMetric
from mmengine.structures import BaseDataElement
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.colour import luma8
from mtkd_rl.fusion.structures import picture_of
from mtkd_rl.registry import METRICS


def to_ideal(fused: np.ndarray, ideal: np.ndarray) -> dict[str, float]:
    """PSNR and SSIM of the luma, scikit-image's.

    No metric of the sources alone says who fuses well: their mean and their maximum win half of these each.

    Args:
        fused: uint8 ``(H, W)``, or ``(H, W, 3)`` in RGB order.
        ideal: uint8 ``(H, W)``.

    Returns:
        ``PSNR`` in decibels, and ``SSIM`` in -1..1 (Gaussian windows of 11 x 11, sigma 1.5).
    """
    luma = luma8(fused)
    ssim = structural_similarity(
        luma, ideal, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
    )
    return {'PSNR': float(peak_signal_noise_ratio(ideal, luma, data_range=255)), 'SSIM': float(ssim)}


@METRICS.register_module()
class IdealMetric(BaseMetric):
    """Means of `to_ideal` over pictures: ``ideal/PSNR`` and ``ideal/SSIM``.

    Args:
        collect_device: As for mmengine's ``BaseMetric``.
        collect_dir: Likewise.
    """

    default_prefix = 'ideal'

    def __init__(self, collect_device: str = 'cpu', collect_dir: str | None = None) -> None:
        super().__init__(collect_device=collect_device, collect_dir=collect_dir)

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Scores the pictures of a batch.

        Args:
            data_batch: Not looked at.
            data_samples: For each picture ``fused`` and ``ideal``, uint8 ``(C, h, w)``; ``FusionDataSample`` or the
                dict of one.

        Raises:
            MTKDError: It is not known what there was to see.
        """
        for sample in data_samples:
            fields = sample.to_dict() if isinstance(sample, BaseDataElement) else sample
            if 'ideal' not in fields:
                raise MTKDError(
                    'IdealMetric: the data sample has no ideal picture: only made scenes (FusionScenes) have; '
                    'score real pairs with FusionMetric'
                )
            self.results.append(to_ideal(picture_of(fields['fused']), picture_of(fields['ideal'])))

    def compute_metrics(self, results: list[dict[str, float]]) -> dict[str, float]:
        """The mean of each metric over all pictures."""
        return {name: float(np.mean([result[name] for result in results])) for name in ('PSNR', 'SSIM')}
