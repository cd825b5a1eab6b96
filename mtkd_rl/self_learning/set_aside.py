"""Training samples that the student never trains on, by which progress is measured."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from mmengine.runner import Runner
from torch import Tensor

from mtkd_rl.errors import MTKDError
from mtkd_rl.rng import isolated


class SetAside(NamedTuple):
    """A batch that was set aside, as the student is given it.

    Attributes:
        inputs: ``(N, C, H, W)``.
        samples: Its annotations.
    """

    inputs: Tensor
    samples: list[Any]


class Sparing:
    """A sampler that never says some indices; others come twice instead, so that an epoch stays as long.

    Args:
        sampler: Whose indices are passed on.
        instead: Index that is spared to the one that comes in its place.
    """

    def __init__(self, sampler: Any, instead: dict[int, int]) -> None:
        self.sampler = sampler
        self.instead = instead

    def __iter__(self) -> Iterator[int]:
        return (self.instead.get(int(index), int(index)) for index in self.sampler)

    def __len__(self) -> int:
        return len(self.sampler)

    def set_epoch(self, epoch: int) -> None:
        """As mmengine calls it."""
        self.sampler.set_epoch(epoch)


def set_aside(runner: Runner, student: Any, size: int, seed: int) -> SetAside:
    """Takes samples out of the training loop's data, the same ones in every process.

    Args:
        runner: Before its first iteration.
        student: The bare student, whose preprocessor is used.
        size: How many samples.
        seed: Of which ones they are, and of their augmentation.

    Raises:
        MTKDError: There are not twice as many samples in the training data.
    """
    loader = runner.train_dataloader
    dataset: Any = loader.dataset
    if len(dataset) < 2 * size:
        raise MTKDError(
            f'self_learning: held_out is {size}, of {len(dataset)} training samples; set at most half of them aside'
        )
    order = np.random.default_rng(seed).permutation(len(dataset)).tolist()
    spared, rest = order[:size], order[size:]
    batches: Any = loader.batch_sampler
    batches.sampler = Sparing(batches.sampler, dict(zip(spared, rest)))
    loop: Any = runner.train_loop
    if hasattr(loop, 'dataloader_iterator'):  # it may have drawn already
        loop.dataloader_iterator = type(loop.dataloader_iterator)(loader)
    with isolated(seed):
        found: Any = student.data_preprocessor(loader.collate_fn([dataset[index] for index in spared]), False)
    return SetAside(found['inputs'], found['data_samples'])
