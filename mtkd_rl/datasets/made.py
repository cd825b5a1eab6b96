"""Made pictures, for benchmarks and for trying a config out where its data are not."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import DATASETS
from mtkd_rl.teachers.contract import pair_of


@DATASETS.register_module()
class MadeClassification(BaseDataset):
    """Pictures of noise with labels drawn at random: shapes and types of real data, and nothing to learn.

    A picture is made when it is asked for, from the seed and its number alone, so any process in any order gets the
    same one, and a long data set costs no memory.

    Args:
        n: Number of pictures.
        size: Side, or height and width, in pixels.
        num_classes: C; labels are drawn from ``0 .. C - 1``.
        channels: D, 3 for colours or 1 for grey.
        seed: At least 0; another seed makes other pictures and labels.
        pipeline: Transforms of mmpretrain; packs the picture as it is when not given.
        **kwargs: Those of mmpretrain's ``BaseDataset``.

    Raises:
        MTKDError: A number is below 1 (``seed`` below 0).
    """

    def __init__(
        self,
        n: int,
        size: int | Sequence[int],
        num_classes: int,
        channels: int = 3,
        seed: int = 0,
        pipeline: Sequence[Mapping[str, Any]] = ({'type': 'PackInputs'},),
        **kwargs: Any,
    ) -> None:
        self.n = n
        self.shape = (*pair_of(size), channels)
        self.num_classes = num_classes
        self.seed = seed
        if min(n, num_classes, *self.shape) < 1 or seed < 0:
            raise MTKDError(
                f'MadeClassification: n={n}, size={size}, num_classes={num_classes} and channels={channels} must be at '
                f'least 1, seed={seed} at least 0'
            )
        super().__init__(ann_file='', pipeline=pipeline, **kwargs)

    def load_data_list(self) -> list[dict[str, int]]:
        """The label of every picture."""
        labels = np.random.default_rng(self.seed).integers(self.num_classes, size=self.n)
        return [{'gt_label': label} for label in labels.tolist()]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """One sample before the pipeline.

        Args:
            idx: Number of the sample.

        Returns:
            ``img``, uint8 ``(H, W, D)``, uniform in 0..255; ``gt_label``, int; ``sample_idx``, int.
        """
        info = super().get_data_info(idx)
        rng = np.random.default_rng((self.seed, info['sample_idx']))
        info['img'] = rng.integers(256, size=self.shape, dtype=np.uint8)
        return info
