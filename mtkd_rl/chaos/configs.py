"""The trainings that are killed: small real ones, over epochs and over iterations."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from mmengine.config import Config

SPANS = 4
"""A training is so many times a span of iterations, a checkpoint and a validation."""
SPAN = 15
"""Iterations of a span."""
BATCH = 20
"""Pictures of an iteration, over all processes."""
VAL_BATCHES = 10
"""Batches of a validation."""


class Variant(NamedTuple):
    """A way to train.

    Attributes:
        by_epoch: Whether the loop counts epochs or iterations.
        workers: Of the training loader; they start anew each epoch.
        cached: Whether teachers are asked once about each of two views.
    """

    by_epoch: bool
    workers: int
    cached: bool = False

    def __str__(self) -> str:
        loop = 'epochs' if self.by_epoch else 'iterations'
        return f'{loop}, {self.workers} workers{", cached" if self.cached else ""}'

    @property
    def slug(self) -> str:
        """A name for files."""
        return f'{"epoch" if self.by_epoch else "iter"}_{self.workers}{"_cached" if self.cached else ""}'

    @property
    def last(self) -> str:
        """Name of the last checkpoint."""
        return f'epoch_{SPANS}.pth' if self.by_epoch else f'iter_{SPANS * SPAN}.pth'


VARIANTS = (
    *(Variant(by_epoch, workers) for workers in (0, 2) for by_epoch in (True, False)),
    Variant(by_epoch=True, workers=2, cached=True),
    Variant(by_epoch=False, workers=2, cached=True),
)


def make_config(variant: Variant, processes: int, cache: str) -> Config:
    """A small real training with all that a resumption has to restore.

    It has dropout, BatchNorm, augmentation, an optimizer with state, a scheduler (one of them looks at the validation),
    an agent that is updated every five iterations, one checkpoint kept, and the best one.

    Args:
        variant: How to train.
        processes: They share each batch, so that the number of iterations does not depend on it.
        cache: Folder of what teachers say, where that is kept.
    """
    by_epoch, workers, cached = variant
    norm = dict(mean=[78.0], std=[96.0])

    def network(*widths: int, head: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        return dict(
            type='ImageClassifier',
            backbone=dict(type='mtkd_rl.TinyConvNet', widths=widths, in_channels=1),
            neck=dict(type='GlobalAveragePooling'),
            head=dict(num_classes=10, in_channels=widths[-1], **head),
            **more,
        )

    def teacher(*widths: int) -> dict[str, Any]:
        model = network(*widths, head=dict(type='LinearClsHead'), data_preprocessor=norm)
        return dict(config=model, checkpoint='random')

    # mmengine skips data instead of loading them when an iteration-based loop resumes, so that the random states of
    # workers, which live as long as that loop, are other ones: no augmentation there, but in views
    crop = [] if workers and not by_epoch and not cached else [dict(type='RandomCrop', crop_size=8, padding=1)]
    train = dict(type='mtkd_rl.Digits', limit=SPAN * BATCH, pipeline=[*crop, dict(type='PackInputs')])
    val = dict(type='mtkd_rl.Digits', split='val', limit=VAL_BATCHES * BATCH, pipeline=[dict(type='PackInputs')])
    loader = dict(batch_size=BATCH // processes, collate_fn=dict(type='default_collate'), persistent_workers=False)
    every = 1 if by_epoch else SPAN
    # each optimizer and each scheduler with each loop
    adam, plateau = by_epoch == (workers == 0), workers == 0
    sgd = dict(type='SGD', lr=0.02, momentum=0.9, weight_decay=1e-4)
    steps = dict(type='MultiStepLR', milestones=[2 * every, 3 * every], by_epoch=by_epoch)
    looks = dict(type='ReduceOnPlateauLR', monitor='accuracy/top1', rule='greater', patience=1)
    return Config(
        dict(
            default_scope='mmpretrain',
            randomness=dict(seed=7),
            model=network(32, 128, 512, head=dict(type='StackedLinearClsHead', mid_channels=[128], dropout_rate=0.2)),
            data_preprocessor=dict(num_classes=10, **norm),
            train_dataloader=dict(
                **loader,
                num_workers=workers,
                dataset=train,
                sampler=dict(type='DefaultSampler' if by_epoch else 'InfiniteSampler', shuffle=True),
            ),
            train_cfg=dict(by_epoch=True, max_epochs=SPANS, val_interval=1)
            if by_epoch
            else dict(by_epoch=False, max_iters=SPANS * SPAN, val_interval=SPAN),
            val_dataloader=dict(
                **loader, num_workers=0, dataset=val, sampler=dict(type='DefaultSampler', shuffle=False)
            ),
            val_cfg=dict(),
            val_evaluator=dict(type='Accuracy', topk=(1,)),
            optim_wrapper=dict(optimizer=dict(type='AdamW', lr=0.003, weight_decay=1e-3) if adam else sgd),
            param_scheduler=[looks if plateau else steps],
            default_hooks=dict(
                logger=dict(type='LoggerHook', interval=1),
                checkpoint=dict(
                    type='CheckpointHook', interval=every, by_epoch=by_epoch, max_keep_ckpts=1, save_best='auto'
                ),
            ),
            visualizer=dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]),
            custom_hooks=[
                dict(
                    type='mtkd_rl.MTKDHook',
                    teachers=dict(a=teacher(8, 32), b=teacher(16, 16), c=teacher(4, 8, 24)),
                    strategy=dict(type='PPOWeighting', rollout=5 * BATCH, batch_size=50),
                    cache=dict(folder=cache, views=2) if cached else None,
                )
            ],
        )
    )
