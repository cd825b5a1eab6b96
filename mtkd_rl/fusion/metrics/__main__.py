"""``python -m mtkd_rl.fusion.metrics INFRARED VISIBLE [FUSED]`` prints every metric under every protocol."""

import math
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from mtkd_rl.fusion.metrics import NAMES, PROTOCOLS, score, trivial
from mtkd_rl.fusion.transforms.loading import read_pair, read_picture
from mtkd_rl.tooling import reports_errors


def parse(argv: Sequence[str] | None) -> Namespace:
    """The arguments of the command line."""
    parser = ArgumentParser(
        prog='python -m mtkd_rl.fusion.metrics',
        description='Score a fused picture, and the mean and maximum of the sources, under every protocol.',
    )
    parser.add_argument('infrared', metavar='INFRARED', help='a picture')
    parser.add_argument('visible', metavar='VISIBLE', help='a picture of the same size')
    parser.add_argument('fused', metavar='FUSED', nargs='?', help='a picture of the same size, from any method')
    return parser.parse_args(argv)


def table(title: str, fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> Table:
    """Every metric (rows) under every protocol (columns), with seven digits."""
    made = Table('metric', title=title)
    scores = []
    for name in PROTOCOLS:
        made.add_column(name, justify='right')
        scores.append(_scores(fused, infrared, visible, name))
    for metric in NAMES:
        made.add_row(metric, *(each.get(metric, '') for each in scores))
    return made


def _scores(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray, protocol: str) -> dict[str, str]:
    """The metrics of a protocol as text; it says so of one that the picture is too small for."""
    values = score(fused, infrared, visible, protocol, lenient=True)
    return {name: 'too small' if math.isnan(value) else f'{value:#.7g}' for name, value in values.items()}


@reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    """Prints a table for the fused picture, and one for each trivial one."""
    args = parse(argv)
    infrared, visible = read_pair(args.infrared, args.visible)
    pictures = {args.fused: read_picture(args.fused)} if args.fused else {}
    console = Console()
    for name, fused in {**pictures, **trivial(infrared, visible)}.items():
        console.print(table(name, fused, infrared, visible))


if __name__ == '__main__':
    sys.exit(main())
