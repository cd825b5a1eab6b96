"""Putting the cache into a run: its training data come in views from then on."""

import pickle
import zlib
from typing import Any

import numpy as np
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import DataLoader

from mtkd_rl.cache.teacher_cache import TeacherCache
from mtkd_rl.cache.views import ViewBatches, Views
from mtkd_rl.errors import MTKDError


def install(
    runner: Runner, student: nn.Module, cache: TeacherCache, precision: str | None = None
) -> ViewBatches | None:
    """Makes the training data come in views, and tells the cache what they are of.

    Args:
        runner: Before its first iteration.
        student: The bare student.
        cache: What will be asked about them.
        precision: That teachers have to themselves; ``None`` for the student's.

    Returns:
        What has to be told the epoch and the number of views; ``None``, after a line that says why, where pictures
        could not come again.

    Raises:
        MTKDError: The loader makes no batches.
    """
    preprocessor, loader = student.data_preprocessor, runner.train_dataloader
    if getattr(preprocessor, 'batch_augments', None):
        runner.logger.warning(
            'mtkd_rl: cache: batch_augments of the data preprocessor mixes pictures anew each time; teachers run live'
        )
        return None
    cfg = runner.cfg
    cache.about(
        len(loader.dataset),
        data=fingerprint(loader.dataset),
        dataset=str(cfg.train_dataloader.dataset) if 'train_dataloader' in cfg else '',
        preprocessor=str([cfg.get('data_preprocessor'), cfg.get('model', {}).get('data_preprocessor')]),
        network=str(type(preprocessor)),
        live=precision,
    )
    batches = give_views(loader, cache.views, cache.seed)
    loop: Any = runner.train_loop
    if hasattr(loop, 'dataloader_iterator'):  # it has begun before there were views
        loop.dataloader_iterator = type(loop.dataloader_iterator)(loader)
    return batches


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


def give_views(loader: DataLoader[Any], views: int, seed: int) -> ViewBatches:
    """Makes a data loader give views from its next iterator on.

    Args:
        loader: With batches.
        views: Of each sample, at least 1.
        seed: Of the views.

    Returns:
        What has to be told the epoch, by its attribute.

    Raises:
        MTKDError: The loader makes no batches of samples.
    """
    if loader.batch_sampler is None:
        raise MTKDError('cache: the train_dataloader makes no batches (batch_size=None); give it a batch_size')
    batches = ViewBatches(loader.batch_sampler, views, max(1, len(loader.sampler)), seed)  # type: ignore[arg-type]
    # a loader refuses to have these set: its workers hold them, and here none has begun
    loader.__dict__['dataset'] = Views(loader.dataset, seed)
    loader.__dict__['batch_sampler'] = batches
    return batches
