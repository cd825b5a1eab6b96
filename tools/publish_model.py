"""Publish the student of a run: ``python tools/publish_model.py WORK_DIR --name NAME --config CONFIG --metric METRIC``.

Writes ``NAME-HASH.safetensors`` (weights and all that is needed to run them, for ``mtkd_rl.zoo``), ``NAME-HASH.pth``
(the same weights for plain OpenMMLab) and an entry of ``metafile.yml``. ``--page`` writes ``model_zoo.md`` from the
package's own metafile.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError

ROOT = Path(__file__).resolve().parent.parent


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Publish the student of a run.')
    parser.add_argument(
        'work_dir', nargs='?', type=Path, metavar='WORK_DIR', help='of a run that has saved a checkpoint'
    )
    parser.add_argument('--name', help='of the student')
    parser.add_argument('--config', help='that it was trained with, as a path in the checkout')
    parser.add_argument('--metric', nargs='+', help='scalars of the last validation, such as coco/bbox_mAP or mIoU')
    parser.add_argument('--data', help='what it was trained on')
    parser.add_argument('--licence', help='of the data')
    parser.add_argument(
        '--out', type=Path, default=Path('work_dirs/zoo'), help='folder of the zoo (default: %(default)s)'
    )
    parser.add_argument('--page', action='store_true', help='write model_zoo.md')
    return parser.parse_args(argv)


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    from mtkd_rl.zoo.page import page
    from mtkd_rl.zoo.publish import publish

    console = Console()
    if args.work_dir is not None:
        wanted = {name: getattr(args, name) for name in ('name', 'config', 'metric', 'data', 'licence')}
        missing = [f'--{name}' for name, value in wanted.items() if not value]
        if missing:
            raise MTKDError(f'publish: {", ".join(missing)} missing; others have to know what they get')
        done = publish(
            args.work_dir,
            args.out,
            name=args.name,
            config=args.config,
            data=args.data,
            licence=args.licence,
            metrics=args.metric,
        )
        for path in (done.safetensors, done.pth):
            console.print(f'{path}: {path.stat().st_size:,} bytes')
    elif not args.page:
        raise MTKDError('publish: give a WORK_DIR, or --page')
    if args.page:
        (ROOT / 'model_zoo.md').write_text(page())
        console.print('model_zoo.md')


if __name__ == '__main__':
    sys.exit(main())
