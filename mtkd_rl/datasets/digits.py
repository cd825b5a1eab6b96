"""The handwritten digits that scikit-learn carries: real data without a download."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import DATASETS

N_TRAIN = 1000
"""Pictures of the train split; the other 797 are the validation split."""


@DATASETS.register_module()
class Digits(BaseDataset):
    """1,797 grey pictures of 8x8 pixels, ten classes (scikit-learn's ``load_digits``: Alpaydin and Kaynak 1998, UCI).

    The split is fixed: the order of ``numpy.random.default_rng(0).permutation``, the first 1,000 for training.

    Args:
        split: ``train`` or ``val``.
        digits: Only these classes; the labels stay what they are.
        limit: Only the first so many pictures of the split.
        **kwargs: Those of mmpretrain's ``BaseDataset``, such as ``pipeline``.

    Raises:
        MTKDError: scikit-learn is not installed, or the split is unknown.
    """

    METAINFO = {'classes': tuple('0123456789')}

    def __init__(
        self, split: str = 'train', digits: Sequence[int] | None = None, limit: int | None = None, **kwargs: Any
    ) -> None:
        if split not in ('train', 'val'):
            raise MTKDError(f"Digits: no split {split!r}; use 'train' or 'val'")
        self.split = split
        self.digits = digits
        self.limit = limit
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """``img``, uint8 ``(8, 8, 1)`` in 0..255, and ``gt_label``, int, for each picture."""
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise MTKDError('Digits: scikit-learn carries the pictures; pip install mtkd_rl[digits]') from None
        images, labels = load_digits(return_X_y=True)
        images = np.round(images * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
        order = np.random.default_rng(0).permutation(len(labels))
        order = order[:N_TRAIN] if self.split == 'train' else order[N_TRAIN:]
        rows = [row for row in order if self.digits is None or labels[row] in self.digits][: self.limit]
        return [{'img': images[row], 'gt_label': int(labels[row])} for row in rows]
