"""Train several configs with several seeds, and compare what they reach.

``python tools/compare.py configs/bccd/students/tiny_atss_bccd.py configs/bccd/mtkd_rl_tiny_atss_bccd.py \
--metric coco/bbox_mAP --percent 100`` writes ``work_dirs/compare``. A run that is done is not made again.

``--strategies`` makes a row of each strategy instead, of a config with an ``MTKDHook``:
``python tools/compare.py CONFIG --strategies PPOWeighting "dict(type='DroppingWeighting', drop=0.3)"``; with
``NAME=STRATEGY`` the row is called so. What follows it, as in ``"NAME=STRATEGY logit_weight=3"``, are other options of
the row's hook.
"""

import ast
import json
import logging
import re
import statistics
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.logging import MMLogger
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError
from mtkd_rl.experiment import Job, Score, Summary, in_markdown, paired, run_all, short, summarise, test, told, train
from mtkd_rl.plot import plot_rows

WIDTH = 200
"""Columns of a table in a file."""

DAYS = 1e6
"""Seconds of runs from which the time left is told: runs take minutes."""

Rows = dict[str, dict[str, Summary]]
"""Row to metric to what it reached."""


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Train several configs with several seeds, and compare what they reach.')
    parser.add_argument('configs', nargs='+', metavar='CONFIG', help='each is a row of the table')
    parser.add_argument(
        '--metric', required=True, nargs='+', help='scalars of the last validation, such as coco/bbox_mAP or mIoU'
    )
    parser.add_argument(
        '--strategies',
        nargs='+',
        default=(),
        metavar='STRATEGY',
        help='rows of a config with an MTKDHook: a type or dict(...), after ROW= to name the row; '
        'in the same word more options of the hook: "PPOWeighting logit_weight=3"',
    )
    parser.add_argument('--against', metavar='ROW', help='what the others are compared with (default: the first)')
    parser.add_argument('--percent', type=float, default=1.0, help='what they are multiplied by (default: 1)')
    parser.add_argument('--seeds', type=tooling.positive, default=3, help='runs of each config (default: 3)')
    parser.add_argument('--first-seed', type=int, default=0, help='default: 0')
    parser.add_argument('--workers', type=tooling.positive, default=1, help='runs at a time (default: 1)')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/compare'), help='default: work_dirs/compare')
    parser.add_argument('--again', action='store_true', help='train also what is done')
    parser.add_argument(
        '--test', nargs='+', default=(), metavar='CONFIG', help='also score each checkpoint on the test set of these'
    )
    parser.add_argument(
        '--cfg-options',
        nargs='+',
        default=(),
        metavar='KEY=VALUE',
        help='for all configs, unless a row says otherwise; custom_hooks.... only for those with an MTKDHook',
    )
    return parser.parse_args(argv)


def rows_of(configs: Sequence[str], strategies: Sequence[str]) -> dict[str, tuple[str, tuple[str, ...]]]:
    """The rows of a table: name to config, and what is changed of it.

    Raises:
        MTKDError: Two rows have one name; a strategy is neither a name nor a ``dict(...)``.
    """
    taught = [each for each in configs if strategies and tooling.hook_entries(tooling.load_config(each))]
    rows: dict[str, tuple[str, tuple[str, ...]]] = {}
    for config in configs:
        stem = Path(config).stem
        named: list[tuple[str, tuple[str, ...]]] = [(stem, ())]
        if config in taught:
            start = f'{stem} ' if len(taught) > 1 else ''
            named = [(f'{start}{name}', changes(config, each)) for name, each in map(called, strategies)]
        for name, options in named:
            if name in rows:
                raise MTKDError(
                    f'two rows are called {name}; rename a config, or give each strategy once, or a name: ROW=STRATEGY'
                )
            rows[name] = config, options
    return rows


def called(text: str) -> tuple[str, str]:
    """The name of a strategy's row, and the strategy: ``agent=PPOWeighting``, ``PPOWeighting`` or ``dict(...)``."""
    named = re.fullmatch(r'([\w-]+)=(.+)', text)
    return (named[1], named[2]) if named else (text.removeprefix('dict'), text)


def changes(config: str, strategy: str) -> tuple[str, ...]:
    """What sets the strategy of a config's ``MTKDHook``, and perhaps other options of it.

    Raises:
        MTKDError: The strategy is neither a name nor a ``dict(...)`` of plain values.
    """
    cfg = tooling.load_config(config)
    hook = f'custom_hooks.{cfg.custom_hooks.index(tooling.hook_entries(cfg)[0])}'
    others = re.search(r'(\s+[\w.]+=[^\s()]+)*\s*$', strategy)
    assert others is not None
    strategy = strategy[: others.start()]
    options = {'type': strategy} if strategy.isidentifier() else options_of(strategy)
    more = [f'{hook}.{option}' for option in others[0].split()]
    return (f'{hook}.strategy._delete_=True', *settings(f'{hook}.strategy', options), *more)


def fitting(config: str, options: Sequence[str]) -> list[str]:
    """Options for all configs without those for an ``MTKDHook`` that this one has not."""
    taught = any('custom_hooks' in option for option in options) and tooling.hook_entries(tooling.load_config(config))
    return [option for option in options if taught or not option.startswith('custom_hooks')]


def settings(place: str, options: Mapping[str, Any]) -> list[str]:
    """Options as ``KEY=VALUE``, those of a dict in a dict too."""
    told = []
    for name, value in options.items():
        told += settings(f'{place}.{name}', value) if isinstance(value, Mapping) else [f'{place}.{name}={value}']
    return told


def options_of(text: str) -> dict[str, Any]:
    """``dict(type='X', a=1)`` as a dict.

    Raises:
        MTKDError: It is none, of plain values.
    """

    def read(call: ast.expr) -> Any:
        if not isinstance(call, ast.Call):
            return ast.literal_eval(call)
        assert isinstance(call.func, ast.Name)
        assert call.func.id == 'dict'
        assert not call.args
        return {str(each.arg): read(each.value) for each in call.keywords}

    try:
        options = read(ast.parse(text, mode='eval').body)
        assert isinstance(options, dict)
        return options
    except (SyntaxError, ValueError, AssertionError):
        raise MTKDError(f"--strategies {text}: give the name of one, or dict(type='NAME', option=value)") from None


def slug(row: str, config: str) -> str:
    """A row's name for a folder, the same whatever else is compared with it."""
    stem = Path(config).stem
    name = row if row.startswith(stem) else f'{stem} {row}'
    return ''.join(each if each.isalnum() or each in '._-=' else '_' for each in name)


def table(rows: Rows, seconds: Mapping[str, float], against: str, title: str | None = None) -> Table:
    """The rows, for the terminal; of a single metric also what each seed reached, and how it differs."""
    (first, *more) = metrics = list(rows[against])
    shown = Table(title=title, caption=f'mean ± sd of {len(rows[against][first].values)} seeds')
    extra = [] if more else ['each', f'against {against}, 95%']
    for heading in ('', *map(short, metrics), *extra, 'seconds'):
        shown.add_column(heading, justify='left' if not heading else 'right')
    for name, reached in rows.items():
        cells = [f'{each.mean:.2f} ± {each.sd:.2f}' for each in reached.values()]
        if not more:
            cells.append(', '.join(f'{value:.2f}' for value in reached[first].values))
            cells.append('' if name == against else told(paired(reached[first], rows[against][first])))
        shown.add_row(name, *cells, f'{seconds[name]:.0f}')
    return shown


def in_numbers(
    rows: Rows, scores: Mapping[str, Sequence[Score]], against: str, options: Mapping[str, Sequence[str]]
) -> list[dict[str, Any]]:
    """The same for machines, with what was changed of each row's config; an interval of one seed is null."""

    def difference(name: str, metric: str) -> dict[str, Any]:
        found = paired(rows[name][metric], rows[against][metric])._asdict()
        return {key: None if value != value else value for key, value in found.items()}

    return [
        {
            'name': name,
            'options': list(options[name]),
            **{metric: each._asdict() for metric, each in reached.items()},
            'against': {'row': against, **{metric: difference(name, metric) for metric in reached}},
            'seconds': [score.seconds for score in scores[name]],
        }
        for name, reached in rows.items()
    ]


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    MMLogger.get_current_instance().setLevel(logging.WARNING)  # a line a config that is read
    tooling.claim_work_dir(str(args.work_dir))
    console = Console(width=None if sys.stdout.isatty() else WIDTH)
    seeds = range(args.first_seed, args.first_seed + args.seeds)
    rows = rows_of(args.configs, args.strategies)
    against = args.against or next(iter(rows))
    if against not in rows:
        raise MTKDError(f'--against {against}: there is no such row; rows: {", ".join(rows)}')
    folders = {slug(row, config) for row, (config, _) in rows.items()}
    if len(folders) < len(rows):
        raise MTKDError('two rows have names that are alike as folders; give each a name of its own: ROW=STRATEGY')
    complete = {row: (config, (*fitting(config, args.cfg_options), *own)) for row, (config, own) in rows.items()}
    jobs = [
        Job(row, config, args.work_dir / slug(row, config) / f'seed_{seed}', seed, options)
        for seed in seeds
        for row, (config, options) in complete.items()
    ]
    changed = {row: own for row, (_, own) in rows.items()}
    steps: dict[str | None, Callable[[Job], Score]] = {None: partial(train, metrics=args.metric, again=args.again)}
    steps |= {Path(config).stem: partial(test, config=config, metrics=args.metric) for config in args.test}
    if len(steps) <= len(args.test):
        raise MTKDError('--test: two configs have one name; rename one')
    summary: dict[str, Any] = {'metrics': args.metric, 'options': list(args.cfg_options)}
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    tables, pages = [], []
    for title, work in steps.items():
        with Progress(*columns, console=console, speed_estimate_period=DAYS) as progress:
            bar = progress.add_task(title or '', total=len(jobs))

            def tell(job: Job, score: Score, progress: Progress = progress, bar: TaskID = bar) -> None:
                values = '   '.join(f'{args.percent * score.values[metric]:6.2f}' for metric in args.metric)
                progress.console.print(f'  {job.row:<40} seed {job.seed}   {values}   {score.seconds:.0f} s')
                progress.advance(bar)

            scores = run_all(work, jobs, args.workers, tell)
        reached = {
            row: {metric: summarise(scores[row], metric, args.percent) for metric in args.metric} for row in rows
        }
        summary['rows' if title is None else title] = in_numbers(reached, scores, against, changed)
        seconds = {row: statistics.mean(score.seconds for score in scores[row]) for row in rows}
        tables.append(table(reached, seconds, against, title))
        pages.append(f'## {title or "validation"}\n\n{in_markdown(reached, against)}')
        if title is None:
            values = {row: each[args.metric[0]].values for row, each in reached.items()}
            plot_rows(values, short(args.metric[0]), args.work_dir / 'summary.png')
    (args.work_dir / 'summary.json').write_text(json.dumps(summary, indent=1) + '\n')
    (args.work_dir / 'summary.md').write_text('\n'.join(pages))
    for each in tables:
        console.print(each)
    console.print(f'all figures: {args.work_dir / "summary.json"}, summary.md and summary.png beside it')


if __name__ == '__main__':
    sys.exit(main())
