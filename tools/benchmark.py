"""Measure what distillation and the agent cost: ``python tools/benchmark.py step CONFIG``.

``step --pool paper`` is the pool of the paper and everything that makes it cheap beside what the published code does,
``gpu`` the same on a GPU, ``cache`` what the cache of teachers costs and saves, ``scale`` what follows for many GPUs,
and ``fusion`` how fast a fusion student is.
"""

import json
import os
import shutil
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config, DictAction
from mmengine.registry import MODELS, DefaultScope
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from mtkd_rl import tooling
from mtkd_rl.benchmark import POOL, STEP, Options, Plan, cycle, hook_entry, measure, measure_cache, without
from mtkd_rl.benchmark.scale import Job, scale
from mtkd_rl.errors import MTKDError

CONFIGS = Path(__file__).resolve().parent.parent / 'configs'
STUDENT = CONFIGS / 'roadscene/students/tiny_roadscene.py'
PAPER = CONFIGS / 'cifar100/mtkd_rl_shufflenetv2_cifar100.py'
OTHERS = ('regnety_400mf',)
"""Teachers of that config that were not in the trial of the published code whose 8.0 times a plain step is known."""
NOTE = 'Pictures, labels and the weights of the teachers are made: the time does not depend on their values.'
MEANING = {
    'plain': 'the student alone',
    'teachers': "the teachers' forwards alone",
    'naive': 'equal weights, as the published code asks its teachers',
    'average': 'equal weights',
    'live_compiled': 'equal weights, compiled teachers',
    'live_bf16': 'equal weights, teachers in bfloat16',
    'ppo': 'the PPO agent, its updates included',
    'cached': 'equal weights, teachers read from the cache',
    'ppo_cached': 'the PPO agent, teachers read from the cache',
}
WAYS = {
    'live': 'they run',
    'fill': 'they run, and the cache keeps it',
    'read': 'read, from memory',
    'cold': 'read, from the disk',
}


def parse(argv: Sequence[str] | None) -> Namespace:
    cores = len(os.sched_getaffinity(0))
    parser = ArgumentParser(description='Measure what distillation and the agent cost.')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    step = commands.add_parser('step', help='time and memory of a training step', description=NOTE)
    what = step.add_mutually_exclusive_group(required=True)
    what.add_argument('config', nargs='?', metavar='CONFIG', help='a path or package::path; it has an MTKDHook')
    what.add_argument('--pool', choices=('paper',), help="the paper's, also naive, cached, compiled and in bfloat16")
    step.set_defaults(run=run_step, needs_gpu=False)
    gpu = commands.add_parser('gpu', help='step --pool paper on a GPU', description=NOTE)
    gpu.set_defaults(run=run_step, config=None, needs_gpu=True)
    for command in (step, gpu):
        command.add_argument('--rounds', type=tooling.positive, default=3, help='default: %(default)s')
    cache = commands.add_parser('cache', help='time and room that the cache of teachers takes', description=NOTE)
    cache.add_argument('config', nargs='?', metavar='CONFIG', help="it has an MTKDHook; default: the paper's pool")
    cache.set_defaults(run=run_cache)
    for command in (step, gpu, cache):
        command.add_argument('--json', type=Path, metavar='FILE', help='write the figures there too')
        command.add_argument('--batch-size', type=tooling.positive, help="instead of the config's")
        command.add_argument(
            '--threads', type=tooling.positive, default=max(1, cores - 1), help='of torch (default: %(default)s)'
        )
        command.add_argument('--cfg-options', nargs='+', action=DictAction, default={}, metavar='KEY=VALUE')
    many = commands.add_parser('scale', help='what a training takes on many GPUs, from what step and cache measured')
    many.add_argument('config', metavar='CONFIG', help='that step and cache measured')
    many.add_argument('--step', type=Path, required=True, metavar='FILE', help='of step CONFIG --json')
    many.add_argument('--cache', type=Path, required=True, metavar='FILE', help='of cache CONFIG --json')
    many.add_argument('--samples', type=tooling.positive, required=True, help='of the training set')
    many.add_argument(
        '--rate', type=above_zero, required=True, help='pictures a second of the plain student on one GPU'
    )
    many.add_argument('--gpus', type=tooling.positive, nargs='+', default=[8, 64, 512], help='default: %(default)s')
    many.add_argument('--views', type=tooling.positive, default=8, help='of the cache (default: %(default)s)')
    many.add_argument(
        '--storage', type=above_zero, default=20.0, help='GB/s that all machines read (default: %(default)s)'
    )
    many.add_argument('--network', type=above_zero, default=25.0, help='GB/s of a machine (default: %(default)s)')
    many.add_argument('--json', type=Path, metavar='FILE', help='write the figures there too')
    many.set_defaults(run=run_scale)
    fusion = commands.add_parser('fusion', help='pairs a second that a fusion student fuses')
    fusion.add_argument('--config', default=str(STUDENT), help='of a FusionModel (default: that of RoadScene)')
    fusion.add_argument('--size', type=size, default=(480, 360), metavar='HxW', help='default: 480x360')
    fusion.add_argument('--json', type=Path, metavar='FILE', help='write the figures there too')
    fusion.add_argument('--rounds', type=tooling.positive, default=5, help='turns of a second (default: %(default)s)')
    fusion.add_argument('--threads', type=tooling.positive, default=cores, help='of torch (default: %(default)s)')
    fusion.set_defaults(run=run_fusion)
    return parser.parse_args(argv)


def size(text: str) -> tuple[int, int]:
    """``480x360`` as height and width.

    Raises:
        ArgumentTypeError: It is none.
    """
    height, _, width = text.lower().partition('x')
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise ArgumentTypeError(f'{text!r}: expected HEIGHTxWIDTH, such as 480x640')
    return int(height), int(width)


def above_zero(text: str) -> float:
    """A number.

    Raises:
        ArgumentTypeError: It is none, or not above 0.
    """
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < float('inf'):
        raise ArgumentTypeError(f'{text!r}: expected a number above 0')
    return number


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
    """The config that is named; where none is, the paper's pool."""
    path = args.config or str(PAPER)
    cfg = tooling.load_config(path)
    common = Namespace(config=path, launcher='none', work_dir=folder, cfg_options=args.cfg_options)
    tooling.prepare(cfg, common)
    if not args.config:
        for name in OTHERS:
            del hook_entry(cfg)['teachers'][name]
    return cfg


def plan_for(config: str | None) -> Plan:
    """What is measured; bfloat16 only where the processor computes in it, compiled only where there is a compiler."""
    if config:
        return STEP
    has_bf16 = torch.cuda.is_available() or torch.cpu._is_avx512_bf16_supported()
    plan = POOL if has_bf16 else without(POOL, 'live_bf16')
    return plan if shutil.which(os.environ.get('CXX', 'g++')) else without(plan, 'live_compiled')


def show(report: dict[str, Any], console: Console) -> None:
    title = f'batch of {report["batch_size"]}, {report["rounds"]} rounds of {report["iterations"]} iterations'
    table = Table('variant', '', 'ms', 'images a second', 'memory, MiB', title=f'{title}, {report["device"]}')
    for column in table.columns[2:]:
        column.justify = 'right'
    for name, said in report['variants'].items():
        table.add_row(name, MEANING[name], f'{said["ms"]:.1f}', f'{said["images"]:.0f}', f'{said["memory_mib"]:.1f}')
    console.print(table)
    ratios = Table('ratio', 'median', 'of the rounds', title='ratios')
    for name, value in report['ratios'].items():
        each = report['of_rounds'].get(name)
        ratios.add_row(name, f'{value:.3f}', f'{min(each):.3f} to {max(each):.3f}' if each else '')
    console.print(ratios)
    console.print(f'Memory: {report["memory"]}, above the built model. {NOTE}')


def run_step(args: Namespace) -> dict[str, Any]:
    if args.needs_gpu and not torch.cuda.is_available():
        raise MTKDError('gpu: torch sees no CUDA device here; `benchmark.py step --pool paper` measures on the CPU')
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

        report = measure(cfg, plan_for(args.config), Path(folder), options, tell)
    show(report, Console())
    return report


def run_cache(args: Namespace) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        cfg = configure(args, folder)
        options = Options(args.threads, args.batch_size or cfg.train_dataloader.batch_size, 1, 1)
        report = measure_cache(cfg, Path(folder, 'run'), options)
    table = Table('teachers', 'ms a batch', 'GB/s', title=f'batch of {report["batch_size"]}, {report["device"]}')
    for column in table.columns[1:]:
        column.justify = 'right'
    for name, ms in report['ms'].items():
        speed = report['gb_s'].get(name)
        table.add_row(WAYS[name], f'{ms:.2f}', f'{speed:.2f}' if speed else '')
    console = Console()
    console.print(table)
    each = ', '.join(
        f'{name} {said["bytes"]:,} (error {said["error"]:.1e})' for name, said in report['teachers'].items()
    )
    console.print(f'{report["bytes"]:,} bytes a view of a sample: {each}. {NOTE}')
    return report


def run_scale(args: Namespace) -> dict[str, Any]:
    cfg = tooling.load_config(args.config)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mtkd_rl')):
        parameters = sum(x.numel() for x in MODELS.build(cfg.model).parameters())
    epochs = cfg.train_cfg.get('max_epochs')
    if epochs is None:
        raise MTKDError(f'{args.config}: train_cfg has no max_epochs; give a config that counts epochs')
    batch = cfg.train_dataloader.batch_size
    job = Job(args.samples, epochs, args.views, batch, args.rate, args.storage, args.network, parameters)
    rows = scale(job, read_report(args.step, 'ppo'), read_report(args.cache, 'cold'), args.gpus)
    table = Table(
        'GPUs', 'plain, h', 'live, h', 'cached, h', 'cache, GB', 'reads, GB/s', 'storage', 'host', 'network', 'first',
        title=f'{args.samples:,} samples, {epochs} epochs, {args.views} views, {args.rate:g} pictures a second and GPU',
    )  # fmt: skip
    for row in rows:
        hours = (f'{row[name]:.1f}' for name in ('plain', 'live', 'cached'))
        shares = (f'{100 * row[name]:.0f}%' for name in ('storage', 'host', 'network'))
        table.add_row(
            str(row['gpus']), *hours, f'{row["cache_gb"]:.0f}', f'{row["read_gb_s"]:.1f}', *shares, row['first']
        )
    Console().print(table)
    return {'job': job._asdict(), 'rows': rows}


def read_report(path: Path, wanted: str) -> dict[str, Any]:
    """A report that this tool wrote.

    Raises:
        MTKDError: It cannot be read, or is of another command.
    """
    try:
        report = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise MTKDError(f'{path}: {" ".join(str(error).split())}; give what --json of step or cache wrote') from None
    if wanted not in {**report.get('variants', {}), **report.get('ms', {})}:
        raise MTKDError(f'{path}: it has no figure for {wanted!r}; --step is of step CONFIG, --cache of cache CONFIG')
    return report


def run_fusion(args: Namespace) -> dict[str, Any]:
    from mtkd_rl.benchmark.fusion import measure_fusion

    cfg = tooling.load_config(args.config)
    with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mtkd_rl')):
        model = MODELS.build(cfg.model)
    if not hasattr(model, 'network'):
        raise MTKDError(f'{args.config}: {type(model).__name__} fuses no pictures; give the config of a FusionModel')
    report = measure_fusion(model, args.size, args.threads, args.rounds)
    height, width = args.size
    each = f'{min(report["of_rounds"]):.1f} to {max(report["of_rounds"]):.1f}'
    Console().print(
        f'{report["fps"]:.1f} pairs of {width}x{height} a second ({each}), {report["parameters"]:,} parameters, '
        f'{report["gmacs"]:.3f} GMACs, {report["threads"]} threads, {report["device"]}'
    )
    return report


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    if args.json is not None:
        claim(args.json)
    report = args.run(args)
    if args.json is not None:
        args.json.write_text(json.dumps(report, indent=1) + '\n')


if __name__ == '__main__':
    sys.exit(main())
