"""``python -m mtkd_rl TOOL ...`` runs a tool that travels in the package, so that no checkout is needed."""

import runpy
import sys
from pathlib import Path

TOOLS = Path(__file__).parent / '.mim' / 'tools'


def main() -> None:
    """Run the tool named first on the command line with the rest of it."""
    names = sorted(path.stem for path in TOOLS.glob('*.py'))
    if len(sys.argv) < 2 or sys.argv[1] not in names:
        wanted = sys.argv[1:2]
        print(
            f'usage: python -m mtkd_rl {{{",".join(names)}}} [-h] ...',
            file=sys.stdout if wanted == ['-h'] else sys.stderr,
        )
        sys.exit(0 if wanted == ['-h'] else 2)
    tool = str(TOOLS / f'{sys.argv[1]}.py')
    sys.argv = [tool, *sys.argv[2:]]
    runpy.run_path(tool, run_name='__main__')


if __name__ == '__main__':
    main()
