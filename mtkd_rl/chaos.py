"""Killing a training at random moments and resuming it: does it end as if nothing had happened?

The trainings are subprocesses of ``tools/train.py``, watched from outside: what they print, and the files they leave.
"""

import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from torch import Tensor

from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers.checkpoint import read_checkpoint

PHASES = ('training', 'saving', 'validation')
"""What a kill has to fall into; before the first iteration it falls into ``starting``."""
KEYS = ('state_dict', 'optimizer', 'param_schedulers', 'mtkd_rl')
"""What has to be equal in the last checkpoint."""
SPANS = 4
"""A training is so many times a span of iterations, a checkpoint and a validation."""
SPAN = 15
"""Iterations of a span."""
BATCH = 20
"""Pictures of an iteration, over all processes."""
VAL_BATCHES = 10
"""Batches of a validation."""
MARK = 'MTKD_RL_CHAOS'
"""Environment variable by which all processes of a training are found: torchrun puts each into a session of its own."""
PATIENCE = 600.0
"""Seconds after which a training counts as hanging."""
BAR = re.compile(r'(Epoch|Iter)\((train|val)\)\s+((?:\[\s*\d+(?:/\s*\d+)?\])+)')


class Variant(NamedTuple):
    """A way to train.

    Attributes:
        by_epoch: Whether the loop counts epochs or iterations.
        workers: Of the training loader; they start anew each epoch.
    """

    by_epoch: bool
    workers: int

    def __str__(self) -> str:
        return f'{"epochs" if self.by_epoch else "iterations"}, {self.workers} workers'

    @property
    def slug(self) -> str:
        """A name for files."""
        return f'{"epoch" if self.by_epoch else "iter"}_{self.workers}'

    @property
    def last(self) -> str:
        """Name of the last checkpoint."""
        return f'epoch_{SPANS}.pth' if self.by_epoch else f'iter_{SPANS * SPAN}.pth'


VARIANTS = tuple(Variant(by_epoch, workers) for workers in (0, 2) for by_epoch in (True, False))


class Seen(NamedTuple):
    """What a training has said last of where it is.

    Attributes:
        what: ``starting``, ``resumed``, ``training``, ``saving``, ``validation`` or ``best`` (saved).
        done: Iterations done, or in training the number of the current one.
        batch: Number of the last validation batch that was told; 0 outside of validation.
    """

    what: str = 'starting'
    done: int = 0
    batch: int = 0


class Plan(NamedTuple):
    """When to kill: at the first moment that fits.

    Attributes:
        phase: One of ``PHASES``, or ``starting``.
        done: Iterations that are done at least, or in training the number of the current one.
        batch: Validation batches that were told at least.
        best: Of saving: not the checkpoint of the span, but its second writing, after a validation with a new best
            result.
        growing: Of saving: once the file is there in part; otherwise at once.
        delay: Seconds to wait then.
    """

    phase: str
    done: int = 0
    batch: int = 0
    best: bool = False
    growing: bool = False
    delay: float = 0.0


class Kill(NamedTuple):
    """What a kill hit.

    Attributes:
        phase: The training's, as it said last and by its files.
        files: Checkpoints left, see ``state_of_files``.
        resumed: Iteration from which the next start went on; ``None`` if it did not come to that.
    """

    phase: str
    files: str
    resumed: int | None = None


class Outcome(NamedTuple):
    """A run with its kills.

    Attributes:
        variant: How it was trained.
        kills: In their order.
        fault: Why it did not end as the uninterrupted one; empty if it did.
    """

    variant: Variant
    kills: tuple[Kill, ...]
    fault: str


def make_config(variant: Variant, processes: int) -> Config:
    """A small real training with all that a resumption has to restore.

    It has dropout, BatchNorm, augmentation, an optimizer with state, a scheduler (one of them looks at the validation),
    an agent that is updated every five iterations, one checkpoint kept, and the best one.

    Args:
        variant: How to train.
        processes: They share each batch, so that the number of iterations does not depend on it.
    """
    by_epoch, workers = variant
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
    # workers, which live as long as that loop, are other ones: no augmentation there
    crop = [] if workers and not by_epoch else [dict(type='RandomCrop', crop_size=8, padding=1)]
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
                )
            ],
        )
    )


def look(line: str, before: Seen) -> Seen:
    """What a line that a training prints says of where it is.

    Args:
        line: Any line of mmengine's log, or another.
        before: What was known before it.
    """
    if bar := BAR.search(line):
        counts = [[int(number) for number in part.split('/')] for part in re.findall(r'\[([^]]+)\]', bar[3])]
        if bar[2] == 'val':
            return Seen('validation', before.done, counts[-1][0])
        epochs = (counts[0][0] - 1) * counts[-1][1] if len(counts) > 1 else 0
        return Seen('training', epochs + counts[-1][0])
    if said := re.search(r'resumed epoch: \d+, iter: (\d+)', line):
        return Seen('resumed', int(said[1]))
    if 'Saving checkpoint at ' in line:
        return Seen('saving', before.done)
    if 'The best checkpoint with ' in line:
        return Seen('best', before.done)
    return before


def fits(plan: Plan, seen: Seen) -> bool:
    """Whether the moment of a plan has come; for growing files it is the moment to look at them."""
    if plan.phase == 'starting':
        return True
    wanted = 'validation' if plan.best else plan.phase
    return seen.what == wanted and seen.done >= plan.done and seen.batch >= plan.batch


def phase_of(seen: Seen, unfinished: bool) -> str:
    """The phase that a kill hit.

    Args:
        seen: What the training had said last.
        unfinished: Whether its files show that it was saving; see ``is_unfinished``.
    """
    if unfinished:
        return 'saving'
    after = {'resumed': 'starting', 'saving': 'validation', 'best': 'training'}
    return after.get(seen.what, seen.what)


def is_unfinished(work_dir: Path, seen: Seen) -> bool:
    """Whether a training was saving when it was killed: ``last_checkpoint`` is written last.

    Args:
        work_dir: Its work dir.
        seen: What it had said last; it says when it begins to save.
    """
    pointer = work_dir / 'last_checkpoint'
    if not pointer.is_file():
        return seen.what == 'saving' or any(_checkpoints(work_dir))
    if seen.what == 'saving' and number_saved(work_dir) != seen.done:
        return True
    written = pointer.stat().st_mtime_ns
    return any(path.stat().st_mtime_ns > written for path in _checkpoints(work_dir))


def number_saved(work_dir: Path) -> int:
    """Iterations done at the checkpoint that ``last_checkpoint`` names; 0 if it names none."""
    pointer = work_dir / 'last_checkpoint'
    named = re.search(r'(epoch|iter)_(\d+)\.pth', pointer.read_text()) if pointer.is_file() else None
    return 0 if named is None else int(named[2]) * (SPAN if named[1] == 'epoch' else 1)


def state_of_files(work_dir: Path) -> str:
    """What a kill left: ``truncated`` if one of all checkpoints is, else ``whole`` if there is one to resume from.

    Args:
        work_dir: Of the training; temporary and hidden files count too.

    Returns:
        ``none``, ``whole`` or ``truncated``.
    """
    state = 'none'
    for path in _checkpoints(work_dir):
        try:
            read_checkpoint(path)
        except MTKDError:
            return 'truncated'
        state = state if path.name.startswith('best_') else 'whole'
    return state


def difference(a: Any, b: Any, where: str) -> str | None:
    """The first place where two trees of plain containers and tensors differ.

    Values are equal when their bits are: NaN equals NaN, and 0.0 is not -0.0.

    Args:
        a: One tree.
        b: The other.
        where: What the root is called.

    Returns:
        Dotted key and how the values differ; ``None`` if the trees are equal.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if lone := sorted(map(str, a.keys() ^ b.keys())):
            return f'{where}.{lone[0]}: only in one'
        pairs: Iterator[tuple[Any, Any, Any]] = ((key, a[key], b[key]) for key in a)
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return f'{where}: {len(a)} entries against {len(b)}'
        pairs = ((i, x, y) for i, (x, y) in enumerate(zip(a, b)))
    else:
        return None if _same(a, b) else f'{where}: {_brief(a)} against {_brief(b)}'
    return next((found for key, x, y in pairs if (found := difference(x, y, f'{where}.{key}'))), None)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(_bytes(a), _bytes(b))
    return type(a) is type(b) and repr(a) == repr(b)


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def _brief(value: Any) -> str:
    if isinstance(value, Tensor):
        return f'{value.dtype} {tuple(value.shape)} of sum {value.double().sum():.9g}'
    return repr(value)[:60]


def result_of(work_dir: Path, variant: Variant) -> dict[str, Any]:
    """What a training ended with.

    Args:
        work_dir: Its work dir.
        variant: How it was trained.

    Returns:
        ``KEYS`` of the last checkpoint, and under ``best`` the name and the weights of the best one.

    Raises:
        MTKDError: A file is not there or damaged.
    """
    last = read_checkpoint(work_dir / variant.last)
    best = {path.name: read_checkpoint(path)['state_dict'] for path in work_dir.glob('best_*.pth')}
    return {**{key: last.get(key) for key in KEYS}, 'best': best}


class Training:
    """One start of ``tools/train.py``.

    Args:
        train: Path of the tool.
        config: Path of the config.
        work_dir: For checkpoints.
        output: File for all that it prints.
        resume: Whether to go on from the latest checkpoint.
        processes: Of the training; more than one under torchrun with gloo.
    """

    def __init__(
        self, train: Path, config: Path, work_dir: Path, output: Path, *, resume: bool, processes: int
    ) -> None:
        self.work_dir = work_dir
        self.mark = str(output)
        command = [sys.executable]
        if processes > 1:
            command += ['-m', 'torch.distributed.run', f'--nproc_per_node={processes}', f'--master_port={_free_port()}']
        command += [str(train), str(config), '--work-dir', str(work_dir)]
        command += ['--launcher', 'pytorch'] * (processes > 1) + ['--resume'] * resume
        one = {'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
        with output.open('wb') as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **one, MARK: self.mark},
                start_new_session=True,
            )
        self.output = output.open('rb')
        self._rest = b''
        self._groups: set[int] = set()
        self.seen = Seen()

    def follow(self) -> None:
        """Reads what was printed since, up to the last whole line."""
        *lines, self._rest = (self._rest + self.output.read()).split(b'\n')
        for line in lines:
            self.seen = look(line.decode(errors='replace'), self.seen)

    def wait_for(self, plan: Plan, size: int) -> bool:
        """Waits for the moment of a plan.

        Args:
            plan: When.
            size: Of a whole checkpoint in bytes, to know one that is there in part.

        Returns:
            Whether it came; else the training has ended.
        """
        before = _sizes(self.work_dir)
        for _ in self._ticks(0.002):
            self.follow_until(plan)
            if not self._groups and self.seen.what != 'starting':
                self._groups = _groups(self.mark)  # all are there; looking for them takes too long at the moment itself
            if fits(plan, self.seen):
                if plan.growing:
                    self._wait_for_part(before, size)
                time.sleep(plan.delay)
                return self.process.poll() is None
            before = _sizes(self.work_dir)
        return False

    def follow_until(self, plan: Plan) -> None:
        """As ``follow``, but stops at the line with which a plan's moment comes; the rest is read later."""
        self._rest += self.output.read()
        while not fits(plan, self.seen) and b'\n' in self._rest:
            line, self._rest = self._rest.split(b'\n', 1)
            self.seen = look(line.decode(errors='replace'), self.seen)

    def wait(self) -> None:
        """Waits for the end of the training.

        Raises:
            MTKDError: It failed, with the last line that it said, or it hangs.
        """
        for _ in self._ticks(0.05):
            self.follow()
        self.follow()
        if self.process.returncode != 0:
            raise MTKDError(f'{self.last_line()} (all of it: {self.mark})')

    def last_line(self) -> str:
        """The last thing printed that is not torchrun's report."""
        lines = [line for line in Path(self.mark).read_text(errors='replace').splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r'(\[rank\d+\]: *)?(\w+\.)*(\w*Error\b|error:)', line)]
        return ' '.join((errors or lines or ['it said nothing'])[-1].split())

    def kill(self) -> None:
        """SIGKILL to all its processes, a whole process group at once."""
        if self.process.poll() is None:
            for group in self._groups:
                _kill_group(group)
        while groups := _groups(self.mark):
            for group in groups:
                _kill_group(group)
            self.process.poll()
        self.process.wait()

    def close(self) -> None:
        """Ends it if it runs."""
        self.kill()
        self.output.close()

    def _ticks(self, seconds: float) -> Iterator[None]:
        started = time.monotonic()
        while self.process.poll() is None:
            if time.monotonic() - started > PATIENCE:
                raise MTKDError(f'it hangs: no end after {PATIENCE:.0f} s (its output: {self.mark})')
            yield
            time.sleep(seconds)

    def _wait_for_part(self, before: Mapping[str, tuple[int, int]], size: int) -> None:
        """Until a file that was touched since has a part of its bytes; at most a second."""
        end = time.monotonic() + 1
        while time.monotonic() < end:
            for name, state in _sizes(self.work_dir).items():
                if state != before.get(name) and 0 < state[0] < 0.9 * size:
                    return


def draw_plans(random_: random.Random, first: str, bests: Container[int]) -> list[Plan]:
    """Moments of one to three kills of a run.

    Args:
        random_: Where chance comes from.
        first: Phase of the first kill.
        bests: Iterations whose validation gives a new best result.

    Returns:
        Plans, each later in the training than the one before, but for those in ``starting``.
    """
    plans = [draw_plan(random_, first, random_.randint(1, SPANS - 1), bests)]
    while len(plans) < 3 and random_.random() < 0.4:
        if random_.random() < 0.25:
            plans.append(Plan('starting', plans[-1].done, delay=random_.uniform(0, 6)))
        else:
            last = -(-plans[-1].done // SPAN)
            plans.append(draw_plan(random_, random_.choice(PHASES), random_.randint(last, SPANS), bests))
    return plans


def draw_plan(random_: random.Random, phase: str, span: int, bests: Container[int]) -> Plan:
    """A moment in a phase of a span.

    Args:
        random_: Where chance comes from.
        phase: One of ``PHASES``.
        span: From 1.
        bests: As for `draw_plans`.
    """
    done = span * SPAN
    if phase == 'training':
        return Plan(phase, done - random_.randrange(SPAN), delay=random_.uniform(0, 0.03))
    if phase == 'validation':
        return Plan(phase, done, batch=random_.randint(1, VAL_BATCHES - 1), delay=random_.uniform(0, 0.01))
    if done in bests and random_.random() < 0.3:
        return Plan(phase, done, batch=VAL_BATCHES, best=True, growing=True)
    if random_.random() < 0.6:
        return Plan(phase, done, growing=True)
    return Plan(phase, done, delay=random_.uniform(0, 0.02))


class Chaos:
    """Trainings that are killed, against one that is not.

    Args:
        train: Path of ``tools/train.py``.
        folder: For configs, work dirs and outputs.
        processes: Of each training.
        seed: Of the moments.
    """

    def __init__(self, train: Path, folder: Path, processes: int, seed: int) -> None:
        self.train, self.folder, self.processes, self.seed = train, folder, processes, seed
        self.references: dict[Variant, dict[str, Any]] = {}
        self.sizes: dict[Variant, int] = {}
        self.bests: dict[Variant, set[int]] = {}
        self._running: set[Training] = set()
        self._closed = False

    def refer(self, variant: Variant) -> None:
        """Trains without interruption.

        Raises:
            MTKDError: The training failed.
        """
        make_config(variant, self.processes).dump(self._config(variant))
        work_dir = self.folder / f'reference_{variant.slug}'
        with self._start(variant, work_dir, 0) as training:
            try:
                training.wait()
            except MTKDError as error:
                raise MTKDError(f'the uninterrupted training failed ({variant}): {error}') from error
            self.bests[variant] = {seen.done for seen in history(Path(training.mark)) if seen.what == 'best'}
        self.references[variant] = result_of(work_dir, variant)
        self.sizes[variant] = (work_dir / variant.last).stat().st_size

    def run(self, number: int) -> Outcome:
        """Trains, kills, resumes to the end, and compares; ``refer`` comes first.

        Args:
            number: Of the run, from 0; decides variant, moments and the phase of the first kill.
        """
        variant = VARIANTS[number % len(VARIANTS)]
        random_ = random.Random(f'{self.seed} {number}')
        plans = draw_plans(random_, PHASES[number % len(PHASES)], self.bests[variant])
        work_dir = self.folder / f'run_{number:03d}'
        kills: list[Kill] = []
        try:
            self._kill_and_resume(variant, work_dir, plans, kills)
            found = difference(self.references[variant], result_of(work_dir, variant), 'checkpoint')
            return Outcome(variant, tuple(kills), found or ('' if kills else 'it ended before the kill'))
        except MTKDError as error:
            return Outcome(variant, tuple(kills), str(error))

    def close(self) -> None:
        """Ends all trainings that run, and starts no more."""
        self._closed = True
        for training in list(self._running):
            training.kill()

    def _kill_and_resume(self, variant: Variant, work_dir: Path, plans: list[Plan], kills: list[Kill]) -> None:
        """Appends to ``kills``.

        Raises:
            MTKDError: It did not resume, or lost more than a kill may lose.
        """
        saved = 0
        for start in range(len(plans) + 1):
            plan = plans[start] if start < len(plans) else None
            with self._start(variant, work_dir, start) as training:
                killed = plan is not None and training.wait_for(plan, self.sizes[variant])
                if killed:
                    training.kill()
                    training.follow()
                else:
                    training.wait()
                if kills and training.seen.what != 'starting':
                    resumed = next((seen.done for seen in history(Path(training.mark)) if seen.what == 'resumed'), 0)
                    kills[-1] = kills[-1]._replace(resumed=resumed)
                    if resumed < saved:
                        raise MTKDError(
                            f'it went on from iteration {resumed}, though {saved} were saved (its output: '
                            f'{training.mark})'
                        )
                if not killed:
                    return
                seen = training.seen
            files = state_of_files(work_dir)
            kills.append(Kill(phase_of(seen, is_unfinished(work_dir, seen)), files))
            # a file cut short may be that of the last checkpoint, written again after a new best result
            saved = max(0, number_saved(work_dir) - (SPAN if files == 'truncated' else 0))

    @contextmanager
    def _start(self, variant: Variant, work_dir: Path, start: int) -> Iterator[Training]:
        if self._closed:
            raise MTKDError('interrupted')
        training = Training(
            self.train,
            self._config(variant),
            work_dir,
            work_dir.with_name(f'{work_dir.name}_start_{start}.txt'),
            resume=start > 0,
            processes=self.processes,
        )
        self._running.add(training)
        try:
            yield training
        finally:
            self._running.discard(training)
            training.close()

    def _config(self, variant: Variant) -> Path:
        return self.folder / f'{variant.slug}.py'


def history(output: Path) -> Iterator[Seen]:
    """All that a start of a training said of where it is, from the file of what it printed."""
    seen = Seen()
    for line in output.read_text(errors='replace').splitlines():
        if (new := look(line, seen)) != seen:
            yield new
        seen = new


def _checkpoints(work_dir: Path) -> Iterator[Path]:
    return (path for path in work_dir.glob('*.pth*') if path.is_file())


def _sizes(work_dir: Path) -> dict[str, tuple[int, int]]:
    """Size and inode of each checkpoint but the best one."""
    found = {}
    try:
        with os.scandir(work_dir) as entries:
            for entry in entries:
                if '.pth' in entry.name and not entry.name.startswith('best_'):
                    state = entry.stat()
                    found[entry.name] = (state.st_size, state.st_ino)
    except FileNotFoundError:  # no work dir yet, or a file that went meanwhile
        pass
    return found


def _groups(mark: str) -> set[int]:
    """Process groups of a training."""
    wanted = f'{MARK}={mark}'.encode()
    found = set()
    for path in Path('/proc').glob('[0-9]*/environ'):
        try:
            if wanted in path.read_bytes().split(b'\0'):
                found.add(os.getpgid(int(path.parent.name)))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])
