"""Pictures of a run: who taught how much over training, and who leads where."""

import json
from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from mtkd_rl.errors import MTKDError, candidates

COLOURS = ('#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#f0e442', '#000000')
"""Okabe and Ito 2008: told apart also by the colour-blind."""


def plot_weights(
    work_dir: Path | str, path: Path | str, kind: str = 'logit', classes: Sequence[str] | None = None
) -> None:
    """Draws the teachers' weights of a run of ``MTKDHook``.

    Left: each teacher's mean weight over training, with a band of one standard deviation over the samples. Right: on
    how large a share of each class's samples a teacher had the largest weight, lately.

    Args:
        work_dir: The run's work dir.
        path: The picture to write.
        kind: The kind of knowledge, ``logit`` or ``feature``.
        classes: Names of the classes; their numbers when not given.

    Raises:
        MTKDError: The work dir holds no such run.
    """
    work_dir, path = Path(work_dir), Path(path)
    summary_file = work_dir / 'distillation.json'
    if not summary_file.is_file():
        raise MTKDError(f'{work_dir}: there is no distillation.json; give the work dir of a finished run with MTKDHook')
    summary = json.loads(summary_file.read_text())
    rows = read_scalars(work_dir, f'mtkd/weight_{kind}/{summary["teachers"][0]}/mean')
    figure = Figure(figsize=(11, 4.2), layout='constrained', facecolor='white')
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    _draw_course(left, rows, summary['teachers'], kind)
    _draw_leads(right, np.array(summary['leads'] or [[0.0] * len(summary['teachers'])]), summary['teachers'], classes)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def plot_rows(rows: Mapping[str, Sequence[float]], label: str, path: Path | str) -> None:
    """Draws what each row of a comparison reached: a point a seed, the same colour for the same seed, and the mean.

    Args:
        rows: Name to one value a seed, in the same order of seeds.
        label: What the values are.
        path: The picture to write.
    """
    figure = Figure(figsize=(9, 1.2 + 0.45 * len(rows)), layout='constrained', facecolor='white')
    axes = figure.subplots()
    for y, values in enumerate(rows.values()):
        shifts = np.linspace(-0.18, 0.18, len(values)) if len(values) > 1 else [0.0]
        for shift, value, colour in zip(shifts, values, cycle(COLOURS)):
            axes.plot(value, y + shift, 'o', markersize=5, color=colour, alpha=0.8)
        axes.plot([np.mean(values)] * 2, [y - 0.32, y + 0.32], color='#333333', linewidth=2)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_xlabel(label)
    axes.grid(axis='x', color='#dddddd')
    axes.set_axisbelow(True)
    axes.spines[['top', 'right']].set_visible(False)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def read_scalars(work_dir: Path, key: str, run: str = '*') -> list[dict[str, Any]]:
    """The logged rows of a work dir's latest run that have a key, in the order of their steps.

    What was logged before a resumption belongs to it; what a later run logged anew takes the place of the earlier.

    Args:
        work_dir: Of the run.
        key: Name of a scalar.
        run: Name of the folder of one of its runs, in place of all.

    Raises:
        MTKDError: There is none.
    """
    rows: list[dict[str, Any]] = []
    known: set[str] = set()
    for file in sorted(Path(work_dir).glob(f'{run}/vis_data/scalars.json')):
        read = list(map(json.loads, file.read_text().splitlines()))
        known.update(*read)
        new = [row for row in read if key in row]
        if new:
            rows = [row for row in rows if row['step'] < new[0]['step']] + new
    if not rows:
        near = f' (there are: {candidates(key, sorted(known))})' if known else ''
        raise MTKDError(
            f'{work_dir}: no scalar {key} was logged there{near}; give the work dir of a run that logged it'
        )
    return rows


def _draw_course(axes: Axes, rows: list[dict[str, Any]], teachers: Sequence[str], kind: str) -> None:
    steps = np.array([row['step'] for row in rows])
    ends = []
    for colour, name in zip(cycle(COLOURS), teachers):
        mean = np.array([row[f'mtkd/weight_{kind}/{name}/mean'] for row in rows])
        std = np.array([row[f'mtkd/weight_{kind}/{name}/std'] for row in rows])
        axes.fill_between(steps, np.clip(mean - std, 0, 1), np.clip(mean + std, 0, 1), color=colour, alpha=0.13, lw=0)
        axes.plot(steps, mean, color=colour, lw=2, marker='o' if len(steps) == 1 else None)
        ends.append((mean[-5:].mean(), name, colour))
    for height, (_, name, colour) in zip(_apart([end[0] for end in sorted(ends)]), sorted(ends)):
        axes.annotate(
            name, (1.015, height), xycoords=('axes fraction', 'data'), color=colour, va='center', weight='bold'
        )
    axes.axhline(1 / len(teachers), color='0.6', lw=0.8, ls=':', zorder=0)
    axes.set(
        xlim=(0, steps[-1] + (len(steps) == 1)),
        ylim=(0, 1),
        xlabel='iteration',
        ylabel=f'weight of the {kind} loss',
        title='How much each teacher teaches: mean and spread over samples',
    )
    axes.spines[['top', 'right']].set_visible(False)


def _draw_leads(axes: Axes, leads: np.ndarray, teachers: Sequence[str], classes: Sequence[str] | None) -> None:
    axes.imshow(leads.T, cmap='Blues', vmin=0, vmax=1, aspect='auto')
    n_classes = len(leads)
    axes.set_yticks(range(len(teachers)), teachers)
    if n_classes <= 20:
        names = [str(name) for name in classes or range(n_classes)]
        crowded = sum(map(len, names)) > 36  # they would run into each other
        angle: dict[str, Any] = {'rotation': 45, 'ha': 'right', 'rotation_mode': 'anchor'} if crowded else {}
        axes.set_xticks(range(n_classes), names, **angle)
        for x in range(n_classes):
            for y in range(len(teachers)):
                dark = leads[x, y] > 0.6
                axes.text(
                    x, y, f'{100 * leads[x, y]:.0f}', ha='center', va='center', size=8, color='white' if dark else '0.2'
                )
    axes.set(xlabel='class', title='Who leads, % of samples')
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _apart(heights: Sequence[float], gap: float = 0.06) -> list[float]:
    """Sorted heights moved up just enough that labels do not overlap."""
    moved: list[float] = []
    for height in heights:
        moved.append(max(height, moved[-1] + gap) if moved else height)
    return moved
