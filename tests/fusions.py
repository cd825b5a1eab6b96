"""Small real runs of fusion: scenes of digits, networks of a few hundred parameters, mmengine's own Runner."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mtkd_rl.fusion.models import FusionModel
from mtkd_rl.registry import MODELS

_NUMBER = itertools.count()
NETWORKS = {
    'tiny': dict(type='TinyFuser', width=4, depth=1),
    'dense': dict(type='DenseFuse', width=3),
    'gradient': dict(type='GradientFuse', width=2),
    'swin': dict(type='SwinFuse', width=8, heads=2, window=4),
}


def model(network: str = 'tiny', **more: Any) -> dict[str, Any]:
    return dict(type='FusionModel', network=NETWORKS[network], **more)


def built(network: str = 'tiny', seed: int = 0, **more: Any) -> FusionModel:
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mtkd_rl'):
        found = MODELS.build(model(network, **more))
    assert isinstance(found, FusionModel)
    return found


def teacher(network: str, **more: Any) -> dict[str, Any]:
    return dict(config=dict(default_scope='mtkd_rl', model=model(network, **more)), checkpoint='random')


def entry(**options: Any) -> dict[str, Any]:
    options.setdefault('teachers', dict(dense=teacher('dense'), gradient=teacher('gradient')))
    options.setdefault('strategy', dict(type='PPOWeighting', rollout=16, batch_size=8))
    return dict(type='mtkd_rl.MTKDHook', **options)


def config(
    work_dir: Path, hooks: Sequence[Any] = (), *, student: Mapping[str, Any] | None = None, epochs: int = 2, n: int = 12
) -> Config:
    """A training config: batches of 4 pairs of 32 x 32 pixels."""
    return Config(
        dict(
            default_scope='mtkd_rl',
            work_dir=str(work_dir),
            experiment_name=f'fusion{next(_NUMBER)}',
            log_level='WARNING',
            randomness=dict(seed=3),
            model=dict(student or model()),
            train_dataloader=dict(
                batch_size=4,
                num_workers=0,
                dataset=dict(type='FusionScenes', n=n, size=32, serialize_data=False, pipeline=[dict(type='PackPair')]),
                sampler=dict(type='DefaultSampler', shuffle=True),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=epochs),
            optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.01)),
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=2),
                checkpoint=dict(type='CheckpointHook', interval=10**6, save_last=False),
            ),
            custom_hooks=list(hooks),
        )
    )
