"""Putting the cache into a run: its training data come in views from then on."""

import pickle
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import InfiniteSampler
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mtkd_rl.cache.teacher_cache import TeacherCache
from mtkd_rl.cache.views import ViewBatches, Views
from mtkd_rl.errors import MTKDError


def install(
    runner: Runner,
    student: nn.Module,
    cache: TeacherCache,
    teachers: Sequence[str],
    comparing: bool = True,
    precision: str | None = None,
) -> ViewBatches:
    """Makes the training data come in views, and tells the cache what they are of.

    Args:
        runner: Before its first iteration.
        student: The bare student.
        cache: What will be asked about them.
        teachers: Names of those who will.
        comparing: Whether a loss compares features at their positions.
        precision: That teachers have to themselves; ``None`` for the student's.

    Returns:
        What has to be told the epoch and the number of views.

    Raises:
        MTKDError: The loader makes no batches.
    """
    preprocessor: Any = student.data_preprocessor
    loader = runner.train_dataloader
    cache.about(
        len(loader.dataset),
        teachers,
        comparing,
        data=fingerprint(loader.dataset),
        dataset=str(runner.cfg.get('train_dataloader', {}).get('dataset')),
        preprocessor=f'{type(preprocessor).__name__} {plain(preprocessor)}',
        live=precision,
    )
    batches = give_views(loader, cache.views, cache.seed)
    loop: Any = runner.train_loop
    if hasattr(loop, 'dataloader_iterator'):  # it has begun before there were views
        loop.dataloader_iterator = type(loop.dataloader_iterator)(loader)
    return batches


def plain(module: Any) -> dict[str, Any]:
    """What a data preprocessor is set to: its buffers and its plain attributes."""
    buffers = {name: value.flatten().tolist() for name, value in module.named_buffers()}
    kinds = (int, float, str, bool, tuple, list)
    settings = {name: value for name, value in vars(module).items() if isinstance(value, kinds) and name[0] != '_'}
    return buffers | {name: value for name, value in settings.items() if name != 'training'}


def fingerprint(dataset: Any) -> str:
    """What a data set holds, in a few words: its kind, its length and a checksum of its annotations."""
    inner = getattr(dataset, 'dataset', None)
    parts = [inner] if inner is not None else list(getattr(dataset, 'datasets', ()))
    if parts:
        return f'{type(dataset).__name__}({len(dataset)}: {"; ".join(fingerprint(part) for part in parts)})'
    held = getattr(dataset, 'data_bytes', None)
    if held is None or not len(held):  # annotations that are not serialised
        held = np.frombuffer(pickle.dumps(getattr(dataset, 'data_list', None)), np.uint8)
    return f'{type(dataset).__name__}({len(dataset)}: {zlib.crc32(np.asarray(held).tobytes()):08x})'


def give_views(loader: DataLoader[Any], views: int | None, seed: int) -> ViewBatches:
    """Makes a data loader give views from its next iterator on; ``take_views`` undoes it.

    Args:
        loader: With batches.
        views: Of each sample, at least 1; ``None`` for another one in every epoch.
        seed: Of the views.

    Returns:
        What has to be told the epoch, by its attribute.

    Raises:
        MTKDError: The loader makes no batches of samples.
    """
    if loader.batch_sampler is None:
        raise MTKDError('cache: the train_dataloader makes no batches (batch_size=None); give it a batch_size')
    sampler = innermost(loader)
    endless = isinstance(sampler, InfiniteSampler)  # its length is that of all processes together
    first, step = (sampler.rank, sampler.world_size) if endless else (0, 1)
    batches = ViewBatches(loader.batch_sampler, views, max(1, len(sampler)), seed, first, step)
    if hasattr(sampler, 'skip'):
        skip = sampler.skip

        def skip_views(count: int) -> None:
            skip(count)
            batches.skipped = count

        sampler.skip = skip_views
    # a loader refuses to have these set: its workers hold them, and here none has begun
    loader.__dict__['dataset'] = Views(loader.dataset, seed)
    loader.__dict__['batch_sampler'] = batches
    return batches


def innermost(loader: DataLoader[Any]) -> Any:
    """The sampler that draws, of which others may change what it drew."""
    sampler: Any = getattr(loader.batch_sampler, 'sampler', loader.sampler)
    while hasattr(sampler, 'sampler'):
        sampler = sampler.sampler
    return sampler


def take_views(loader: DataLoader[Any]) -> None:
    """Makes a data loader give samples again."""
    batches: Any = loader.batch_sampler
    if isinstance(batches, ViewBatches):
        vars(innermost(loader)).pop('skip', None)
        loader.__dict__['batch_sampler'] = batches.batches
        loader.__dict__['dataset'] = loader.dataset.dataset  # type: ignore[attr-defined]
