"""Kill trainings with SIGKILL at random moments, resume them, and compare: ``python tools/chaos.py --runs 20``.

Each run is a small training of a student by three teachers and the agent on handwritten digits, a process of
``tools/train.py`` of its own. It is killed once to three times, in training, in saving, in validation or while it
starts, resumed with ``--resume``, and its last checkpoint compared bit by bit with that of the same training left
alone: weights, optimizer, schedulers and all of mtkd_rl's, random states included, and the best checkpoint's name and
weights. Runs take turns between loops over epochs and over iterations, with and without data workers and the cache of
teachers; only one checkpoint is kept.

The last line says how many were equal, as ``20/20``. The exit status is 1 unless all are and, from three runs on, a
kill fell into each phase.
"""

import os
import shutil
import sys
import tempfile
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mtkd_rl import tooling
from mtkd_rl.chaos import PHASES, VARIANTS, Chaos, Kill, Outcome
from mtkd_rl.errors import MTKDError

TRAIN = Path(__file__).resolve().parent / 'train.py'
FILES = ('none', 'whole', 'truncated')


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument('--runs', type=tooling.positive, default=20, help='trainings to kill (default: %(default)s)')
    parser.add_argument(
        '--processes', type=int, choices=(1, 2), default=1, help='of each training; 2 under torchrun with gloo'
    )
    parser.add_argument('--seed', type=int, default=0, help='of the moments (default: %(default)s)')
    parser.add_argument(
        '--work-dir',
        type=Path,
        metavar='DIR',
        help='a new folder to keep all files in (default: a temporary one, kept if a run fails)',
    )
    return parser.parse_args(argv)


def claim(wanted: Path | None) -> Path:
    """The folder for all files; a temporary one if nobody named one.

    Raises:
        MTKDError: The one that was named cannot be written to, or is not empty.
    """
    path = Path(tempfile.mkdtemp(prefix='mtkd_rl_chaos_')) if wanted is None else wanted.absolute()
    tooling.claim_work_dir(str(path))
    if any(path.iterdir()):
        raise MTKDError(f'--work-dir {path}: there are files in it; name a new folder')
    return path


def show_kills(kills: Sequence[Kill]) -> str:
    """A line a kill, for the table."""
    went_on = ['killed again before' if kill.resumed is None else f'from {kill.resumed}' for kill in kills]
    return '\n'.join(f'{kill.phase}, {kill.files}, {said}' for kill, said in zip(kills, went_on)) or 'none'


def table_of_runs(outcomes: Sequence[Outcome]) -> Table:
    table = Table('run', 'variant', 'killed in, files left, resumed', '', title='runs')
    for i, outcome in enumerate(outcomes):
        table.add_row(str(i), str(outcome.variant), show_kills(outcome.kills), outcome.fault or 'equal')
    return table


def table_of_phases(outcomes: Sequence[Outcome]) -> Table:
    hits = Counter((kill.phase, kill.files) for outcome in outcomes for kill in outcome.kills)
    table = Table('killed in', *FILES, 'kills', title='what the kills left')
    for phase in ('starting', *PHASES):
        counts = [hits[phase, files] for files in FILES]
        table.add_row(phase, *map(str, counts), str(sum(counts)))
    return table


def judge(outcomes: Sequence[Outcome]) -> list[str]:
    """What is wrong, a line each."""
    wrong = [f'run {i}: {outcome.fault}' for i, outcome in enumerate(outcomes) if outcome.fault]
    hit = {kill.phase for outcome in outcomes for kill in outcome.kills}
    missed = [phase for phase in PHASES if phase not in hit and len(outcomes) >= len(PHASES)]
    return wrong + [f'no kill fell into {phase}; give more --runs or another --seed' for phase in missed]


def run_all(chaos: Chaos, runs: int, workers: int, console: Console) -> list[Outcome]:
    """The trainings that are left alone, then the others, some at a time.

    Raises:
        MTKDError: One that is left alone failed.
    """
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress, ThreadPoolExecutor(workers) as executor:
        try:
            variants = VARIANTS[: min(runs, len(VARIANTS))]
            bar = progress.add_task('left alone', total=len(variants))
            for done in as_completed([executor.submit(chaos.refer, variant) for variant in variants]):
                done.result()
                progress.advance(bar)
            bar = progress.add_task('killed', total=runs)
            waiting = {executor.submit(chaos.run, i): i for i in range(runs)}
            outcomes: dict[int, Outcome] = {}
            for future in as_completed(waiting):
                i = waiting[future]
                outcome = outcomes[i] = future.result()
                kills = '; '.join(show_kills(outcome.kills).splitlines())
                console.print(f'run {i}: {kills}: {outcome.fault or "equal"}', soft_wrap=True, markup=False)
                progress.advance(bar)
        finally:
            chaos.close()
            executor.shutdown(cancel_futures=True)
    return [outcomes[i] for i in range(runs)]


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    started = time.perf_counter()
    console = Console()
    path = claim(args.work_dir)
    workers = max(1, min(2, len(os.sched_getaffinity(0)) // args.processes))
    outcomes = run_all(Chaos(TRAIN, path, args.processes, args.seed), args.runs, workers, console)
    console.print(table_of_runs(outcomes), table_of_phases(outcomes))
    console.print(f'{args.processes} processes a training, seed {args.seed}, {time.perf_counter() - started:.0f} s')
    wrong = judge(outcomes)
    for line in wrong:
        console.print(line, style='red', soft_wrap=True, markup=False, highlight=False)
    if wrong:
        console.print(f'all files: {path}', soft_wrap=True)
    elif args.work_dir is None:
        shutil.rmtree(path)
    print(f'{sum(not outcome.fault for outcome in outcomes)}/{len(outcomes)}', flush=True)
    return 1 if wrong else 0


if __name__ == '__main__':
    sys.exit(main())
