"""Try what ships with a toolbox, plainly and with the hook: ``python tools/check_compat.py mmpretrain|mmdet|mmseg``."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from mtkd_rl import tooling
from mtkd_rl.compatibility.check import Verdict, Workers, add, check, read
from mtkd_rl.compatibility.report import page, versions_of
from mtkd_rl.compatibility.toolboxes import TOOLBOXES, families, family_of
from mtkd_rl.errors import MTKDError, candidates

ROOT = Path('work_dirs/compat')
PAGE = Path(__file__).resolve().parents[1] / 'docs' / 'compatibility.md'


def parse(argv: Sequence[str] | None) -> Namespace:
    parser = ArgumentParser(description='Try what ships with a toolbox, plainly and with the hook.')
    parser.add_argument('toolbox', choices=list(TOOLBOXES))
    which = parser.add_mutually_exclusive_group()
    which.add_argument('--family', metavar='NAME', help='this family alone (default: all of them)')
    which.add_argument('--config', metavar='PATH', help='a config: a path, or one below the configs of the toolbox')
    parser.add_argument('--jobs', type=tooling.positive, default=1, help='families at a time (default: %(default)s)')
    parser.add_argument('--again', action='store_true', help='also what has passed already')
    parser.add_argument(
        '--limit',
        type=tooling.positive,
        default=300,
        metavar='SECONDS',
        help='for each question (default: %(default)s)',
    )
    parser.add_argument('--write-docs', action='store_true', help='only write docs/compatibility.md of what was run')
    return parser.parse_args(argv)


def select(args: Namespace) -> dict[str, list[str]]:
    """The families to be tried, with their configs.

    Raises:
        MTKDError: There is no such family or config.
    """
    if args.config is not None:
        family, config = family_of(args.toolbox, args.config)
        return {family: [config]}
    found = families(args.toolbox)
    if args.family is None:
        return found
    if args.family not in found:
        raise MTKDError(f'{args.toolbox} has no family {args.family}; did you mean: {candidates(args.family, found)}')
    return {args.family: found[args.family]}


def passed_before(args: Namespace, wanted: dict[str, list[str]]) -> list[Verdict]:
    """The verdicts on what is wanted that need not be asked for again: it passed, on these same versions."""
    versions = versions_of(args.toolbox)
    found = [each for each in read(ROOT / f'{args.toolbox}.jsonl') if each.passed and each.versions == versions]
    if args.config is not None:
        return [each for each in found if [each.config] == wanted.get(each.family)][:1]
    return [each for each in found if each.chosen and each.family in wanted]


def line(verdict: Verdict) -> str:
    """A verdict for the terminal."""

    def mark(what: bool | None) -> str:
        return {True: '[green]yes[/]', False: '[bold red]no [/]', None: '-  '}[what]

    marks = f'plain {mark(verdict.plain)}  hooked {mark(verdict.hooked)}  checkpoint {mark(verdict.checkpoint)}'
    told = ', '.join(verdict.knowledge) if verdict.passed else verdict.reason.replace('[', '\\[')
    return f'  {verdict.family:<24} {marks}  {verdict.seconds:5.0f} s  {told}'


def run(args: Namespace, todo: dict[str, list[str]], progress: Progress) -> list[Verdict]:
    """Tries families, a few at a time; each verdict is recorded as it comes."""
    versions = versions_of(args.toolbox)
    workers = Workers(args.toolbox, min(args.jobs, len(todo)), ROOT / f'{args.toolbox}.log')

    def one(family: str) -> Verdict:
        with workers.pair() as pair:
            chosen = args.config is None
            arguments = dict(chosen=chosen, versions=versions, limit=args.limit)
            return check(pair, args.toolbox, family, todo[family], **arguments)

    bar = progress.add_task('', total=len(todo))
    verdicts = []
    with ThreadPoolExecutor(args.jobs) as executor:
        waiting = [executor.submit(one, family) for family in todo]
        try:
            for future in as_completed(waiting):
                verdicts.append(future.result())
                add(ROOT / f'{args.toolbox}.jsonl', verdicts[-1])
                progress.console.print(line(verdicts[-1]), soft_wrap=True, highlight=False)
                progress.advance(bar)
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            workers.close()
    return verdicts


@tooling.reports_errors
def main(argv: Sequence[str] | None = None) -> int:
    args = parse(argv)
    tooling.claim_work_dir(str(ROOT))
    console = Console()
    if args.write_docs:
        PAGE.write_text(page({name: read(ROOT / f'{name}.jsonl') for name in TOOLBOXES}), encoding='utf-8')
        console.print(f'written: {os.path.relpath(PAGE)}')
        return 0
    wanted = select(args)
    done = [] if args.again else passed_before(args, wanted)
    passed = {each.family for each in done}
    todo = {family: configs for family, configs in wanted.items() if family not in passed}
    if passed:
        console.print(f'{len(passed)} passed before; --again tries them anew')
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    verdicts = [*done]
    if todo:
        with Progress(*columns, console=console) as progress:
            verdicts += run(args, todo, progress)
    plain = sum(each.plain for each in verdicts)
    broken = sorted(each.family for each in verdicts if each.broken)
    console.print(
        f'{args.toolbox}: {plain} of {len(verdicts)} train plainly, {plain - len(broken)} of these with the hook'
    )
    if broken:
        console.print(f'[bold red]not with the hook:[/] {", ".join(broken)}; why: {ROOT / args.toolbox}.jsonl')
    return 1 if broken else 0


if __name__ == '__main__':
    sys.exit(main())
