"""A child process that takes turns, seen from within and from its parent."""

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config

from mtkd_rl import tooling
from mtkd_rl.benchmark.cache import CacheLoop
from mtkd_rl.benchmark.naive import NaiveLoop
from mtkd_rl.benchmark.turns import TeachersLoop, Turn, TurnLoop, TurnRunner
from mtkd_rl.errors import MTKDError

LOOPS: dict[str, type[TurnLoop]] = {'teachers': TeachersLoop, 'naive': NaiveLoop, 'cache': CacheLoop}


class Options(NamedTuple):
    """How a worker measures.

    Attributes:
        threads: Of torch on the CPU.
        batch_size: B.
        rounds: How many, at least 1.
        iterations: Of a round: a whole rollout cycle, so that a PPO update is in it.
    """

    threads: int
    batch_size: int
    rounds: int
    iterations: int


def take_turns(parent: Connection, name: str, cfg: Config, options: Options) -> None:
    """Builds a variant, warms up, and takes turns until the parent says stop.

    Args:
        parent: See ``TurnLoop``.
        name: The variant.
        cfg: Its config.
        options: How to measure.
    """
    torch.set_num_threads(options.threads)
    cfg.runner_type = TurnRunner.__name__
    runner = tooling.build_runner(cfg)
    runner.parent, runner.batch_size = parent, options.batch_size
    runner.loop = LOOPS.get(name, TurnLoop)
    runner.train()


def work(parent: Connection, log: str, name: str, cfg: Config, options: Options) -> None:
    """The life of a worker process; what goes wrong is sent to the parent as an ``MTKDError``.

    Args:
        parent: As for ``take_turns``, and so on.
        log: File for everything that this process prints.
        name: The variant.
        cfg: Its config.
        options: How to measure.
    """
    with Path(log).open('w') as file:
        for stream in (sys.stdout, sys.stderr):
            os.dup2(file.fileno(), stream.fileno())
    try:
        take_turns(parent, name, cfg, options)
    except Exception as error:  # whatever a config can make fail
        origin: BaseException = error
        while isinstance(origin.__context__, MTKDError):  # mmengine's registries raise it anew
            origin = origin.__context__
        kind = '' if isinstance(origin, MTKDError) else f'{type(origin).__name__}: '
        parent.send(MTKDError(f'{name}: {kind}{" ".join(str(origin).split())}'))


class Worker:
    """The parent's side of a worker process; as a context it ends with its block.

    Args:
        name: The variant.
        cfg: Its config.
        options: How to measure.
    """

    def __init__(self, name: str, cfg: Config, options: Options) -> None:
        self.name = name
        spawn = get_context('spawn')  # nothing of the parent's torch, CUDA or threads in the worker
        self.pipe, theirs = spawn.Pipe()
        log = str(Path(cfg.work_dir, 'log.txt'))
        self.process = spawn.Process(target=work, args=(theirs, log, name, cfg, options), daemon=True)
        self.process.start()
        theirs.close()

    def __enter__(self) -> 'Worker':
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            self.pipe.send(0)
        else:
            self.process.kill()
        self.process.join()

    def hear(self) -> Any:
        """What the worker says next.

        Raises:
            MTKDError: It failed, or died.
        """
        try:
            said = self.pipe.recv()
        except EOFError:
            self.process.join()
            raise MTKDError(
                f'{self.name}: its process ended with exit code {self.process.exitcode}; if memory is short, '
                'give a smaller --batch-size'
            ) from None
        if isinstance(said, MTKDError):
            raise said
        return said

    def turn(self, times: int) -> Turn:
        """A number of iterations, at least 1.

        Raises:
            MTKDError: As ``hear``.
        """
        self.pipe.send(times)
        return self.hear()


@contextmanager
def environment(changes: Mapping[str, str]) -> Iterator[None]:
    """Processes started in the block get these variables, beside those of this one."""
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update(changes)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value
