"""The rounds of a measurement, and the report of them."""

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config

from mtkd_rl.benchmark.configs import Plan, variant
from mtkd_rl.benchmark.memory import GIVES_BACK, KEEPS, MIB
from mtkd_rl.benchmark.turns import Ready
from mtkd_rl.benchmark.worker import Options, Worker, environment

TURN = 1.0
"""Seconds that a turn of the slowest variant takes, where an iteration is not longer."""


def measure(
    cfg: Config, plan: Plan, folder: Path, options: Options, tell: Callable[[str, float], None]
) -> dict[str, Any]:
    """Measures variants of a config.

    Args:
        cfg: A complete config with an ``MTKDHook``.
        plan: Which ones, and what of them is compared.
        folder: For the runs' files; may be thrown away afterwards.
        options: How to measure.
        tell: Is told what begins, and how much of all is done, in [0, 1].

    Returns:
        The report; see ``summarise``, and what it was measured with.

    Raises:
        MTKDError: A worker failed: which, and why.
    """
    names = plan.variants
    configs = {name: variant(cfg, name, folder / name) for name in names}
    stages = 1 + options.rounds

    def preparing(what: str, i: int) -> None:
        tell(what, i / (2 * len(names)) / stages)

    memory = {}
    for i, name in enumerate(names):
        preparing(f'{name}: memory', i)
        with environment(GIVES_BACK), Worker(name, configs[name], options) as worker:
            worker.hear()
            # only the agent does something new later on: it updates
            memory[name] = worker.turn(options.iterations if name.startswith('ppo') else 1).memory
    seconds: dict[str, list[float]] = {name: [] for name in names}
    with ExitStack() as stack:
        workers, ready = {}, {}
        for i, name in enumerate(names, len(names)):
            preparing(f'{name}: build and warm up', i)
            with environment(KEEPS):
                workers[name] = stack.enter_context(Worker(name, configs[name], options))
            ready[name] = workers[name].hear()
        most = max(1, int(TURN / max(each.seconds for each in ready.values())))
        for i in range(options.rounds):
            spent = dict.fromkeys(names, 0.0)
            for j, done in enumerate(range(0, options.iterations, most)):
                tell(f'round {i + 1} of {options.rounds}', (1 + i + done / options.iterations) / stages)
                # to and fro, so that nobody always follows the same one
                for name in names if j % 2 == 0 else reversed(names):
                    spent[name] += workers[name].turn(min(most, options.iterations - done)).seconds
            for name in names:
                seconds[name].append(spent[name])
    said: Ready = ready['plain']
    return {
        **summarise(plan, seconds, memory, options),
        'rounds': options.rounds,
        'iterations': options.iterations,
        'batch_size': options.batch_size,
        'threads': said.threads,
        'device': said.device,
        'memory': said.memory,
        'torch': torch.__version__,
    }


def measure_cache(cfg: Config, folder: Path, options: Options) -> dict[str, Any]:
    """Measures the cache of a config's pool on made pictures.

    Args:
        cfg: A complete config with an ``MTKDHook``; its own ``cache`` options hold, but for folder and budget.
        folder: For the run's files; may be thrown away afterwards.
        options: How to measure; rounds and iterations play no part.

    Returns:
        ``ms`` of a batch, medians: ``live``, ``fill``, ``read`` (from memory) and ``cold`` (from disk); ``bytes`` of a
        view of a sample; ``teachers``, of each its ``bytes`` and the relative ``error`` of what is stored; ``gb_s``,
        10^9 bytes a second that were read.

    Raises:
        MTKDError: A teacher's outputs cannot be stored.
    """
    with Worker('cache', variant(cfg, 'cached', folder), options) as worker:
        return worker.hear()


def summarise(
    plan: Plan, seconds: Mapping[str, Sequence[float]], memory: Mapping[str, float], options: Options
) -> dict[str, Any]:
    """What was measured, in short.

    Args:
        plan: What is compared.
        seconds: Variant to the seconds of each round.
        memory: Variant to the peak above the built model, in bytes.
        options: How it was measured.

    Returns:
        ``variants``: name to ``ms`` (milliseconds an iteration, median of the rounds), ``images`` a second and
        ``memory_mib``; ``ratios``: of times, the median of the rounds' own ratios, and of memory; ``of_rounds``: the
        rounds' own ratios of times.
    """
    variants = {
        name: {
            'ms': round(1000 * statistics.median(each) / options.iterations, 3),
            'images': round(options.batch_size * options.iterations / statistics.median(each), 1),
            'memory_mib': round(memory[name] / MIB, 2),
        }
        for name, each in seconds.items()
    }
    pairs = plan.ratios.items()
    of_rounds = {name: [round(x / y, 4) for x, y in zip(seconds[a], seconds[b])] for name, (a, b) in pairs}
    ratios = {name: statistics.median(each) for name, each in of_rounds.items()}
    ratios |= {f'{name} memory': round(memory[a] / memory[b], 4) for name, (a, b) in pairs if memory[b] > 0}
    return {'variants': variants, 'ratios': ratios, 'of_rounds': of_rounds}
