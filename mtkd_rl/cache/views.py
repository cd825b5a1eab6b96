"""Augmented views that come again: what is random in them depends on sample, view and seed alone.

A data loader asks its data set for indices. Here its batches of indices become batches of ``(index, view)``, and the
data set makes each of them with random generators that start from both. So a view is the same in any epoch, any worker
and on any rank, and a sample has K of them.
"""

import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from mtkd_rl.rng import isolated

VIEW = 'view'
"""Key of the metainfo that says what a sample is: index, view, and a checksum of its picture."""


class Views:
    """A data set in views.

    Args:
        dataset: Gives a dict with ``inputs``, a tensor, and ``data_samples``.
        seed: Of all views.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        if name == 'dataset':  # asked for while unpickling, before it is there
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        """The view of a sample, with what it is in the data sample's metainfo."""
        index, view = key
        with isolated(zlib.crc32(f'{self.seed} {index} {view}'.encode())):
            item = self.dataset[index]
        item['data_samples'].set_metainfo({VIEW: (index, view, checksum(item['inputs']))})
        return item


def checksum(picture: torch.Tensor) -> int:
    """CRC-32 of a picture; what was said of another one is not read for it."""
    return zlib.crc32(np.ascontiguousarray(picture.numpy()).tobytes())


class ViewBatches:
    """Batches of ``(index, view)``.

    Sample i shows view ``(o_i + e) mod K`` in epoch e, with an ``o_i`` of its own: in K epochs it shows each once.

    Args:
        batches: Batches of indices, of one epoch or without end.
        views: K, at least 1.
        share: Samples of this process in an epoch.
        seed: Of the ``o_i``.
    """

    def __init__(self, batches: Any, views: int, share: int, seed: int) -> None:
        self.batches = batches
        self.views = views
        self.share = share
        self.seed = seed
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        if name == 'batches':
            raise AttributeError(name)
        return getattr(self.batches, name)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        seen, first = 0, self.epoch
        for batch in self.batches:
            epochs = [first + (seen + i) // self.share for i in range(len(batch))]
            seen += len(batch)
            yield [(index, self._view(index, epoch)) for index, epoch in zip(batch, epochs)]
        self.epoch = first + 1  # where nobody says it: loops that count iterations begin again by themselves

    def _view(self, index: int, epoch: int) -> int:
        return (zlib.crc32(f'{self.seed} {index}'.encode()) + epoch) % self.views
