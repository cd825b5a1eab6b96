"""Examine the teachers of a config before training: ``python tools/doctor.py CONFIG``. Exit status 1 on a red line."""

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from mmengine.config import Config, DictAction
from rich.console import Console
from rich.progress import Progress

from mtkd_rl import tooling
from mtkd_rl.doctor import Options, Report, examine
from mtkd_rl.doctor.show import show


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Examine the teachers of a config before training.')
    parser.add_argument('config', metavar='CONFIG', help='a path or package::path; it has an MTKDHook')
    parser.add_argument(
        '--images', type=tooling.positive, default=512, metavar='N', help='validation pictures (default: %(default)s)'
    )
    parser.add_argument(
        '--steps',
        type=_whole,
        default=5,
        metavar='N',
        help='training steps to time with and without each teacher; 0 for none (default: %(default)s)',
    )
    parser.add_argument('--json', action='store_true', help='print one JSON object instead of tables')
    parser.add_argument('--trust', action='store_true', help="read the student's load_from even where it can run code")
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    try:
        return parser.parse_args(argv)
    except ValueError:  # DictAction met an item without '='
        parser.error('argument --cfg-options: expected KEY=VALUE items; CONFIG comes before them')


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def configure(args: Namespace, folder: str) -> Config:
    cfg = tooling.load_config(args.config)
    common = Namespace(config=args.config, launcher='none', work_dir=folder, cfg_options=args.cfg_options)
    tooling.prepare(cfg, common)
    tooling.check_data_roots(cfg, ['train_dataloader', 'val_dataloader'])
    cfg.log_level = 'WARNING'
    return cfg


def run(args: Namespace) -> Report:
    # what libraries print is not the report
    with (
        TemporaryDirectory() as folder,
        Progress(console=Console(stderr=True), transient=True, disable=not sys.stderr.isatty()) as progress,
        redirect_stdout(sys.stderr),
    ):
        bar = progress.add_task('', total=1.0)
        return examine(
            configure(args, folder),
            args.config,
            Options(args.images, args.steps, args.trust),
            Path(folder),
            lambda what, done: progress.update(bar, description=what, completed=done),
        )


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    report = run(args)
    if args.json:
        print(json.dumps(asdict(report)))
    else:
        show(report, Console())
    return 1 if report.red else 0


if __name__ == '__main__':
    sys.exit(main())
