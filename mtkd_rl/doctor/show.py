"""A report as tables for a terminal."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from mtkd_rl.doctor.report import Finding, Report, TeacherReport

COLOURS = {'red': 'bold red', 'yellow': 'yellow', 'green': 'green'}
SIGNS = {'red': '✗', 'yellow': '!', 'green': '✓'}


def show(report: Report, console: Console) -> None:
    """Print a report.

    Args:
        report: Complete.
        console: Where to.
    """
    console.print()
    console.print(_metrics(report))
    console.print(_origins(report))
    console.print(_inputs(report))
    if any(teacher.layers for teacher in report.teachers):
        console.print(_layers(report))
    if report.costs:
        console.print(_costs(report))
    console.print()
    for finding in report.findings:
        console.print(_line(finding))


def _metrics(report: Report) -> Table:
    worst = {finding.teacher: finding.level for finding in reversed(report.findings)}
    title = f'{report.metric} on {report.pictures} validation pictures of {report.classes} classes, %'
    table = _table(title, '', f'>{report.metric}', '>claimed', 'by')
    for teacher in report.teachers:
        style = COLOURS[worst[teacher.name]]
        name, metric = Text(teacher.name, style), Text(_percent(teacher.metric), style)
        table.add_row(name, metric, _percent(teacher.claim), escape(teacher.claimed_by))
    if report.together is not None:
        table.add_row('together', _percent(report.together), '', 'the mean of their probabilities')
    table.add_section()
    table.add_row('student', _percent(report.student), '', escape(f'as it begins: {report.student_weights}'))
    table.add_row('chance', _percent(report.chance), '', 'always the most frequent class')
    return table


def _origins(report: Report) -> Table:
    table = _table('checkpoints and classes', '', 'from', 'keys that do not fit', 'classes in common')
    for teacher in report.teachers:
        named = f'{teacher.common} of {teacher.classes} by name' if teacher.classes else 'not named'
        table.add_row(escape(teacher.name), escape(_short(teacher.source)), _keys(teacher), named)
    return table


def _inputs(report: Report) -> Table:
    tried = dict.fromkeys(trial.name for teacher in report.teachers for trial in teacher.trials)
    title = f'what teachers are fed, and how {report.metric} moves where they are fed otherwise'
    table = _table(title, '', 'mean', 'std', 'order', 'size', *(f'>{name}' for name in {"student's": 0, **tried}))
    for teacher in report.teachers:
        if teacher.contract:
            contract: Any = teacher.contract
            moves = {each.name: f'{100 * (each.metric - (teacher.metric or 0)):+.1f}' for each in teacher.trials}
            moves |= {"student's": 'same'} if teacher.as_student else {}
            table.add_row(
                escape(teacher.name),
                _numbers(contract['mean']),
                _numbers(contract['std']),
                contract['channel_order'] or '-',
                ' x '.join(map(str, contract['size'])),
                *(moves.get(name, '') for name in {"student's": 0, **tried}),
            )
    return table


def _layers(report: Report) -> Table:
    table = _table(
        'what features are compared', 'teacher', "student's layer", "teacher's layer", 'adapter', 'compared at'
    )
    for teacher in report.teachers:
        if teacher.layers is not None:
            layers = teacher.layers
            table.add_row(
                escape(teacher.name),
                f'{escape(layers.student)} {_shape(layers.student_shape)}',
                f'{escape(layers.teacher)} {_shape(layers.teacher_shape)}',
                layers.adapter,
                _shape(layers.compared),
            )
    return table


def _costs(report: Report) -> Table:
    title = f'what a training step costs on {report.device}'
    table = _table(title, '', '>ms', '>of the student', '>memory, MiB', '>teachers, MiB')
    alone = report.costs[0].ms
    for cost in report.costs:
        ratio = f'{cost.ms / alone:.2f} x'
        table.add_row(cost.name, f'{cost.ms:.1f}', ratio, f'{cost.memory_mib:.1f}', f'{cost.weights_mib:.1f}')
    table.caption = 'memory at its peak, above models and optimizer; without the updates of an agent'
    return table


def _line(finding: Finding) -> Text:
    start = f'{SIGNS[finding.level]} teacher {finding.teacher}: '
    return Text.assemble((start, COLOURS[finding.level]), finding.text)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify='left', title_style='bold', caption_justify='left', box=SIMPLE_HEAD)
    for column in columns:
        table.add_column(column.lstrip('>'), justify='right' if column.startswith('>') else 'left', overflow='fold')
    return table


def _keys(teacher: TeacherReport) -> str:
    counts = {'missing': teacher.missing, 'unexpected': teacher.unexpected, 'other shape': teacher.mismatched}
    return '\n'.join(f'{len(keys)} {what}: {escape(_few(keys))}' for what, keys in counts.items() if keys) or 'none'


def _short(source: str) -> str:
    """A source with its paths as one would write them here."""
    return ' '.join(os.path.relpath(word) if Path(word).is_absolute() else word for word in source.split())


def _few(keys: Sequence[str]) -> str:
    return ', '.join(keys[:2]) + (', ...' if len(keys) > 2 else '')


def _percent(share: float | None) -> str:
    return '-' if share is None else f'{100 * share:.1f}'


def _numbers(values: Sequence[float]) -> str:
    return ' '.join(f'{value:g}' for value in dict.fromkeys(values))


def _shape(shape: Sequence[int]) -> str:
    return ' x '.join(map(str, shape))
