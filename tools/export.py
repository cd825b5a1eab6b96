"""Write a fusion student as ONNX or TorchScript: ``python tools/export.py CONFIG CHECKPOINT -o student.onnx``.

The file is run and compared with the model before it is called done.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError

ALIKE = 1e-4
"""Difference of a pixel in [0, 1] above which a file is not what the model is."""


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Write a fusion student as ONNX or TorchScript.')
    parser.add_argument('config', metavar='CONFIG', help='of a FusionModel')
    parser.add_argument('checkpoint', metavar='CHECKPOINT', help='that training saved')
    parser.add_argument('-o', '--out', metavar='FILE', type=Path, required=True, help='ends in .onnx or .pt')
    return parser.parse_args(argv)


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> None:
    args = parse(argv)
    from mtkd_rl.fusion.export import export
    from mtkd_rl.fusion.inferencer import Inferencer

    model = Inferencer(tooling.load_config(args.config), args.checkpoint, 'cpu').model
    parity = export(model, args.out)
    sizes = ', '.join(f'{width}x{height}' for height, width in parity.sizes)
    if not parity.difference <= ALIKE:
        raise MTKDError(f'{args.out}: it differs from the model by {parity.difference:.1e} at {sizes}; do not use it')
    Console().print(f'{args.out}: the same as the model at {sizes}, but for {parity.difference:.1e}')


if __name__ == '__main__':
    sys.exit(main())
