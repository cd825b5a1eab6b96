"""Runs: a training that is killed and resumed to its end, against the same one left alone."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from mtkd_rl.chaos.compare import difference, result_of
from mtkd_rl.chaos.configs import SPAN, VARIANTS, Variant, make_config
from mtkd_rl.chaos.files import is_unfinished, number_saved, state_of_files
from mtkd_rl.chaos.kills import PHASES, Kill, Plan, draw_plans, phase_of
from mtkd_rl.chaos.progress import history
from mtkd_rl.chaos.training import Training
from mtkd_rl.errors import MTKDError


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
        work_dir = self.folder / f'reference_{variant.slug}'
        self._write_config(variant, work_dir)
        with self._start(work_dir, 0) as training:
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
        first = PHASES[(number + number // len(VARIANTS)) % len(PHASES)]  # every variant comes to every phase
        plans = draw_plans(random_, first, self.bests[variant])
        work_dir = self.folder / f'run_{number:03d}'
        kills: list[Kill] = []
        self._write_config(variant, work_dir)
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
            with self._start(work_dir, start) as training:
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
    def _start(self, work_dir: Path, start: int) -> Iterator[Training]:
        if self._closed:
            raise MTKDError('interrupted')
        training = Training(
            self.train,
            work_dir.with_name(f'{work_dir.name}.py'),
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

    def _write_config(self, variant: Variant, work_dir: Path) -> None:
        cache = work_dir.with_name(f'{work_dir.name}_cache')  # of its own, so that it is killed while it fills
        make_config(variant, self.processes, str(cache)).dump(work_dir.with_name(f'{work_dir.name}.py'))
