"""Measure what distillation and the agent cost: ``python tools/benchmark.py step CONFIG``."""

import json
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from mmengine.config import Config, DictAction
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mtkd_rl import tooling
from mtkd_rl.benchmark import Options, cycle, hook_entry, measure
from mtkd_rl.errors import MTKDError

NOTE = 'Pictures, labels and the weights of the teachers are made: the time does not depend on their values.'
MEANING = {
    'plain': 'the student alone',
    'teachers': "the teachers' forwards alone",
    'average': 'equal weights',
    'ppo': 'the PPO agent, its updates included',
}


def parse(argv: Sequence[str] | None) -> Namespace:
    cores = len(os.sched_getaffinity(0))
    parser = ArgumentParser(description='Measure what distillation and the agent cost.')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    step = commands.add_parser('step', help='time and memory of a training step', description=NOTE)
    step.add_argument('config', metavar='CONFIG', help='a path or package::path; it has an MTKDHook')
    step.add_argument('--json', type=Path, metavar='FILE', help='write the figures there too')
    step.add_argument('--rounds', type=tooling.positive, default=3, help='turns of each variant (default: %(default)s)')
    step.add_argument(
        '--threads', type=tooling.positive, default=max(1, cores - 1), help='of torch on the CPU (default: %(default)s)'
    )
    step.add_argument('--batch-size', type=tooling.positive, help="instead of the config's")
    step.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    return parser.parse_args(argv)


def claim(path: Path) -> None:
    """Check that a file can be written, before minutes of measuring.

    Raises:
        MTKDError: It cannot.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise MTKDError(f'--json {path}: cannot write there ({error.strerror}); name another file') from error


def configure(args: Namespace, folder: str) -> Config:
    cfg = tooling.load_config(args.config)
    common = Namespace(config=args.config, launcher='none', work_dir=folder, cfg_options=args.cfg_options)
    tooling.prepare(cfg, common)
    return cfg


def show(report: dict[str, Any], console: Console) -> None:
    title = f'batch of {report["batch_size"]}, {report["rounds"]} rounds of {report["iterations"]} iterations'
    table = Table('variant', '', 'ms an iteration', 'memory, MiB', title=f'{title}, {report["device"]}')
    for column in table.columns[2:]:
        column.justify = 'right'
    for name, said in report['variants'].items():
        table.add_row(name, MEANING[name], f'{said["ms"]:.1f}', f'{said["memory_mib"]:.1f}')
    console.print(table)
    ratios = Table('ratio', 'median', 'of the rounds', title='ratios')
    for name, value in report['ratios'].items():
        each = report['of_rounds'].get(name)
        ratios.add_row(name, f'{value:.3f}', f'{min(each):.3f} to {max(each):.3f}' if each else '')
    console.print(ratios)
    console.print(f'Memory: {report["memory"]}, above the built model. {NOTE}')


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    if args.json is not None:
        claim(args.json)
    with TemporaryDirectory() as folder, Progress(console=Console(stderr=True), transient=True) as progress:
        cfg = configure(args, folder)
        batch_size = args.batch_size or cfg.train_dataloader.batch_size
        options = Options(args.threads, batch_size, args.rounds, cycle(hook_entry(cfg), batch_size))
        bar = progress.add_task('', total=1.0)
        told: list[str] = []

        def tell(what: str, done: float) -> None:
            progress.update(bar, description=what, completed=done)
            if not progress.console.is_terminal and what not in told:  # a file gets lines instead of a bar
                told.append(what)
                progress.console.print(what)

        report = measure(cfg, Path(folder), options, tell)
    show(report, Console())
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    sys.exit(main())
