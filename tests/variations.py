"""What real trainings do: each a set of changes to the small run of ``runs.config``, under which everything must hold.

A test takes ``names()`` as its parameters. The quick half runs in the fast suite, all of them in the slow one.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import runs
import torch
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIM_WRAPPERS
from torch import nn


@OPTIM_WRAPPERS.register_module(force=True)
class CpuBfloat16(OptimWrapper):
    """What mmengine's ``AmpOptimWrapper`` does, which wants a GPU, on the CPU."""

    @contextmanager
    def optim_context(self, model: nn.Module) -> Iterator[None]:
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


class Variation(NamedTuple):
    """One way to train.

    Attributes:
        options: Of ``runs.config``.
        changes: To the config that comes of it, as ``--cfg-options`` has them.
        hooks: What else stands in ``custom_hooks``.
        per_epoch: Iterations of an epoch; ``None`` for a loop that counts iterations.
        quick: Whether it belongs to the fast suite.
    """

    options: Mapping[str, Any] = {}
    changes: Mapping[str, Any] = {}
    hooks: Sequence[Mapping[str, Any]] = ()
    per_epoch: int | None = 3
    quick: bool = False

    @property
    def student(self) -> dict[str, Any]:
        """The config of its student."""
        return dict(self.options.get('student') or runs.classifier(dropout=0.5))

    def config(self, work_dir: Path, hooks: Sequence[Any] = (), *, iterations: int, **options: Any) -> Config:
        """The training config.

        Args:
            work_dir: Where it writes.
            hooks: Further hooks, after its own.
            iterations: Of the whole training; of several epochs.
            **options: Of ``runs.config``, instead of its own.
        """
        if self.per_epoch is None:
            length = dict(iters=iterations)
        else:
            assert iterations % self.per_epoch == 0
            length = dict(epochs=iterations // self.per_epoch)
        options = dict(student=self.student) | self.options | length | options
        cfg = runs.config(work_dir, [*self.hooks, *hooks], **options)
        cfg.merge_from_dict(dict(self.changes))
        return cfg


SGD = dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-2)
ADAMW = dict(type='AdamW', lr=0.01, weight_decay=0.1)
PARAMWISE = dict(
    custom_keys={'backbone.stages.0': dict(lr_mult=0.1), 'head': dict(decay_mult=0.5)},
    norm_decay_mult=0.0,
    bias_lr_mult=2.0,
)
WARM_UP = dict(type='LinearLR', start_factor=0.1, by_epoch=False, begin=0, end=4)
COSINE = dict(type='CosineAnnealingLR', by_epoch=False, begin=4, T_max=26)
ONE_CYCLE = dict(total_steps=30, by_epoch=False)
PLATEAU = dict(type='ReduceOnPlateauLR', monitor='accuracy/top1', rule='greater', patience=0, factor=0.5)

RESIDUAL = dict(
    type='ImageClassifier',
    backbone=dict(
        type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=4, base_channels=4, num_stages=2,
        strides=(1, 2), dilations=(1, 1), out_indices=(1,), drop_path_rate=0.5,
    ),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, in_channels=8),
)  # fmt: skip
TOKENS = dict(
    type='ImageClassifier',
    backbone=dict(
        type='VisionTransformer', img_size=8, patch_size=4, in_channels=1, drop_rate=0.1, drop_path_rate=0.5,
        arch=dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16),
    ),
    head=dict(type='VisionTransformerClsHead', num_classes=10, in_channels=8),
)  # fmt: skip


def mixed(augment: str) -> dict[str, Any]:
    """A student that trains on mixed pictures."""
    return runs.classifier(dropout=0.5, train_cfg=dict(augments=dict(type=augment, alpha=1.0)))


VARIATIONS = {
    'SGD': Variation(dict(optimizer=SGD), quick=True),
    'AdamW': Variation(dict(optimizer=ADAMW)),
    'SGD paramwise': Variation(dict(optimizer=SGD, optim=dict(paramwise_cfg=PARAMWISE))),
    'AdamW paramwise': Variation(dict(optimizer=ADAMW, optim=dict(paramwise_cfg=PARAMWISE)), quick=True),
    # of every epoch's three iterations two make a step and one is left over
    'accumulation': Variation(dict(optim=dict(accumulative_counts=2))),
    # 30 iterations do not divide by 4: the last step is of two
    'accumulation, uneven end': Variation(dict(optimizer=ADAMW, optim=dict(accumulative_counts=4))),
    'clipping': Variation(dict(optim=dict(clip_grad=dict(max_norm=0.05)))),
    'clipping and accumulation': Variation(
        dict(optim=dict(clip_grad=dict(max_norm=0.05), accumulative_counts=4)), quick=True
    ),
    'bfloat16': Variation(dict(optim=dict(type='CpuBfloat16', clip_grad=dict(max_norm=1.0))), quick=True),
    'EMA': Variation(hooks=[dict(type='EMAHook', momentum=0.1)], options=dict(val=True), quick=True),
    'EMA with buffers': Variation(
        hooks=[dict(type='EMAHook', ema_type='MomentumAnnealingEMA', momentum=0.1, gamma=10, update_buffers=True)]
    ),
    'iterations': Variation(per_epoch=None, quick=True),
    'iterations, validating': Variation(dict(val=True), dict(train_cfg=dict(val_interval=3)), per_epoch=None),
    'drop_last': Variation(changes={'train_dataloader.drop_last': True}, per_epoch=2),
    'OneCycleLR': Variation(dict(param_scheduler=[dict(type='OneCycleLR', eta_max=0.1, **ONE_CYCLE)])),
    # a scheduler of mmengine's that looks at parameter groups, and one that sets what Adam calls betas
    'OneCycleLR and momentum': Variation(
        dict(
            optimizer=ADAMW,
            optim=dict(paramwise_cfg=PARAMWISE),
            param_scheduler=[
                dict(type='OneCycleLR', eta_max=0.1, **ONE_CYCLE),
                dict(type='CosineAnnealingMomentum', by_epoch=False, T_max=30, eta_min=0.85),
            ],
        ),
        quick=True,
    ),
    'cosine with warm-up': Variation(dict(optimizer=ADAMW, param_scheduler=[WARM_UP, COSINE])),
    'plateau': Variation(dict(val=True, param_scheduler=[PLATEAU]), quick=True),
    'no dropout': Variation(dict(student=runs.classifier())),
    'stochastic depth': Variation(dict(student=RESIDUAL)),
    'tokens': Variation(dict(student=TOKENS, optimizer=ADAMW)),
    'activation checkpointing': Variation(changes=dict(activation_checkpointing=['backbone.stages.1']), quick=True),
    'activation checkpointing of tokens': Variation(
        dict(student=TOKENS), dict(activation_checkpointing=['backbone.layers.1'])
    ),
    'Mixup': Variation(dict(student=mixed('Mixup')), quick=True),
    'CutMix': Variation(dict(student=mixed('CutMix'))),
    'workers': Variation(changes={'train_dataloader.num_workers': 2}),
    'persistent workers': Variation(
        changes={'train_dataloader.num_workers': 2, 'train_dataloader.persistent_workers': True}
    ),
    'compiled': Variation(changes=dict(compile=dict(backend='eager'))),
    'everything': Variation(
        dict(
            student=mixed('Mixup'),
            optimizer=ADAMW,
            optim=dict(
                type='CpuBfloat16',
                paramwise_cfg=PARAMWISE,
                clip_grad=dict(max_norm=0.5),
                accumulative_counts=4,
            ),
            param_scheduler=[WARM_UP, COSINE],
            val=True,
        ),
        hooks=[dict(type='EMAHook', momentum=0.1)],
    ),
}


def names(*, quick: Sequence[str] | None = None, without: Sequence[str] = ()) -> list[Any]:
    """The variations as parameters of a test.

    Args:
        quick: Those of the fast suite, instead of all that are quick.
        without: Those to leave out.
    """
    return [
        name if (each.quick if quick is None else name in quick) else pytest.param(name, marks=pytest.mark.slow)
        for name, each in VARIATIONS.items()
        if name not in without
    ]
