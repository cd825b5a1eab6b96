"""The main job on handwritten digits: train a pool of teachers and a student of it, several ways, and compare.

``python tools/demo.py`` takes a few minutes on two cores and writes ``work_dirs/demo``. With ``detection`` or
``segmentation`` the digits are to be found in scenes, with ``fusion`` infrared and visible pictures of scenes are to be
fused, and ``work_dirs/demo-detection``, ``work_dirs/demo-segmentation`` or ``work_dirs/demo-fusion`` is written.
"""

import json
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

from mmengine.registry import DATASETS, DefaultScope
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mtkd_rl import tooling
from mtkd_rl.experiment import Job, Score, run_all, summarise, train
from mtkd_rl.fusion.inferencer import Inferencer
from mtkd_rl.fusion.metrics import score, to_ideal, trivial
from mtkd_rl.fusion.visualizer import sheet, side_by_side
from mtkd_rl.pictures import draw, look
from mtkd_rl.plot import plot_weights

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / 'configs'
WAYS = {
    'alone': 'the student without a teacher',
    'single': 'distilled from the strong teacher',
    'unguarded': 'distilled from the pool, equal weights, no guard',
    'average': 'distilled from the pool, equal weights',
    'mtkd-rl': 'distilled from the pool, weighted by the PPO agent',
}
"""The ways in which a student may be trained, and what they mean."""
TRIVIAL = {'mean': 'the mean of both sources', 'maximum': 'the maximum of both sources'}
SHOWN = 6
"""Scenes in the picture of what was found."""


class Demo(NamedTuple):
    """What is trained, and what is told of it.

    Attributes:
        root: Work dir of the students, the table and the pictures.
        folder: Where the configs are, below ``configs``.
        name: What the configs' names end in.
        ways: Keys of ``WAYS``, in the order of the table.
        seeds: Runs of each way.
        metrics: Their names in ``summary.json`` to those in the log; the first one is told while training.
        percent: What the logged metrics are multiplied by.
        title: Over the table.
        teachers: Name of each teacher to what it has seen, the first one that of ``single``.
        picture: Draws what the students make of a few pictures; ``None`` for no picture.
    """

    root: Path
    folder: str
    name: str
    ways: tuple[str, ...]
    seeds: int
    metrics: dict[str, str]
    percent: float
    title: str
    teachers: dict[str, str]
    picture: Callable[['Demo'], Path] | None = None

    def config(self, way: str) -> Path:
        """Config of the student trained in one of the ways."""
        kind = way.replace('-', '_')
        stem = f'students/tiny_{self.name}' if way == 'alone' else f'{kind}_tiny_{self.name}'
        return CONFIGS / self.folder / f'{stem}.py'

    def teacher(self, name: str) -> Path:
        """Config of a teacher."""
        return CONFIGS / self.folder / 'teachers' / f'{name}_{self.name}.py'


def found_in_scenes(demo: Demo) -> Path:
    """Draws what the student finds in a few scenes, taught and untaught, beside what is there."""
    path = demo.root / 'predictions.png'
    configs = {way: tooling.load_config(str(demo.config(way))) for way in ('alone', 'mtkd-rl')}
    seen = {way: look(cfg, str(checkpoint(demo, way)), SHOWN) for way, cfg in configs.items()}
    first = seen['alone']
    draw(path, first.pictures, {'truth': first.truth, **{way: each.found for way, each in seen.items()}}, first.classes)
    return path


def fused_of_scenes(demo: Demo) -> Path:
    """Draws pairs, what the student makes of them, taught and untaught, and what there is to see."""
    path = demo.root / 'fused.png'
    rows = []
    fusers = {
        way: Inferencer(tooling.load_config(str(demo.config(way))), str(checkpoint(demo, way)), 'cpu')
        for way in ('alone', 'mtkd-rl')
    }
    for pair in validation_pairs(demo)[:SHOWN]:
        infrared, visible = pair['infrared'], pair['visible']
        made = {way: fuser(infrared, visible) for way, fuser in fusers.items()}
        rows.append(side_by_side(infrared, visible, {**made, 'there is': pair['ideal']}, height=128))
    Image.fromarray(sheet(rows)).save(path)
    return path


SCENES = {
    'strong': 'has seen 1,000 scenes of all digits',
    'half': 'has seen the digits 0 to 4 only',
    'weak': 'has seen 40 scenes',
}
DEMOS = {
    'classification': Demo(
        root=Path('work_dirs/demo'),
        folder='digits',
        name='digits',
        ways=('alone', 'single', 'unguarded', 'average', 'mtkd-rl'),
        seeds=3,
        metrics={'top1': 'accuracy/top1'},
        percent=1,
        title='Top-1 accuracy on 797 digits, %',
        teachers={
            'strong': 'has seen 1,000 pictures of all digits',
            'half': 'has seen the digits 0 to 4 only',
            'weak': 'has seen 60 pictures',
        },
    ),
    'detection': Demo(
        root=Path('work_dirs/demo-detection'),
        folder='scenes/detection',
        name='detection_scenes',
        ways=('alone', 'single', 'average', 'mtkd-rl'),
        seeds=2,
        metrics={'mAP': 'coco/bbox_mAP'},
        percent=100,
        title='Mean average precision of boxes on 200 scenes, %',
        teachers=SCENES,
        picture=found_in_scenes,
    ),
    'segmentation': Demo(
        root=Path('work_dirs/demo-segmentation'),
        folder='scenes/segmentation',
        name='segmentation_scenes',
        ways=('alone', 'single', 'average', 'mtkd-rl'),
        seeds=2,
        metrics={'mIoU': 'mIoU'},
        percent=1,
        title='Mean intersection over union on 200 scenes, %',
        teachers=SCENES,
        picture=found_in_scenes,
    ),
    'fusion': Demo(
        root=Path('work_dirs/demo-fusion'),
        folder='scenes/fusion',
        name='fusion_scenes',
        ways=('alone', 'average', 'mtkd-rl'),
        seeds=2,
        metrics={
            **{f'ideal_{name.lower()}': f'ideal/{name}' for name in ('PSNR', 'SSIM')},
            **{name.lower(): f'mtkd/{name}' for name in ('PSNR', 'SSIM', 'VIF', 'Qabf', 'SCD')},
        },
        percent=1,
        title='Fused pictures of 60 scenes: against what there was to see, and against the sources (protocol mtkd)',
        teachers={
            'dense': 'was taught the mean of both, and their structure',
            'gradient': 'was taught the brightest of both, and all edges',
            'swin': 'was taught brightness, edges and structure',
        },
        picture=fused_of_scenes,
    ),
}


def run(demo: Demo, jobs: Sequence[Job], workers: int, progress: Progress) -> dict[str, list[Score]]:
    """Trains all, a few at a time, and tells of each that is done."""
    bar = progress.add_task('', total=len(jobs))

    def tell(job: Job, score: Score) -> None:
        name, logged = next(iter(demo.metrics.items()))
        progress.console.print(f'  {job.row:<16} seed {job.seed}   {name} {demo.percent * score.values[logged]:6.2f}')
        progress.advance(bar)

    work = partial(train, metrics=list(demo.metrics.values()), again=True)
    return run_all(work, jobs, workers, tell)


def rows_of(demo: Demo, scores: dict[str, list[Score]]) -> list[dict[str, Any]]:
    """The rows of the table: mean and standard deviation over the seeds, of several metrics a deviation each."""
    rows = []
    for row, seeds in scores.items():
        told = {name: summarise(seeds, logged, demo.percent) for name, logged in demo.metrics.items()}
        digits = 2 if len(told) == 1 else 4
        spread: Any = {name: round(each.sd, digits) for name, each in told.items()}
        if len(told) == 1:
            (spread,) = spread.values()
        rows.append({'name': row, **{name: round(each.mean, digits) for name, each in told.items()}, 'sd': spread})
    return rows


def table(demo: Demo, rows: Sequence[dict[str, Any]], seeds: int) -> Table:
    """The rows, for the terminal."""
    meaning = {**WAYS, **TRIVIAL, **{f'teacher:{name}': knows for name, knows in demo.teachers.items()}}
    several = len(demo.metrics) > 1  # a terminal has no room for all
    spread = 'mean (sd: summary.json)' if several else 'mean ± sd'
    shown = Table(title=demo.title, caption=f'students: {spread} of {seeds} seeds')
    shown.add_column('')
    for name in demo.metrics:
        shown.add_column(name, justify='right')
    if not several:
        shown.add_column('', style='dim')
    for row in rows:
        if row['name'] == f'teacher:{next(iter(demo.teachers))}':
            shown.add_section()
        name = row['name']
        spread = f' ± {row["sd"]:.2f}' if name in demo.ways and not several else ''
        cells = [f'{row[metric]:.2f}{spread}' for metric in demo.metrics]
        said = [] if several else [meaning[name]]
        shown.add_row(f'[bold]{name}[/]' if name == 'mtkd-rl' else name, *cells, *said)
    return shown


def checkpoint(demo: Demo, way: str) -> Path:
    """What the first seed of a way has written."""
    return next((demo.root / way / 'seed_0').glob('epoch_*.pth'))


def validation_pairs(demo: Demo) -> list[dict[str, Any]]:
    """The pairs of a fusion demo's validation set, as pictures."""
    cfg = tooling.load_config(str(demo.config('alone')))
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        data = DATASETS.build({**cfg.val_dataloader.dataset, 'pipeline': []})
    return [data[i] for i in range(len(data))]


def trivial_rows(demo: Demo) -> list[dict[str, Any]]:
    """The rows of the mean and the maximum of the sources, which need no method."""
    names = [logged.split('/')[1] for logged in demo.metrics.values() if logged.startswith('mtkd/')]
    scored: dict[str, list[dict[str, float]]] = {}
    for pair in validation_pairs(demo):
        sources = pair['infrared'], pair['visible']
        for row, fused in trivial(*sources).items():
            seen = {f'mtkd/{name}': value for name, value in score(fused, *sources, metrics=names).items()}
            seen |= {f'ideal/{name}': value for name, value in to_ideal(fused, pair['ideal']).items()}
            scored.setdefault(row, []).append(seen)
    return [
        {'name': row, **{name: round(fmean(each[m] for each in seen), 4) for name, m in demo.metrics.items()}}
        for row, seen in scored.items()
    ]


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Distil a pool of teachers into a student on handwritten digits.')
    parser.add_argument('task', nargs='?', choices=DEMOS, default='classification', help='default: classification')
    parser.add_argument('--seeds', type=tooling.positive, help='runs of each way (default: 3, of scenes 2)')
    parser.add_argument('--workers', type=tooling.positive, default=max(1, os.cpu_count() or 1), help='runs at a time')
    return parser.parse_args(argv)


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    demo = DEMOS[args.task]
    seeds = args.seeds or demo.seeds
    started = time.perf_counter()
    tooling.claim_work_dir(str(demo.root))
    console = Console()
    teachers = [
        Job(f'teacher:{name}', str(demo.teacher(name)), Path('work_dirs', demo.teacher(name).stem), 0)
        for name in demo.teachers
    ]
    students = [
        Job(way, str(demo.config(way)), demo.root / way / f'seed_{seed}', seed)
        for seed in range(seeds)
        for way in demo.ways
    ]
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        console.print('[bold]Three teachers[/], unequal on purpose')
        pool = run(demo, teachers, args.workers, progress)
        ways = {3: 'three', 4: 'four', 5: 'five'}[len(demo.ways)]
        console.print(f'[bold]The same student, {ways} ways[/], {seeds} seeds each')
        taught = run(demo, students, args.workers, progress)
    rows = rows_of(demo, {**{way: taught[way] for way in demo.ways}, **pool})
    if args.task == 'fusion':
        rows += trivial_rows(demo)
    plot = demo.root / 'weights.png'
    plot_weights(demo.root / 'mtkd-rl' / 'seed_0', plot)
    summary: dict[str, Any] = {
        'rows': rows,
        'student_config': os.path.relpath(demo.config('mtkd-rl')),
        'student_checkpoint': str(checkpoint(demo, 'mtkd-rl')),
        'plot': str(plot),
    }
    if demo.picture is not None:
        summary['picture'] = str(demo.picture(demo))
    summary['seconds'] = round(time.perf_counter() - started, 1)
    (demo.root / 'summary.json').write_text(json.dumps(summary, indent=1) + '\n')
    console.print(table(demo, rows, seeds))
    console.print(f'who taught how much, and who leads on which digit: {plot}')
    if 'picture' in summary:
        console.print(f'what the student makes of some pictures: {summary["picture"]}')
    console.print(f'all figures: {demo.root / "summary.json"}  ({summary["seconds"]:.0f} s)')


if __name__ == '__main__':
    sys.exit(main())
