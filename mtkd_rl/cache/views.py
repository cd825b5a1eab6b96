"""Augmented views that come again: what is random in them depends on sample, view and seed alone.

A data loader asks its data set for indices. Here its batches of indices become batches of ``(index, view)``, and the
data set makes each of them with random generators that start from both. So a view is the same in any epoch, any worker
and on any rank, and a sample has K of them.
"""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from mmengine.structures import BaseDataElement
from torch import Tensor

from mtkd_rl.rng import isolated, reseed

VIEW = 'mtkd_view'
"""Key of the metainfo that says what a sample is: index, view, and a checksum of its picture and annotations."""

_OWN = ('dataset', 'seed')


class Views:
    """A data set in views; what else is asked or set of it is the data set's.

    Args:
        dataset: Gives a dict with ``inputs``, a tensor, and ``data_samples``, in mmengine's form.
        seed: Of all views.
    """

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset = dataset
        self.seed = seed

    def __len__(self) -> int:
        return len(self.dataset)

    def __getattr__(self, name: str) -> Any:
        # what is asked for while unpickling is not there yet, and protocols of the data set's are not of views
        if name in _OWN or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in _OWN:
            object.__setattr__(self, name, value)
        else:  # such as the pipeline, which some hooks exchange
            setattr(self.dataset, name, value)

    def __getitem__(self, key: tuple[int, int]) -> Any:
        """The view of a sample, with what it is in the data sample's metainfo; unnamed if it has another form."""
        return self.__getitems__([key])[0]

    def __getitems__(self, keys: Sequence[tuple[int, int]]) -> list[Any]:
        """A batch of them, as torch's loaders ask for it: the global random states are put back once."""
        with isolated():
            return [self._make(*key) for key in keys]

    def _make(self, index: int, view: int) -> Any:
        reseed(zlib.crc32(f'{self.seed} {index} {view}'.encode()))
        item = self.dataset[index]
        sample = item.get('data_samples') if isinstance(item, dict) else None
        if isinstance(sample, BaseDataElement) and isinstance(item.get('inputs'), Tensor):
            seen = index, view, checksum(sample, checksum(item['inputs']))
            sample.set_field(seen, VIEW, field_type='metainfo')  # set_metainfo would make a deep copy
        return item


def checksum(held: Any, start: int = 0) -> int:
    """CRC-32 of all numbers that something holds: a tensor, an array, a data sample, boxes or masks.

    What was said of another picture, or judged by other annotations, is not read for this one.

    Args:
        held: What is looked at; what is none of these counts as nothing.
        start: Checksum of what came before.
    """
    if isinstance(held, Tensor):
        held = held.detach().cpu().numpy()
    if isinstance(held, np.ndarray):
        return zlib.crc32(np.ascontiguousarray(held).tobytes(), start)
    if isinstance(held, BaseDataElement):
        for name in sorted(held.keys()):
            start = checksum(held.get(name), zlib.crc32(name.encode(), start))
        return start
    inner = getattr(held, 'tensor', getattr(held, 'masks', None))  # of mmdet's boxes, and of its masks
    if isinstance(inner, list | tuple):
        for each in inner:
            start = checksum(each, start)
        return start
    return start if inner is None else checksum(inner, start)


class ViewBatches:
    """Batches of ``(index, view)``.

    Sample i shows view ``(o_i + e) mod K`` in epoch e, with an ``o_i`` of its own: in K epochs it shows each once.

    Args:
        batches: Batches of indices, of one epoch or without end.
        views: K, at least 1; ``None`` for another view in every epoch.
        length: Indices of an epoch.
        seed: Of the ``o_i``.
        first: Which of these indices this process begins with.
        step: How many indices there are from one of this process to its next one.
    """

    def __init__(self, batches: Any, views: int | None, length: int, seed: int, first: int = 0, step: int = 1) -> None:
        self.batches = batches
        self.views = views
        self.length = length
        self.seed = seed
        self.first, self.step = first, step
        self.epoch = 0
        self.skipped = 0
        """Indices that a loop that goes on has passed over before its first batch."""

    def __len__(self) -> int:
        return len(self.batches)

    def __getattr__(self, name: str) -> Any:
        if name == 'batches' or name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.batches, name)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        epoch, seen, self.skipped = self.epoch, self.skipped, 0
        for batch in self.batches:
            epochs = [epoch + (self.first + (seen + i) * self.step) // self.length for i in range(len(batch))]
            seen += len(batch)
            yield [(index, self._view(index, each)) for index, each in zip(batch, epochs)]
        self.epoch = epoch + 1  # where nobody says it: loops that count iterations begin again by themselves

    def _view(self, index: int, epoch: int) -> int:
        offset = zlib.crc32(f'{self.seed} {index}'.encode())
        return epoch if self.views is None else (offset + epoch) % self.views
