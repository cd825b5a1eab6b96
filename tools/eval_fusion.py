"""Score folders of fused pictures, from any method: ``python tools/eval_fusion.py IR VI FUSED [FUSED ...]``.

The mean and the maximum of the sources are scored beside them, as methods that need no method.
"""

import json
import math
import sys
from argparse import ArgumentParser, Namespace
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.datasets.layouts import match, pictures
from mtkd_rl.fusion.metrics import LOWER_IS_BETTER, PROTOCOLS, means, score, trivial
from mtkd_rl.fusion.metrics.scoring import chosen, find_protocol
from mtkd_rl.fusion.transforms.loading import read_pair, read_picture
from mtkd_rl.fusion.visualizer import sheet, side_by_side

Scores = dict[str, dict[str, float]]
"""Row of the table to metric to value."""

Pair = tuple[str, Path, Path, Mapping[str, Path]]
"""Name, infrared, visible, and what each method fused of it."""

SHOWN = 4
"""Pairs of a sheet."""


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Score folders of fused pictures.')
    parser.add_argument('infrared', metavar='IR', type=Path, help='folder of infrared pictures')
    parser.add_argument('visible', metavar='VI', type=Path, help='of visible ones; pairs have the same names')
    parser.add_argument('fused', metavar='FUSED', type=Path, nargs='*', help='folders of fused pictures of these names')
    parser.add_argument('--protocol', default='mtkd', help=f'one of {", ".join(PROTOCOLS)} (default: mtkd)')
    parser.add_argument('--metrics', nargs='+', metavar='NAME', help='such as PSNR SSIM (default: all of the protocol)')
    parser.add_argument('--workers', type=tooling.positive, default=1, help='pictures at a time (default: 1)')
    parser.add_argument('--sheet', type=Path, metavar='FILE', help='also draw the first pairs beside what was fused')
    parser.add_argument('--json', type=Path, metavar='FILE', help='also write the means, and those of every picture')
    return parser.parse_args(argv)


def score_pair(job: Pair, protocol: str, metrics: Sequence[str]) -> tuple[str, Scores | str]:
    """Scores one pair under every method.

    Returns:
        Its name, and the scores; or what is wrong with one of its files.
    """
    name, infrared_path, visible_path, fused_paths = job
    try:
        infrared, visible = read_pair(infrared_path, visible_path)
        found = {**trivial(infrared, visible), **{method: read_picture(path) for method, path in fused_paths.items()}}
        return name, {
            row: score(fused, infrared, visible, protocol, metrics, lenient=True) for row, fused in found.items()
        }
    except MTKDError as error:
        return name, str(error)


def jobs_of(infrared: Path, visible: Path, methods: Mapping[str, Path]) -> Iterator[Pair]:
    """The pairs that every method has fused.

    Raises:
        MTKDError: A method lacks a pair: then its mean would be one of other pictures.
    """
    fused = {method: {path.stem: path for path in pictures(folder)} for method, folder in methods.items()}
    for name, pair in match(infrared, visible).pairs.items():
        for method, there in fused.items():
            if name not in there:
                raise MTKDError(f'{methods[method]}: there is no fused picture named {name}; fuse all pairs')
        yield name, *pair, {method: there[name] for method, there in fused.items()}


def draw(jobs: Sequence[Pair], path: Path) -> None:
    """Writes a sheet: a row for each pair, the sources and what every method fused."""
    rows = []
    for _, infrared, visible, fused in jobs:
        made = {method: read_picture(file) for method, file in fused.items()}
        rows.append(side_by_side(*read_pair(infrared, visible), made, height=160))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(sheet(rows)).save(path)


def table(rows: Scores, protocol: str, pairs: int) -> Table:
    """The means, the best of each column in bold."""
    shown = Table(title=f'means of {pairs} pairs, protocol {protocol}: {PROTOCOLS[protocol].source}')
    shown.add_column('')
    metrics = list(next(iter(rows.values())))
    best = {
        metric: (min if metric in LOWER_IS_BETTER else max)(row[metric] for row in rows.values()) for metric in metrics
    }
    for metric in metrics:
        shown.add_column(f'{protocol}/{metric}', justify='right')
    for name, row in rows.items():
        cells = [f'[bold]{row[m]:.4f}[/]' if row[m] == best[m] else f'{row[m]:.4f}' for m in metrics]
        shown.add_row(name, *cells)
    return shown


def in_numbers(rows: Scores) -> dict[str, dict[str, float | None]]:
    """The same for machines: JSON has no infinity, and nothing that is no number."""
    return {
        row: {metric: value if math.isfinite(value) else None for metric, value in values.items()}
        for row, values in rows.items()
    }


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    metrics = chosen(find_protocol(args.protocol), args.metrics)
    methods = {folder.name: folder for folder in args.fused}
    if len(methods) < len(args.fused):
        raise MTKDError('two folders of fused pictures have the same name, which names their rows; rename one')
    jobs = list(jobs_of(args.infrared, args.visible, methods))
    console = Console()
    one = partial(score_pair, protocol=args.protocol, metrics=metrics)
    each: dict[str, Scores] = {}
    failed = 0
    with ProcessPoolExecutor(args.workers) as executor:
        results = map(one, jobs) if args.workers == 1 else executor.map(one, jobs)
        for name, scores in track(results, 'scoring', len(jobs), console=console):
            if isinstance(scores, str):
                failed += 1
                console.print(f'[red]{name}: {scores}[/]')
            else:
                each[name] = scores
    if not each:
        raise MTKDError('no pair could be scored; the lines above say why')
    columns: dict[str, list[dict[str, float]]] = defaultdict(list)
    for scores in each.values():
        for row, values in scores.items():
            columns[row].append(values)
    rows: Scores = {}
    for row, column in columns.items():
        rows[row], left_out = means(column, metrics)
        for metric, count in left_out.items():
            console.print(
                f'[yellow]{row}: {count} of {len(column)} pairs have no finite {metric}, left out of its mean[/]'
            )
    console.print(table(rows, args.protocol, len(each)))
    if args.sheet:
        draw([job for job in jobs if job[0] in each][:SHOWN], args.sheet)
    if args.json:
        pairs = {name: in_numbers(scores) for name, scores in each.items()}
        told = {'protocol': args.protocol, 'means': in_numbers(rows), 'pairs': pairs}
        args.json.write_text(json.dumps(told, indent=1) + '\n')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
