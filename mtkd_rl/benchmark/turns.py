"""Training loops that run some iterations whenever the parent process says so, and the Runner around them."""

import copy
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from itertools import cycle, islice
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import torch
from mmengine.registry import RUNNERS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import Dataset

from mtkd_rl.benchmark.configs import picture_size
from mtkd_rl.benchmark.memory import memory_kind, peak_memory, start_memory
from mtkd_rl.compatibility.made import batch
from mtkd_rl.hook import MTKDHook
from mtkd_rl.types import Batch

BATCHES = 4
"""How many there are; they come again and again."""
WARMUP = BATCHES
"""Iterations before the first round, in which allocators and kernels settle, and a cache sees every batch."""
EPOCH = 1000
"""Iterations that schedules take an epoch to have: more than a measurement makes."""


class Ready(NamedTuple):
    """What a worker says once it is built and warm.

    Attributes:
        device: Name of the device that it runs on.
        memory: What ``Turn.memory`` means there.
        threads: Of torch on the CPU.
        seconds: Of the last iteration.
    """

    device: str
    memory: str
    threads: int
    seconds: float


class Turn(NamedTuple):
    """What a worker says after a turn.

    Attributes:
        seconds: Of the turn.
        memory: Peak since the model was built, above what it took then, in bytes.
    """

    seconds: float
    memory: int


class TurnLoop(IterBasedTrainLoop):
    """A training loop that runs a number of iterations on a few prepared batches whenever it is told to.

    Args:
        runner: The Runner.
        dataloader: Its first ``BATCHES`` batches are used for all iterations.
        parent: Hears a ``Ready``; then says how many iterations to run, 0 for no more, and hears a ``Turn`` each time.
    """

    def __init__(self, runner: Runner, dataloader: Any, parent: Connection) -> None:
        super().__init__(runner, dataloader, max_iters=10**9)
        self.parent = parent
        self.device = next(runner.model.parameters()).device

    def run(self) -> nn.Module:
        """Warms up, and serves the parent until it says stop."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches = list(islice(iter(self.dataloader), BATCHES))  # not before the cache has made views of them
        step = self.stepper(batches)
        built = start_memory(self.device)
        *_, last = (self._repeat(step, 1) for _ in range(WARMUP))
        self.parent.send(Ready(device_name(self.device), memory_kind(self.device), torch.get_num_threads(), last))
        while times := self.parent.recv():
            seconds = self._repeat(step, times)
            self.parent.send(Turn(seconds, peak_memory(self.device) - built))
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def stepper(self, batches: Sequence[Any]) -> Callable[[], Any]:
        """What is repeated: a whole training iteration, with the hooks around it."""
        turns = cycle(batches)
        return lambda: self.run_iter(next(turns))

    def _repeat(self, step: Callable[[], Any], times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            step()
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - start


class TeachersLoop(TurnLoop):
    """Repeats the forwards of the teachers alone, on what the student was given."""

    def stepper(self, batches: Sequence[Any]) -> Callable[[], Any]:
        """All teachers on one preprocessed batch."""
        return self.asker(self.told(batches[0]))

    def hook(self) -> MTKDHook:
        """The hook that has the teachers."""
        return next(hook for hook in self.runner.hooks if isinstance(hook, MTKDHook))

    def told(self, batch: Any) -> Batch:
        """What the teachers are asked about a batch of the loader."""
        distiller = self.hook().distiller
        student: Any = distiller.student
        data = student.data_preprocessor(batch, True)
        distiller.student_taps.start()
        with torch.no_grad(), self.context():
            student(**data, mode='loss')
        return distiller.task.read(data['inputs'], data['data_samples'], distiller.student_taps.take())

    def asker(self, told: Batch) -> Callable[[], None]:
        """Asks all teachers about a batch, in the precision of training."""

        def ask() -> None:
            with self.context():
                self.hook().distiller.ask_teachers(told)

        return ask

    def context(self) -> AbstractContextManager[None]:
        """The precision of training."""
        return self.runner.optim_wrapper.optim_context(self.runner.model)


@RUNNERS.register_module()
class TurnRunner(Runner):
    """The Runner as the user runs it, but for the training data and the loop over them."""

    parent: Connection
    batch_size: int
    loop: type[TurnLoop] = TurnLoop

    def build_train_loop(self, loop: Any) -> TurnLoop:
        """The loop that takes turns, over made pictures of the size, channels and classes that the config has."""
        scope = self.cfg.get('default_scope')
        dense = scope in ('mmdet', 'mmseg')
        collate = {'type': 'pseudo_collate' if dense else 'default_collate'}
        loader = self.build_dataloader(
            {
                'batch_size': self.batch_size,
                'num_workers': 0,
                'sampler': {'type': 'DefaultSampler', 'shuffle': False},
                'collate_fn': self.cfg.train_dataloader.get('collate_fn', collate),
                'dataset': self._annotated(scope) if dense else self._labelled(),
            }
        )
        return self.loop(self, loader, self.parent)

    def _labelled(self) -> dict[str, Any]:
        """Pictures with one label each."""
        model: Any = self.model
        convolutions = (module for module in model.modules() if isinstance(module, nn.Conv2d))
        classes = getattr(getattr(model, 'head', None), 'num_classes', None)
        return {
            'type': 'mtkd_rl.MadeClassification',
            'n': self.batch_size * EPOCH,
            'size': picture_size(self.cfg.train_dataloader.dataset),
            'num_classes': classes or model.data_preprocessor.num_classes,
            'channels': next(convolutions).in_channels,
        }

    def _annotated(self, toolbox: str) -> 'Repeated':
        """Square pictures of the area that the config has, a multiple of 32 pixels wide, with boxes or label maps."""
        height, width = picture_size(self.cfg.train_dataloader.dataset)
        side = 32 * math.ceil((height * width) ** 0.5 / 32)
        return Repeated(batch(toolbox, self.cfg, side, self.batch_size), EPOCH)


class Repeated(Dataset):
    """The same few samples again and again.

    Args:
        samples: As a data set gives them.
        times: How often.
    """

    def __init__(self, samples: Sequence[Any], times: int) -> None:
        self.samples = samples
        self.times = times

    def __len__(self) -> int:
        """How many samples there seem to be."""
        return self.times * len(self.samples)

    def __getitem__(self, index: int) -> Any:
        """A copy, since preprocessors change what they are given."""
        return copy.deepcopy(self.samples[index % len(self.samples)])


def device_name(device: torch.device) -> str:
    """The name of a device, for a report."""
    return torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type
