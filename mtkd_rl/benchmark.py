"""What a training step costs, and what distillation and the agent add to it.

Four variants of one config are measured side by side: the plain student, the forwards of the teachers alone, equal
weights, and the PPO agent. Each has a process of its own, which builds once. A round is a rollout cycle of each, PPO
update included; within it they take turns of about a second, so that all see the same noise of the machine, and ratios
are taken within a round. Memory is looked at before, in other processes. In the one kind of process the allocator gives
freed memory back at once, in the other it keeps it: what it does by itself differs from process to process.

Pictures, labels and weights of teachers are made: what a step costs does not depend on their values.
"""

import gc
import inspect
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS, RUNNERS
from mmengine.runner import IterBasedTrainLoop, Runner
from torch import nn

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError
from mtkd_rl.hook import MTKDHook
from mtkd_rl.weighting import PPOWeighting

VARIANTS = ('plain', 'teachers', 'average', 'ppo')
RATIOS = (('teachers', 'average'), ('average', 'plain'), ('ppo', 'average'))
WARMUP = 3
"""Iterations before the first round, in which allocators and kernels settle."""
TURN = 1.0
"""Seconds that a turn of the slowest variant takes, where an iteration is not longer."""
EPOCH = 1000
"""Iterations that schedules take an epoch to have: more than a measurement makes."""
UNTRAINED: dict[str, dict[str, Any]] = {'Torchvision': {'weights': None}, 'Timm': {'pretrained': False}}
GIVES_BACK = {'MALLOC_MMAP_THRESHOLD_': '65536'}
"""Environment in which glibc gives freed memory back at once (mallopt(3)), so that resident memory is memory in use.

It costs time: pages are cleared again and again.
"""
KEEPS = {'MALLOC_MMAP_THRESHOLD_': str(2**25), 'MALLOC_TRIM_THRESHOLD_': str(2**40)}
"""Environment in which glibc keeps freed memory.

Left to itself it gives back what happens to lie on top of the heap, which makes one process some 5% slower than another
that does the same.
"""
MIB = 2**20


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


def variant(cfg: Config, name: str) -> Config:
    """The config of one variant, without what writes files or evaluates.

    Args:
        cfg: A complete config with an ``MTKDHook``.
        name: One of ``VARIANTS``.

    Returns:
        A changed copy. Distillation is on from the first iteration.

    Raises:
        MTKDError: It has no ``MTKDHook``.
    """
    cfg = deepcopy(cfg)
    entry = hook_entry(cfg)
    entry.update(teachers=untrained(entry['teachers']), begin=0, end=None, warmup=0)
    # Untrained teachers may say large numbers. At weight 0 all is computed the same, and the student stays finite.
    entry.update(logit_weight=0.0, feature_weight=0.0)
    if name == 'plain':
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook is not entry]
    elif name == 'ppo':
        entry['strategy'] = ppo_strategy(entry)
    else:
        entry['strategy'] = {'type': 'AverageWeighting'}
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks = {**cfg.get('default_hooks', {}), 'checkpoint': None}
    cfg.visualizer = {**cfg.get('visualizer', {'type': 'Visualizer'}), 'vis_backends': []}
    cfg.load_from, cfg.resume, cfg.launcher = None, False, 'none'
    return cfg


def hook_entry(cfg: Config) -> dict[str, Any]:
    """The ``MTKDHook`` of a config.

    Raises:
        MTKDError: There is none.
    """
    for hook in cfg.get('custom_hooks') or []:
        if hook['type'] in ('mtkd_rl.MTKDHook', 'MTKDHook', MTKDHook):
            return hook
    raise MTKDError('the config has no MTKDHook in custom_hooks, so there is nothing to compare; give one that has')


def ppo_strategy(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The strategy of a hook's entry if it is a ``PPOWeighting``, else one with its defaults."""
    strategy = entry.get('strategy', {'type': 'PPOWeighting'})
    return strategy if strategy['type'] in ('PPOWeighting', PPOWeighting) else {'type': 'PPOWeighting'}


def cycle(entry: Mapping[str, Any], batch_size: int) -> int:
    """Iterations in which the agent of a hook's entry fills its rollout and updates once."""
    default = inspect.signature(PPOWeighting).parameters['rollout'].default
    return math.ceil(ppo_strategy(entry).get('rollout', default) / batch_size)


def untrained(teachers: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
    """The entries of a pool with random weights, so that no checkpoint has to be there."""

    def without(entry: Mapping[str, Any]) -> dict[str, Any]:
        return {**entry, **UNTRAINED.get(entry.get('type', ''), {}), 'checkpoint': 'random'}

    if isinstance(teachers, Mapping):
        return {name: without(entry) for name, entry in teachers.items()}
    return [without(entry) for entry in teachers]


def picture_size(dataset: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width that a data set's pipeline ends with.

    Args:
        dataset: Config of a data set, perhaps wrapped.

    Returns:
        What the last transform with a size says; where none has one, the size of the first picture.

    Raises:
        MTKDError: Only the data would tell, and they cannot be read.
    """
    inner = dataset
    while 'pipeline' not in inner and 'dataset' in inner:
        inner = inner['dataset']
    for transform in reversed(inner.get('pipeline', [])):
        for size in (transform.get(key) for key in ('crop_size', 'scale', 'size')):
            if isinstance(size, int):
                return size, size
            if isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(side, int) for side in size):
                return size[0], size[1]
    try:
        height, width = DATASETS.build(dataset)[0]['inputs'].shape[-2:]
    except Exception as error:  # a data set may raise anything
        raise MTKDError(
            'no transform of the training pipeline says how large pictures are, and the data cannot be read '
            f'({" ".join(str(error).split())}); put the data there, or name a size in the pipeline'
        ) from error
    return height, width


class TurnLoop(IterBasedTrainLoop):
    """A training loop that runs a number of iterations on one prepared batch whenever it is told to.

    Args:
        runner: The Runner.
        dataloader: Its first batch is used for all iterations.
        parent: Hears a ``Ready``; then says how many iterations to run, 0 for no more, and hears a ``Turn`` each time.
    """

    def __init__(self, runner: Runner, dataloader: Any, parent: Connection) -> None:
        super().__init__(runner, dataloader, max_iters=10**9)
        self.parent = parent
        self.device = next(runner.model.parameters()).device

    def run(self) -> nn.Module:
        """Warms up, and serves the parent until it says stop."""
        batch = next(iter(self.dataloader))
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        step = self.stepper(batch)
        built = start_memory(self.device)
        *_, last = (self._repeat(step, 1) for _ in range(WARMUP))
        self.parent.send(Ready(device_name(self.device), memory_kind(self.device), torch.get_num_threads(), last))
        while times := self.parent.recv():
            seconds = self._repeat(step, times)
            self.parent.send(Turn(seconds, peak_memory(self.device) - built))
        self.runner.call_hook('after_train_epoch')
        self.runner.call_hook('after_train')
        return self.runner.model

    def stepper(self, batch: Any) -> Callable[[], Any]:
        """What is repeated: a whole training iteration, with the hooks around it."""
        return partial(self.run_iter, batch)

    def _repeat(self, step: Callable[[], Any], times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            step()
        if self.device.type == 'cuda':
            torch.cuda.synchronize(self.device)
        return time.perf_counter() - start


class TeachersLoop(TurnLoop):
    """Repeats the forwards of the teachers alone, on what the student was given."""

    def stepper(self, batch: Any) -> Callable[[], Any]:
        """All teachers on one preprocessed batch."""
        hook = next(hook for hook in self.runner.hooks if isinstance(hook, MTKDHook))
        distiller = hook.distiller
        student: Any = distiller.student
        data = student.data_preprocessor(batch, True)
        context = partial(self.runner.optim_wrapper.optim_context, self.runner.model)
        distiller.student_taps.start()
        with torch.no_grad(), context():
            student(**data, mode='loss')
        target = distiller.task.target(data['data_samples'], distiller.student_taps.take())

        def ask() -> None:
            with context():
                distiller.ask_teachers(data['inputs'], target)

        return ask


@RUNNERS.register_module()
class TurnRunner(Runner):
    """The Runner as the user runs it, but for the training data and the loop over them."""

    parent: Connection
    batch_size: int
    loop: type[TurnLoop] = TurnLoop

    def build_train_loop(self, loop: Any) -> TurnLoop:
        """The loop that takes turns, over made pictures of the size, channels and classes that the config has."""
        model: Any = self.model
        convolutions = (module for module in model.modules() if isinstance(module, nn.Conv2d))
        size = self.batch_size
        classes = getattr(getattr(model, 'head', None), 'num_classes', None)
        loader = self.build_dataloader(
            {
                'batch_size': size,
                'num_workers': 0,
                'sampler': {'type': 'DefaultSampler', 'shuffle': False},
                'collate_fn': self.cfg.train_dataloader.get('collate_fn', {'type': 'default_collate'}),
                'dataset': {
                    'type': 'mtkd_rl.MadeClassification',
                    'n': size * EPOCH,
                    'size': picture_size(self.cfg.train_dataloader.dataset),
                    'num_classes': classes or model.data_preprocessor.num_classes,
                    'channels': next(convolutions).in_channels,
                },
            }
        )
        return self.loop(self, loader, self.parent)


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
    runner.loop = TeachersLoop if name == 'teachers' else TurnLoop
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


def measure(cfg: Config, folder: Path, options: Options, tell: Callable[[str, float], None]) -> dict[str, Any]:
    """Measures the four variants of a config.

    Args:
        cfg: A complete config with an ``MTKDHook``.
        folder: For the runs' files; may be thrown away afterwards.
        options: How to measure.
        tell: Is told what begins, and how much of all is done, in [0, 1].

    Returns:
        The report; see ``summarise``, and what it was measured with.

    Raises:
        MTKDError: A worker failed: which, and why.
    """
    configs = {name: variant(cfg, name) for name in VARIANTS}
    for name, each in configs.items():
        each.work_dir = str(folder / name)
        Path(each.work_dir).mkdir()
    stages = 1 + options.rounds

    def preparing(what: str, i: int) -> None:
        tell(what, i / (2 * len(VARIANTS)) / stages)

    memory = {}
    for i, name in enumerate(VARIANTS):
        preparing(f'{name}: memory', i)
        with environment(GIVES_BACK), Worker(name, configs[name], options) as worker:
            worker.hear()
            # only the agent does something new later on: it updates
            memory[name] = worker.turn(options.iterations if name == 'ppo' else 1).memory
    seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
    with ExitStack() as stack:
        workers, ready = {}, {}
        for i, name in enumerate(VARIANTS, len(VARIANTS)):
            preparing(f'{name}: build and warm up', i)
            with environment(KEEPS):
                workers[name] = stack.enter_context(Worker(name, configs[name], options))
            ready[name] = workers[name].hear()
        most = max(1, int(TURN / max(each.seconds for each in ready.values())))
        for i in range(options.rounds):
            spent = dict.fromkeys(VARIANTS, 0.0)
            for j, done in enumerate(range(0, options.iterations, most)):
                tell(f'round {i + 1} of {options.rounds}', (1 + i + done / options.iterations) / stages)
                # to and fro, so that nobody always follows the same one
                for name in VARIANTS if j % 2 == 0 else reversed(VARIANTS):
                    spent[name] += workers[name].turn(min(most, options.iterations - done)).seconds
            for name in VARIANTS:
                seconds[name].append(spent[name])
    said: Ready = ready['plain']
    return {
        **summarise(seconds, memory, options.iterations),
        'rounds': options.rounds,
        'iterations': options.iterations,
        'batch_size': options.batch_size,
        'threads': said.threads,
        'device': said.device,
        'memory': said.memory,
        'torch': torch.__version__,
    }


def summarise(seconds: Mapping[str, Sequence[float]], memory: Mapping[str, float], iterations: int) -> dict[str, Any]:
    """What was measured, in short.

    Args:
        seconds: Variant to the seconds of each round.
        memory: Variant to the peak above the built model, in bytes.
        iterations: Of a round.

    Returns:
        ``variants``: name to ``ms`` (milliseconds an iteration, median of the rounds) and ``memory_mib``; ``ratios``:
        of times, the median of the rounds' own ratios, and of memory; ``of_rounds``: the rounds' own ratios of times.
    """
    variants = {
        name: {
            'ms': round(1000 * statistics.median(each) / iterations, 3),
            'memory_mib': round(memory[name] / MIB, 2),
        }
        for name, each in seconds.items()
    }
    of_rounds = {f'{a}/{b}': [round(x / y, 4) for x, y in zip(seconds[a], seconds[b])] for a, b in RATIOS}
    ratios = {name: statistics.median(each) for name, each in of_rounds.items()}
    ratios |= {f'{a}/{b} memory': round(memory[a] / memory[b], 4) for a, b in RATIOS if memory[b] > 0}
    return {'variants': variants, 'ratios': ratios, 'of_rounds': of_rounds}


def device_name(device: torch.device) -> str:
    """The name of a device, for a report."""
    return torch.cuda.get_device_name(device) if device.type == 'cuda' else device.type


def memory_kind(device: torch.device) -> str:
    """What ``peak_memory`` measures."""
    return 'peak of allocated CUDA memory' if device.type == 'cuda' else 'peak resident size of the process'


def start_memory(device: torch.device) -> int:
    """Begins to look for a peak.

    Returns:
        Bytes in use now.
    """
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path('/proc/self/clear_refs').write_text('5')  # resets VmHWM (proc(5))
    return _resident('VmRSS')


def peak_memory(device: torch.device) -> int:
    """Bytes in use at the peak since ``start_memory``."""
    return torch.cuda.max_memory_allocated(device) if device.type == 'cuda' else _resident('VmHWM')


def _resident(field: str) -> int:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f'{field}:'))
