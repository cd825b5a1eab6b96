"""Small real runs: scikit-learn's digits, networks of a few hundred parameters, mmengine's own Runner."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from mmengine.runner import Runner
from torch import Tensor, nn

_NUMBER = itertools.count()


def classifier(widths: Sequence[int] = (4, 8), classes: int = 10, dropout: float = 0.0, **more: Any) -> dict[str, Any]:
    """A convolutional classifier of mmpretrain with BatchNorm and, where asked for, dropout."""
    head = dict(type='LinearClsHead', num_classes=classes, in_channels=widths[-1])
    if dropout:
        head |= dict(type='StackedLinearClsHead', mid_channels=[16], dropout_rate=dropout)
    return dict(
        type='ImageClassifier',
        backbone=dict(type='mtkd_rl.TinyConvNet', widths=tuple(widths), in_channels=1),
        neck=dict(type='GlobalAveragePooling'),
        head=head,
        **more,
    )


def teacher(widths: Sequence[int], **more: Any) -> dict[str, Any]:
    """An entry of the hook's ``teachers``."""
    model = classifier(widths, data_preprocessor=dict(mean=[78.0], std=[96.0]))
    return dict(config=model, checkpoint='random') | more


def two_teachers() -> dict[str, Any]:
    return dict(a=teacher((6, 12)), b=teacher((5, 10, 10)))


def entry(**options: Any) -> dict[str, Any]:
    """The hook's entry; a rollout of 64 samples, so that an update comes every few iterations."""
    options.setdefault('teachers', two_teachers())
    options.setdefault('strategy', dict(type='PPOWeighting', rollout=64, batch_size=32))
    return dict(type='mtkd_rl.MTKDHook', **options)


def config(
    work_dir: Path,
    hooks: Sequence[Any] = (),
    *,
    student: Mapping[str, Any] | None = None,
    epochs: int = 2,
    iters: int | None = None,
    limit: int = 50,
    batch: int = 20,
    optimizer: Mapping[str, Any] | None = None,
    optim: Mapping[str, Any] | None = None,
    val: bool = False,
    save: bool = False,
    augment: bool = True,
    **more: Any,
) -> Config:
    """A training config: 50 pictures in batches of 20, so that the last batch of an epoch is short."""
    crop = [dict(type='RandomCrop', crop_size=8, padding=1)] if augment else []
    # serialising would collect garbage in the whole process, which takes longer than the run
    digits = dict(type='mtkd_rl.Digits', serialize_data=False)
    dataset = dict(**digits, limit=limit, pipeline=[*crop, dict(type='PackInputs')])
    kind = 'DefaultSampler' if iters is None else 'InfiniteSampler'
    keep = (1 if iters is None else 3) if save else 10**6
    schedule = dict(by_epoch=True, max_epochs=epochs) if iters is None else dict(by_epoch=False, max_iters=iters)
    cfg = dict(
        default_scope='mmpretrain',
        work_dir=str(work_dir),
        experiment_name=f'run{next(_NUMBER)}',
        log_level='WARNING',
        randomness=dict(seed=3),
        model=dict(student or classifier()),
        data_preprocessor=dict(num_classes=10, mean=[78.0], std=[96.0]),
        train_dataloader=dict(
            batch_size=batch,
            num_workers=0,
            dataset=dataset,
            sampler=dict(type=kind, shuffle=True),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=schedule,
        optim_wrapper=dict(optimizer=dict(optimizer or dict(type='SGD', lr=0.05, momentum=0.9)), **(optim or {})),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=2),
            checkpoint=dict(type='CheckpointHook', interval=keep, by_epoch=iters is None, save_last=save),
        ),
        visualizer=dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')]),
        custom_hooks=list(hooks),
    )
    if val:
        loader = dict(
            batch_size=40,
            num_workers=0,
            dataset=dict(**digits, split='val', limit=40, pipeline=[dict(type='PackInputs')]),
            sampler=dict(type='DefaultSampler', shuffle=False),
            collate_fn=dict(type='default_collate'),
        )
        evaluator = dict(type='Accuracy', topk=(1,))
        cfg |= dict(
            val_dataloader=loader,
            test_dataloader=loader,
            val_cfg=dict(),
            test_cfg=dict(),
            val_evaluator=evaluator,
            test_evaluator=evaluator,
        )
    return Config(cfg | more)


def train(cfg: Config) -> Runner:
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def hook_of(runner: Runner) -> Any:
    return next(hook for hook in runner.hooks if type(hook).__name__ == 'MTKDHook')


def weights_of(runner: Runner) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


def same(a: Any, b: Any) -> bool:
    """Whether two trees of plain containers and tensors are equal bit by bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, Mapping):
        return isinstance(b, Mapping) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return isinstance(b, list | tuple) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def tensors(tree: Any) -> list[Tensor]:
    """Every tensor of a tree of containers."""
    if isinstance(tree, Tensor):
        return [tree]
    children = tree.values() if isinstance(tree, Mapping) else tree if isinstance(tree, list | tuple) else ()
    return [tensor for child in children for tensor in tensors(child)]


@HOOKS.register_module(force=True)
class Watch(Hook):
    """Calls what it is given, at the stages of the same names.

    A function cannot stand in a config, so ``watch`` is the name under which ``watching`` keeps it.
    """

    priority = 'LOW'

    def __init__(self, watch: int) -> None:
        self.watch = _WATCHES[watch]

    def before_train(self, runner: Runner) -> None:
        self._call('before_train', runner)

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        self._call('after_train_iter', runner)

    def _call(self, stage: str, runner: Runner) -> None:
        if stage in self.watch:
            self.watch[stage](runner)


_WATCHES: list[dict[str, Callable[[Runner], Any]]] = []


def watching(priority: str = 'LOW', **stages: Callable[[Runner], Any]) -> dict[str, Any]:
    """A config of ``Watch``; it runs after ``MTKDHook``, or before it with a priority of ``HIGH``."""
    _WATCHES.append(stages)
    return dict(type='Watch', watch=len(_WATCHES) - 1, priority=priority)


def record_losses(into: list[dict[str, Tensor]], priority: str = 'LOW') -> dict[str, Any]:
    """Keeps the loss dict of every iteration as it is after ``MTKDHook``, or before it with ``HIGH``."""

    def listen(runner: Runner) -> None:
        runner.model.register_forward_hook(lambda module, args, losses: into.append(dict(losses)))

    return watching(priority, before_train=listen)


class Counting(nn.Module):
    """A teacher that counts its calls, and says something that is not finite in those of ``broken``."""

    def __init__(self, classes: int = 10, broken: Sequence[int] = (), value: float = float('nan')) -> None:
        super().__init__()
        self.layer = nn.Linear(64, classes)
        self.calls = 0
        self.broken = broken
        self.value = value

    def forward(self, pictures: Tensor) -> Tensor:
        self.calls += 1
        logits = self.layer(pictures.flatten(1))
        return logits * self.value if self.calls - 1 in self.broken else logits


def counting(**args: Any) -> dict[str, Any]:
    """An entry of the hook's ``teachers``."""
    return dict(type='Callable', build='runs.Counting', args=args)
