"""The main job on handwritten digits: train a pool of teachers and a student of it, five ways, and compare.

``python tools/demo.py`` takes a few minutes on two cores and writes ``work_dirs/demo``.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError
from mtkd_rl.plot import plot_weights, read_scalars

ROOT = Path('work_dirs/demo')
TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / 'configs' / 'digits'
TEACHERS = ('strong', 'half', 'weak')
STUDENTS = {
    'alone': 'students/tiny_digits.py',
    'single': 'single_tiny_digits.py',
    'unguarded': 'unguarded_tiny_digits.py',
    'average': 'average_tiny_digits.py',
    'mtkd-rl': 'mtkd_rl_tiny_digits.py',
}
MEANING = {
    'alone': 'the student without a teacher',
    'single': 'distilled from the strong teacher',
    'unguarded': 'distilled from the pool, equal weights, no guard',
    'average': 'distilled from the pool, equal weights',
    'mtkd-rl': 'distilled from the pool, weighted by the PPO agent',
    'teacher:strong': 'has seen 1,000 pictures of all digits',
    'teacher:half': 'has seen the digits 0 to 4 only',
    'teacher:weak': 'has seen 60 pictures',
}


class Job(NamedTuple):
    """One call of tools/train.py: a row of the table, its config, work dir and seed."""

    row: str
    config: str
    work_dir: Path
    seed: int


def train(job: Job) -> float:
    """Runs tools/train.py in a process of its own on one core.

    Returns:
        Top-1 accuracy on the validation split after the last epoch, percent.

    Raises:
        MTKDError: The run failed; the message has the last line it said and where the rest is.
    """
    log = ROOT / 'logs' / f'{job.row.replace(":", "-")}-{job.seed}.log'
    command = [sys.executable, str(TOOLS / 'train.py'), str(CONFIGS / job.config)]
    command += ['--work-dir', str(job.work_dir), '--cfg-options', f'randomness.seed={job.seed}']
    with log.open('w') as file:
        done = subprocess.run(
            command,
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'},
        )
    if done.returncode != 0:
        last = (log.read_text().strip().splitlines() or ['it said nothing'])[-1]
        raise MTKDError(f'{" ".join(command)} failed: {last} (all of it: {log})')
    return float(read_scalars(job.work_dir, 'accuracy/top1')[-1]['accuracy/top1'])


def run(jobs: Sequence[Job], workers: int, progress: Progress) -> dict[str, list[float]]:
    """Runs all jobs, a few at a time.

    Returns:
        Row to the accuracies of its seeds, in their order.
    """
    accuracies: dict[Job, float] = {}
    bar = progress.add_task('', total=len(jobs))
    with ThreadPoolExecutor(workers) as executor:
        waiting = {executor.submit(train, job): job for job in jobs}
        try:
            for future in as_completed(waiting):
                job = waiting[future]
                accuracies[job] = future.result()
                progress.console.print(f'  {job.row:<15} seed {job.seed}   {accuracies[job]:6.2f} %')
                progress.advance(bar)
        finally:
            executor.shutdown(cancel_futures=True)
    return {job.row: [accuracies[other] for other in jobs if other.row == job.row] for job in jobs}


def summarise(accuracies: dict[str, list[float]]) -> list[dict[str, Any]]:
    """The rows of the table: mean and standard deviation over the seeds, percent."""
    return [
        {
            'name': name,
            'top1': round(statistics.mean(values), 2),
            'sd': round(statistics.stdev(values), 2) if len(values) > 1 else 0.0,
        }
        for name, values in accuracies.items()
    ]


def table(rows: Sequence[dict[str, Any]], seeds: int) -> Table:
    """The rows, for the terminal."""
    shown = Table(title='Top-1 accuracy on 797 digits, %', caption=f'students: mean and sd of {seeds} seeds')
    shown.add_column('')
    shown.add_column('top-1', justify='right')
    shown.add_column('sd', justify='right')
    shown.add_column('', style='dim')
    for row in rows:
        teacher = row['name'].startswith('teacher:')
        if row['name'] == f'teacher:{TEACHERS[0]}':
            shown.add_section()
        name = f'[bold]{row["name"]}[/]' if row['name'] == 'mtkd-rl' else row['name']
        shown.add_row(name, f'{row["top1"]:.2f}', '' if teacher else f'{row["sd"]:.2f}', MEANING[row['name']])
    return shown


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Distil a pool of teachers into a student on handwritten digits.')
    parser.add_argument('--seeds', type=tooling.positive, default=3, help='runs of each way (default: 3)')
    parser.add_argument('--workers', type=tooling.positive, default=max(1, os.cpu_count() or 1), help='runs at a time')
    return parser.parse_args(argv)


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    started = time.perf_counter()
    tooling.claim_work_dir(str(ROOT))
    (ROOT / 'logs').mkdir(exist_ok=True)
    console = Console()
    teachers = [
        Job(f'teacher:{name}', f'teachers/{name}_digits.py', Path(f'work_dirs/{name}_digits'), 0) for name in TEACHERS
    ]
    students = [
        Job(row, config, ROOT / row / f'seed_{seed}', seed)
        for seed in range(args.seeds)
        for row, config in STUDENTS.items()
    ]
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        console.print('[bold]Three teachers[/], unequal on purpose')
        pool = run(teachers, args.workers, progress)
        console.print(f'[bold]The same student, five ways[/], {args.seeds} seeds each')
        ways = run(students, args.workers, progress)
    rows = summarise({**{row: ways[row] for row in STUDENTS}, **pool})
    best = ROOT / 'mtkd-rl' / 'seed_0'
    plot = ROOT / 'weights.png'
    plot_weights(best, plot)
    summary = {
        'rows': rows,
        'student_config': os.path.relpath(CONFIGS / STUDENTS['mtkd-rl']),
        'student_checkpoint': str(next(best.glob('epoch_*.pth'))),
        'plot': str(plot),
        'seconds': round(time.perf_counter() - started, 1),
    }
    (ROOT / 'summary.json').write_text(json.dumps(summary, indent=1) + '\n')
    console.print(table(rows, args.seeds))
    console.print(f'who taught how much, and who leads on which digit: {plot}')
    console.print(f'all figures: {ROOT / "summary.json"}  ({summary["seconds"]:.0f} s)')


if __name__ == '__main__':
    sys.exit(main())
