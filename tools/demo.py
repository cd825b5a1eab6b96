"""The main job on handwritten digits: train a pool of teachers and a student of it, several ways, and compare.

``python tools/demo.py`` takes a few minutes on two cores and writes ``work_dirs/demo``. With ``detection`` or
``segmentation`` the digits are to be found in scenes, and ``work_dirs/demo-detection`` or
``work_dirs/demo-segmentation`` is written.
"""

import json
import os
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mtkd_rl import tooling
from mtkd_rl.experiment import Job, Score, summarise, train_all
from mtkd_rl.pictures import draw, look
from mtkd_rl.plot import plot_weights

TOOLS = Path(__file__).resolve().parent
CONFIGS = TOOLS.parent / 'configs'
TEACHERS = ('strong', 'half', 'weak')
WAYS = {
    'alone': 'the student without a teacher',
    'single': 'distilled from the strong teacher',
    'unguarded': 'distilled from the pool, equal weights, no guard',
    'average': 'distilled from the pool, equal weights',
    'mtkd-rl': 'distilled from the pool, weighted by the PPO agent',
}
"""The ways in which a student may be trained, and what they mean."""
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
        logged: Name of the metric in the log.
        percent: What the logged metric is multiplied by.
        metric: Its name in ``summary.json``.
        heading: Its name over its column.
        title: Over the table.
        knows: What each teacher has seen.
    """

    root: Path
    folder: str
    name: str
    ways: tuple[str, ...]
    seeds: int
    logged: str
    percent: float
    metric: str
    heading: str
    title: str
    knows: tuple[str, str, str]

    def config(self, way: str) -> Path:
        """Config of the student trained in one of the ways."""
        kind = way.replace('-', '_')
        stem = f'students/tiny_{self.name}' if way == 'alone' else f'{kind}_tiny_{self.name}'
        return CONFIGS / self.folder / f'{stem}.py'

    def teacher(self, name: str) -> Path:
        """Config of a teacher."""
        return CONFIGS / self.folder / 'teachers' / f'{name}_{self.name}.py'


SCENES = ('has seen 1,000 scenes of all digits', 'has seen the digits 0 to 4 only', 'has seen 40 scenes')
DEMOS = {
    'classification': Demo(
        root=Path('work_dirs/demo'),
        folder='digits',
        name='digits',
        ways=tuple(WAYS),
        seeds=3,
        logged='accuracy/top1',
        percent=1,
        metric='top1',
        heading='top-1',
        title='Top-1 accuracy on 797 digits, %',
        knows=('has seen 1,000 pictures of all digits', 'has seen the digits 0 to 4 only', 'has seen 60 pictures'),
    ),
    'detection': Demo(
        root=Path('work_dirs/demo-detection'),
        folder='scenes/detection',
        name='detection_scenes',
        ways=('alone', 'single', 'average', 'mtkd-rl'),
        seeds=2,
        logged='coco/bbox_mAP',
        percent=100,
        metric='mAP',
        heading='mAP',
        title='Mean average precision of boxes on 200 scenes, %',
        knows=SCENES,
    ),
    'segmentation': Demo(
        root=Path('work_dirs/demo-segmentation'),
        folder='scenes/segmentation',
        name='segmentation_scenes',
        ways=('alone', 'single', 'average', 'mtkd-rl'),
        seeds=2,
        logged='mIoU',
        percent=1,
        metric='mIoU',
        heading='mIoU',
        title='Mean intersection over union on 200 scenes, %',
        knows=SCENES,
    ),
}


def run(demo: Demo, jobs: Sequence[Job], workers: int, progress: Progress) -> dict[str, list[Score]]:
    """Trains all, a few at a time, and tells of each that is done."""
    bar = progress.add_task('', total=len(jobs))

    def tell(job: Job, score: Score) -> None:
        progress.console.print(f'  {job.row:<15} seed {job.seed}   {demo.percent * score.value:6.2f} %')
        progress.advance(bar)

    return train_all(jobs, demo.logged, workers, tell, again=True)


def rows_of(demo: Demo, scores: dict[str, list[Score]]) -> list[dict[str, Any]]:
    """The rows of the table: mean and standard deviation over the seeds, percent."""
    return [{'name': row['name'], demo.metric: row['mean'], 'sd': row['sd']} for row in summarise(scores, demo.percent)]


def table(demo: Demo, rows: Sequence[dict[str, Any]], seeds: int) -> Table:
    """The rows, for the terminal."""
    meaning = {**WAYS, **{f'teacher:{name}': knows for name, knows in zip(TEACHERS, demo.knows)}}
    shown = Table(title=demo.title, caption=f'students: mean and sd of {seeds} seeds')
    shown.add_column('')
    shown.add_column(demo.heading, justify='right')
    shown.add_column('sd', justify='right')
    shown.add_column('', style='dim')
    for row in rows:
        teacher = row['name'].startswith('teacher:')
        if row['name'] == f'teacher:{TEACHERS[0]}':
            shown.add_section()
        name = f'[bold]{row["name"]}[/]' if row['name'] == 'mtkd-rl' else row['name']
        shown.add_row(name, f'{row[demo.metric]:.2f}', '' if teacher else f'{row["sd"]:.2f}', meaning[row['name']])
    return shown


def checkpoint(demo: Demo, way: str) -> Path:
    """What the first seed of a way has written."""
    return next((demo.root / way / 'seed_0').glob('epoch_*.pth'))


def picture(demo: Demo) -> Path:
    """Draws what the student finds in a few scenes, taught and untaught, beside what is there."""
    path = demo.root / 'predictions.png'
    configs = {way: tooling.load_config(str(demo.config(way))) for way in ('alone', 'mtkd-rl')}
    seen = {way: look(cfg, str(checkpoint(demo, way)), SHOWN) for way, cfg in configs.items()}
    first = seen['alone']
    draw(path, first.pictures, {'truth': first.truth, **{way: each.found for way, each in seen.items()}}, first.classes)
    return path


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
        for name in TEACHERS
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
        ways = {4: 'four', 5: 'five'}[len(demo.ways)]
        console.print(f'[bold]The same student, {ways} ways[/], {seeds} seeds each')
        taught = run(demo, students, args.workers, progress)
    rows = rows_of(demo, {**{way: taught[way] for way in demo.ways}, **pool})
    plot = demo.root / 'weights.png'
    plot_weights(demo.root / 'mtkd-rl' / 'seed_0', plot)
    summary: dict[str, Any] = {
        'rows': rows,
        'student_config': os.path.relpath(demo.config('mtkd-rl')),
        'student_checkpoint': str(checkpoint(demo, 'mtkd-rl')),
        'plot': str(plot),
    }
    if args.task != 'classification':
        summary['picture'] = str(picture(demo))
    summary['seconds'] = round(time.perf_counter() - started, 1)
    (demo.root / 'summary.json').write_text(json.dumps(summary, indent=1) + '\n')
    console.print(table(demo, rows, seeds))
    console.print(f'who taught how much, and who leads on which digit: {plot}')
    if 'picture' in summary:
        console.print(f'what the student finds, beside what is there: {summary["picture"]}')
    console.print(f'all figures: {demo.root / "summary.json"}  ({summary["seconds"]:.0f} s)')


if __name__ == '__main__':
    sys.exit(main())
