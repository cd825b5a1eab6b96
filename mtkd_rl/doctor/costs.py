"""What a training step costs with and without each teacher: the Runner's own steps, on made pictures."""

import os
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from itertools import accumulate
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import nn
from torch.autograd.profiler import profile

from mtkd_rl import tooling
from mtkd_rl.benchmark import MIB, WARMUP, TurnLoop, TurnRunner, hook_entry, untrained, variant
from mtkd_rl.doctor.report import Cost

STUDENT, ALL = 'student alone', 'all teachers'


class CostLoop(TurnLoop):
    """Runs some steps on one batch; ``parent`` says how many, and hears the seconds of each and a step's peak bytes."""

    def run(self) -> nn.Module:
        """Warms up, and measures."""
        batch = next(iter(self.dataloader))
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()

        def step() -> None:
            self.run_iter(batch)

        self._repeat(step, WARMUP)
        seconds = [self._repeat(step, 1) for _ in range(self.parent.recv())]
        self.parent.send((seconds, peak(step, self.device)))
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model


def measure(
    cfg: Config,
    teachers: Mapping[str, Mapping[str, Any]],
    weights: Mapping[str, int],
    steps: int,
    trust: bool,
    folder: Path,
    tell: Callable[[float], None],
) -> list[Cost]:
    """Measures the student alone, with each teacher, and with all.

    Args:
        cfg: A complete config with an ``MTKDHook``.
        teachers: Name to entry, of those that can be asked.
        weights: Teacher to the bytes of its weights.
        steps: How many are timed, at least 1.
        trust: Load the student's initial weights without restriction.
        folder: For the runs' files; may be thrown away afterwards.
        tell: Is told how much is done, in [0, 1].
    """
    pools: dict[str, tuple[str, ...]] = {STUDENT: (), **{f'with {name}': (name,) for name in teachers}}
    if len(teachers) > 1:
        pools[ALL] = tuple(teachers)
    costs = []
    for i, (row, names) in enumerate(pools.items()):
        chosen = _with(cfg, {name: teachers[name] for name in names}, folder / str(i))
        seconds, memory = _steps(chosen, steps, trust)
        taken = sum(weights[name] for name in names)
        costs.append(Cost(row, 1000 * statistics.median(seconds), memory / MIB, taken / MIB))
        tell((i + 1) / len(pools))
    return costs


def peak(step: Callable[[], None], device: torch.device) -> int:
    """The bytes that torch's allocator takes for a step at its peak, above those that were taken before.

    On the CPU scratch memory of libraries is not in it.
    """
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    with _silent(), profile(use_device=None, profile_memory=True) as watched:
        step()
    events = [event for event in watched.kineto_results.events() if event.name() == '[memory]']
    changes = (event.nbytes() for event in sorted(events, key=lambda event: event.start_ns()))
    return max(accumulate(changes, initial=0))


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps off the terminal what the profiler's own code says there: no GPU, and blocks older than itself."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open('w') as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


def bytes_of(model: nn.Module) -> int:
    """The bytes of a model's parameters and buffers."""
    return sum(value.numel() * value.element_size() for value in model.state_dict().values())


def _with(cfg: Config, teachers: Mapping[str, Mapping[str, Any]], folder: Path) -> Config:
    """The config with these teachers alone, untrained, and with its own strategy."""
    if not teachers:
        return variant(cfg, 'plain', folder)
    changed = variant(cfg, 'average', folder)
    entry = hook_entry(changed)
    entry['teachers'] = untrained(teachers)
    del entry['strategy']
    if 'strategy' in hook_entry(cfg):
        entry['strategy'] = hook_entry(cfg)['strategy']
    return changed


def _steps(cfg: Config, steps: int, trust: bool) -> tuple[list[float], int]:
    ours, theirs = Pipe()
    ours.send(steps)
    cfg.log_level = 'ERROR'
    cfg.runner_type = TurnRunner.__name__
    runner = tooling.build_runner(cfg, trust)
    runner.loop, runner.parent, runner.batch_size = CostLoop, theirs, cfg.train_dataloader.batch_size
    runner.train()
    return ours.recv()
