"""Run a published student: ``python tools/predict.py NAME PICTURE``; for fusion an infrared and a visible one.

A classifier prints its classes; of the others the picture is written to ``-o``, by default ``work_dirs/predictions``.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Run a published student.')
    parser.add_argument(
        'name', metavar='NAME', help='of a student; python -c "import mtkd_rl.zoo as z; print(z.list())"'
    )
    parser.add_argument('pictures', metavar='PICTURE', nargs='+', type=Path, help='a file; for fusion two')
    parser.add_argument('--source', metavar='FOLDER_OR_URL', help='of a zoo (default: the package itself)')
    parser.add_argument('-o', '--out', type=Path, metavar='FILE', help='default: work_dirs/predictions/NAME.png')
    parser.add_argument('--device', default='cpu', help='default: %(default)s')
    return parser.parse_args(argv)


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    from mtkd_rl.zoo import load
    from mtkd_rl.zoo.predict import PREDICT

    missing = [path for path in args.pictures if not path.is_file()]
    if missing:
        raise MTKDError(f'{missing[0]}: there is no such file')
    student = load(args.name, args.source, args.device)
    out = args.out or Path('work_dirs/predictions') / f'{args.name}.png'
    Console().print(PREDICT[student.entry.task](student, args.pictures, out), soft_wrap=True, markup=False)


if __name__ == '__main__':
    sys.exit(main())
