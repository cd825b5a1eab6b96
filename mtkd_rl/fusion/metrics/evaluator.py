"""The metrics as an evaluator of mmengine."""

from collections.abc import Sequence
from logging import WARNING
from typing import Any

from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from mmengine.structures import BaseDataElement

from mtkd_rl.fusion.metrics.scoring import chosen, find_protocol, means, score
from mtkd_rl.fusion.structures import picture_of
from mtkd_rl.registry import METRICS


@METRICS.register_module()
class FusionMetric(BaseMetric):
    """Means of fusion metrics over pictures, each under its protocol's name: ``mtkd/PSNR``, ``cddfuse/SSIM``.

    Pictures too small for a metric, and the infinite PSNR of equal ones, are left out of its mean, with a warning.

    Args:
        protocol: What the numbers mean: ``mtkd``, ``cddfuse``, ``tang``, ``tang_python`` or ``ivif_zoo``.
        names: Which of its metrics; all by default. (In an evaluator's dict mmengine takes ``metrics`` for a list of
            evaluators.)
        collect_device: As for mmengine's ``BaseMetric``.
        collect_dir: Likewise.

    Raises:
        MTKDError: There is no such protocol or metric.
    """

    def __init__(
        self,
        protocol: str = 'mtkd',
        names: Sequence[str] | None = None,
        collect_device: str = 'cpu',
        collect_dir: str | None = None,
    ) -> None:
        self.protocol = protocol
        self.names = chosen(find_protocol(protocol), names)
        super().__init__(collect_device=collect_device, prefix=protocol, collect_dir=collect_dir)

    def process(self, data_batch: Any, data_samples: Sequence[Any]) -> None:
        """Scores the pictures of a batch.

        Args:
            data_batch: Not looked at.
            data_samples: For each picture ``fused``, ``infrared`` and ``visible``, uint8 ``(1, h, w)`` or ``(3, h, w)``
                in RGB order; ``FusionDataSample`` or the dict of one.

        Raises:
            MTKDError: As `score`.
        """
        for sample in data_samples:
            fields = sample.to_dict() if isinstance(sample, BaseDataElement) else sample
            fused, infrared, visible = (picture_of(fields[role]) for role in ('fused', 'infrared', 'visible'))
            self.results.append(score(fused, infrared, visible, self.protocol, self.names, lenient=True))

    def compute_metrics(self, results: list[dict[str, float]]) -> dict[str, float]:
        """The mean of each metric over all pictures."""
        found, left_out = means(results, self.names)
        for name, count in left_out.items():
            print_log(f'{self.protocol}/{name}: {count} of {len(results)} pairs have none', 'current', WARNING)
        return found
