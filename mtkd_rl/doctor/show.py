"""A report as tables for a terminal."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    worst = {finding.teacher: finding.level for finding in reversed(report.findings)}
    console.print()
    console.print(_knowledge(report, worst))
    console.print(_inputs(report))
    if any(teacher.layers for teacher in report.teachers):
        console.print(_layers(report))
    if report.costs:
        console.print(_costs(report))
    for finding in report.findings:
        console.print(_line(finding))
    console.print()


def _knowledge(report: Report, worst: dict[str, str]) -> Table:
    title = f'{report.metric} on {report.pictures} validation pictures, {report.classes} classes, {report.device}'
    table = _table(title, 'teacher', 'from', f'>{report.metric}', '>claimed', 'by', 'keys that do not fit', 'classes')
    for teacher in report.teachers:
        style = COLOURS[worst[teacher.name]]
        table.add_row(
            f'[{style}]{escape(teacher.name)}[/]',
            escape(_short(teacher.source) or '-'),
            f'[{style}]{_percent(teacher.metric)}[/]',
            _percent(teacher.claim),
            teacher.claimed_by or '-',
            _keys(teacher),
            f'{teacher.common} of {teacher.classes} by name' if teacher.classes else 'not named',
        )
    table.add_section()
    table.add_row('student', escape(report.student_weights), _percent(report.student), '-', '-', '', '')
    table.add_row('chance', 'always the most frequent class', _percent(report.chance), '', '', '', '')
    return table


def _inputs(report: Report) -> Table:
    table = _table(
        'what teachers are fed',
        'teacher',
        'mean',
        'std',
        'order',
        'size',
        "as the student's",
        'metric if fed otherwise',
    )
    for teacher in report.teachers:
        if teacher.contract:
            contract: Any = teacher.contract
            moves = [
                f'{escape(each.name)} {100 * (each.metric - (teacher.metric or 0)):+.1f}' for each in teacher.trials
            ]
            table.add_row(
                escape(teacher.name),
                _numbers(contract['mean']),
                _numbers(contract['std']),
                contract['channel_order'] or 'grey',
                ' x '.join(map(str, contract['size'])),
                'yes' if teacher.as_student else 'no',
                '\n'.join(moves) or '-',
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
    table = _table('expected of a training step', '', '>ms', '>of the student', '>memory, MiB', '>teachers, MiB')
    alone = report.costs[0].ms
    for cost in report.costs:
        ratio = f'{cost.ms / alone:.2f} x'
        table.add_row(cost.name, f'{cost.ms:.1f}', ratio, f'{cost.memory_mib:.1f}', f'{cost.weights_mib:.1f}')
    table.caption = 'memory: at its peak, above weights and optimizer; without the updates of an agent'
    return table


def _line(finding: Finding) -> Text:
    line = Text.assemble((f'{SIGNS[finding.level]} teacher {finding.teacher}: ', COLOURS[finding.level]), finding.text)
    line.no_wrap = False
    return line


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify='left', title_style='bold', caption_justify='left')
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
