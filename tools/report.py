"""Write a page about a run: ``python tools/report.py WORK_DIR`` makes ``WORK_DIR/report.html``.

It needs nothing else: curves, weights per teacher over time and per class, the pictures on which the agent trusts whom,
what the guard did, what the run was made with, and the table of the comparison that it is part of.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mtkd_rl import tooling


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Write a page about a run.')
    parser.add_argument('work_dir', type=Path, metavar='WORK_DIR', help='of a finished run with an MTKDHook')
    parser.add_argument('-o', '--out', type=Path, metavar='FILE', help='default: WORK_DIR/report.html')
    parser.add_argument('--samples', type=tooling.positive, default=256, help='that are shown to it (default: 256)')
    parser.add_argument('--no-samples', action='store_true', help='without pictures: teachers and data are not needed')
    return parser.parse_args(argv)


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    from mtkd_rl.report import trust, write_report

    out = args.out or args.work_dir / 'report.html'
    write_report(args.work_dir, out, None if args.no_samples else trust(args.work_dir, args.samples))
    Console().print(f'{out}: {out.stat().st_size / 1e6:.1f} MB', soft_wrap=True)


if __name__ == '__main__':
    sys.exit(main())
