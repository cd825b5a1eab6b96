"""Fuse infrared and visible pictures: ``python tools/fuse.py IR VI -o OUT --config CONFIG --checkpoint FILE``.

``IR`` and ``VI`` are two files or two folders. Colours are kept; a grey visible picture gives a grey one.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import track

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Fuse infrared and visible pictures with a trained model.')
    parser.add_argument('infrared', metavar='IR', type=Path, help='a picture, or a folder of them')
    parser.add_argument('visible', metavar='VI', type=Path, help='likewise; pairs have the same names')
    parser.add_argument('-o', '--out', metavar='OUT', type=Path, required=True, help='a picture, or a folder for them')
    parser.add_argument('--config', required=True, help='of a FusionModel')
    parser.add_argument('--checkpoint', metavar='FILE', required=True, help='that training saved')
    parser.add_argument('--device', help='such as cpu or cuda:0 (default: a GPU where there is one)')
    return parser.parse_args(argv)


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    from mtkd_rl.fusion.inferencer import Inferencer, fuse_files, plan

    console = Console()
    jobs, left = plan(args.infrared, args.visible, args.out)
    if left:
        names = ', '.join(path.name for path in left[:8]) + (f' and {len(left) - 8} more' if len(left) > 8 else '')
        console.print(f'without a partner: {names}')
    inferencer = Inferencer(tooling.load_config(args.config), args.checkpoint, args.device)
    failed = []
    for _, error in track(fuse_files(inferencer, jobs), 'fusing', len(jobs), console=console):
        if error is not None:
            failed.append(error)
            console.print(f'[red]{error}[/]')
    console.print(f'{len(jobs) - len(failed)} of {len(jobs)} pairs fused: {args.out}')
    if failed and len(jobs) == 1:
        raise MTKDError(str(failed[0]))
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
