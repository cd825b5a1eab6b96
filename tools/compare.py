"""Train several configs with several seeds, and compare what they reach.

``python tools/compare.py configs/bccd/students/tiny_atss_bccd.py configs/bccd/mtkd_rl_tiny_atss_bccd.py \
--metric coco/bbox_mAP --percent 100`` writes ``work_dirs/compare``. A run that is done is not made again.
"""

import json
import os
import statistics
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from mtkd_rl import tooling
from mtkd_rl.experiment import Job, Score, run_all, summarise, test, train

WIDTH = 200
"""Columns of a table in a file."""


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Train several configs with several seeds, and compare what they reach.')
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='each is a row of the table')
    parser.add_argument(
        '--metric', required=True, nargs='+', help='scalars of the last validation, such as coco/bbox_mAP or mIoU'
    )
    parser.add_argument('--percent', type=float, default=1.0, help='what they are multiplied by (default: 1)')
    parser.add_argument('--seeds', type=tooling.positive, default=3, help='runs of each config (default: 3)')
    parser.add_argument('--first-seed', type=int, default=0, help='default: 0')
    parser.add_argument('--workers', type=tooling.positive, default=max(1, os.cpu_count() or 1), help='runs at a time')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/compare'), help='default: work_dirs/compare')
    parser.add_argument('--again', action='store_true', help='train also what is done')
    parser.add_argument(
        '--test', nargs='+', default=(), metavar='CONFIG', help='also score each checkpoint on the test set of these'
    )
    parser.add_argument('--cfg-options', nargs='+', default=(), metavar='KEY=VALUE', help='for all configs')
    return parser.parse_args(argv)


def table(
    rows: Mapping[str, Sequence[Score]], metrics: Sequence[str], percent: float, seeds: int, title: str | None = None
) -> Table:
    """The rows, for the terminal; of a single metric also what each seed reached."""
    shown = Table(title=title, caption=f'mean ± sd of {seeds} seeds')
    for heading in (
        '',
        *(metric.rpartition('/')[2] for metric in metrics),
        *(['each'] if len(metrics) == 1 else []),
        'seconds',
    ):
        shown.add_column(heading, justify='left' if not heading else 'right')
    for name, scores in rows.items():
        told = [summarise(scores, metric, percent) for metric in metrics]
        cells = [f'{each.mean:.2f} ± {each.sd:.2f}' for each in told]
        if len(metrics) == 1:
            cells.append(', '.join(f'{value:.2f}' for value in told[0].values))
        shown.add_row(name, *cells, f'{statistics.mean(score.seconds for score in scores):.0f}')
    return shown


def in_numbers(rows: Mapping[str, Sequence[Score]], metrics: Sequence[str], percent: float) -> list[dict[str, Any]]:
    """The same for machines."""
    return [
        {
            'name': row,
            **{metric: summarise(seen, metric, percent)._asdict() for metric in metrics},
            'seconds': [score.seconds for score in seen],
        }
        for row, seen in rows.items()
    ]


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    tooling.claim_work_dir(str(args.work_dir))
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    rows = {Path(config).stem: config for config in args.configs}
    jobs = [
        Job(row, config, args.work_dir / row / f'seed_{seed}', seed, tuple(args.cfg_options))
        for seed in seeds
        for row, config in rows.items()
    ]
    steps: dict[str | None, Callable[[Job], Score]] = {None: partial(train, metrics=args.metric, again=args.again)}
    steps |= {Path(config).stem: partial(test, config=config, metrics=args.metric) for config in args.test}
    summary: dict[str, Any] = {'metrics': args.metric, 'options': list(args.cfg_options)}
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    tables = []
    for title, work in steps.items():
        with Progress(*columns, console=console) as progress:
            bar = progress.add_task(title or '', total=len(jobs))

            def tell(job: Job, score: Score, progress: Progress = progress, bar: TaskID = bar) -> None:
                values = '   '.join(f'{args.percent * score.values[metric]:6.2f}' for metric in args.metric)
                progress.console.print(f'  {job.row:<40} seed {job.seed}   {values}   {score.seconds:.0f} s')
                progress.advance(bar)

            scores = run_all(work, jobs, args.workers, tell)
        ordered = {row: scores[row] for row in rows}
        summary['rows' if title is None else title] = in_numbers(ordered, args.metric, args.percent)
        tables.append(table(ordered, args.metric, args.percent, args.seeds, title))
    (args.work_dir / 'summary.json').write_text(json.dumps(summary, indent=1) + '\n')
    for each in tables:
        console.print(each)
    console.print(f'all figures: {args.work_dir / "summary.json"}')


if __name__ == '__main__':
    sys.exit(main())
