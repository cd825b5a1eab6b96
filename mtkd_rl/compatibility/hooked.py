"""Two iterations of a config with `MTKDHook` and two teachers, by mmengine's Runner, and the checkpoint of it."""

import copy
import importlib
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from mtkd_rl.compatibility import made, prepare
from mtkd_rl.compatibility.reload import EXPECTED, predictions

ITERATIONS = 2
LAST = 16


class Samples(Dataset):
    """A data set of samples in memory.

    Args:
        samples: From `made.batch`.
    """

    def __init__(self, samples: list[dict[str, Any]]) -> None:
        self.samples = samples

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return copy.deepcopy(self.samples[index])  # losses change their samples in place


class Watch(Hook):
    """Looks at the losses that leave the student, after `MTKDHook` has added to them, and what they teach it."""

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.losses: list[dict[str, float]] = []
        self.teaches: dict[str, bool] = {}

    def before_train(self, runner: Runner) -> None:
        """Puts a forward hook behind that of `MTKDHook`."""
        self._handle = runner.model.register_forward_hook(self._look, with_kwargs=True)

    def after_train(self, runner: Runner) -> None:
        """Takes it off again."""
        self._handle.remove()

    def _look(self, student: nn.Module, args: Any, kwargs: dict[str, Any], losses: Any) -> None:
        if kwargs.get('mode') != 'loss':
            return
        ours = {name: value for name, value in losses.items() if name.startswith('loss_kd_')}
        self.losses.append({name: float(value) for name, value in ours.items()})
        for name, value in ours.items():
            if not self.teaches.get(name):
                self.teaches[name] = has_gradient(value, student)


def train(toolbox: str, root: str, config: str, side: int, fit: bool, folder: str) -> dict[str, Any]:
    """Trains with the hook, and leaves in a folder the checkpoint and what the student then says of the pictures.

    Args:
        toolbox: One of the three toolboxes.
        root: The folder with its ``configs``.
        config: A path below them.
        side: Of the pictures, with which a plain step went well.
        fit: See `made.Size`.
        folder: An empty one.

    Returns:
        ``losses``, those of the hook in each iteration, and ``knowledge``, the kinds with a gradient for the student.

    Raises:
        Exception: Whatever goes wrong, `FloatingPointError` where a loss is not finite or teaches nothing.
    """
    importlib.import_module(f'{toolbox}.models')
    cfg = prepare.read(Path(root), config)
    prepare.shrink(cfg, side, fit)
    samples = made.batch(toolbox, cfg, side)
    watch = Watch()
    runner = _runner(toolbox, cfg, samples, watch, folder)
    before = {name: value.detach().clone() for name, value in runner.model.named_parameters()}
    runner.train()
    check(watch, runner.model, before)
    torch.save({'samples': samples, 'said': predictions(runner.model, samples, toolbox)}, Path(folder, EXPECTED))
    names = [name for name, teaches in watch.teaches.items() if teaches]
    return {'losses': watch.losses, 'knowledge': [name.removeprefix('loss_kd_') for name in names]}


def _runner(toolbox: str, cfg: Config, samples: list[dict[str, Any]], watch: Watch, folder: str) -> Runner:
    config = dict(model=cfg.model.to_dict(), default_scope=toolbox)
    config |= {key: cfg[key].to_dict() for key in ('train_dataloader', 'custom_imports') if cfg.get(key)}
    teacher = dict(config=config, checkpoint='random')
    hook = dict(type='mtkd_rl.MTKDHook', teachers=dict(one=teacher, two=teacher), strategy=dict(type='PPOWeighting'))
    loader = dict(
        batch_size=len(samples),
        num_workers=0,
        dataset=Samples(samples),
        sampler=dict(type='InfiniteSampler', shuffle=False),
        collate_fn=dict(type=prepare.collate(toolbox)),
    )
    return Runner(
        model=prepare.build(toolbox, cfg),
        work_dir=folder,
        train_dataloader=loader,
        train_cfg=dict(by_epoch=False, max_iters=ITERATIONS, val_interval=ITERATIONS + 1),
        optim_wrapper=prepare.optimizer(),
        default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=ITERATIONS)),
        custom_hooks=[hook, watch],
        default_scope=toolbox,
        experiment_name=Path(folder).name,
        log_level='WARNING',
        randomness=dict(seed=1),
        cfg=cfg,
    )


def check(watch: Watch, student: nn.Module, before: dict[str, Tensor]) -> None:
    """Checks what the two iterations came to.

    Raises:
        FloatingPointError: They did not do what they are to do.
    """
    if len(watch.losses) != ITERATIONS or not all(watch.losses):
        raise FloatingPointError(f'the hook added no loss: {watch.losses}')
    if not all(torch.isfinite(torch.tensor(list(losses.values()))).all() for losses in watch.losses):
        raise FloatingPointError(f'a loss of the hook is not finite: {watch.losses}')
    if not any(watch.teaches.values()):
        raise FloatingPointError(f'the student gets no gradient from the losses of the hook: {watch.losses}')
    after = dict(student.named_parameters())
    if not all(torch.isfinite(value).all() for value in after.values()):
        raise FloatingPointError('a parameter of the student is not finite')
    if all(torch.equal(value, before[name]) for name, value in after.items()):
        raise FloatingPointError('no parameter of the student has changed')


def has_gradient(loss: Tensor, student: nn.Module) -> bool:
    """Whether a loss has a gradient for the student, looked for where it is near: the parts from the last to the first.

    In each part the last parameters are asked first, for whose gradient nothing before them is computed.
    """
    if not loss.requires_grad:
        return False
    parts = [[value for value in part.parameters() if value.requires_grad] for part in student.children()]
    near = [part[-LAST:] for part in reversed(parts)]
    for parameters in [*near, *parts]:
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True) if parameters else ()
        if any(gradient is not None and bool(gradient.any()) for gradient in gradients):
            return True
    return False
