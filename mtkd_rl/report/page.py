"""The page: one HTML file that needs nothing else."""

import base64
import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from mtkd_rl.plot import COLOURS, plot_weights
from mtkd_rl.report.samples import Trust, config_of, saved_of

MOST = 8
"""Pictures of a teacher."""
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1080px; margin: 2em auto; padding: 0 1em }
h1 { font-size: 1.5em; margin-bottom: 0 } h2 { font-size: 1.15em; margin-top: 2em; border-bottom: 1px solid #ddd }
table { border-collapse: collapse } td, th { padding: .25em .8em .25em 0; text-align: left }
td, th { border-bottom: 1px solid #eee } pre, td { font-variant-numeric: tabular-nums; overflow-wrap: anywhere }
figure { display: inline-block; margin: 0 .8em .8em 0; text-align: center; font-size: .85em } img { max-width: 100% }
figure img { height: 96px; image-rendering: pixelated; border: 1px solid #ccc } .note { color: #666 }
"""


def write_report(work_dir: Path, path: Path, trusted: Trust | None) -> None:
    """Writes the report of a run.

    Args:
        work_dir: Of the run.
        path: The HTML file.
        trusted: On which samples whom was trusted; left out when not given.

    Raises:
        MTKDError: The work dir is not of a finished run with ``MTKDHook``.
    """
    cfg, saved = config_of(work_dir), saved_of(work_dir)
    classes = (saved['meta'].get('dataset_meta') or {}).get('classes')
    summary_file = work_dir / 'distillation.json'
    rows = scalars(work_dir)
    sections = [
        ('Result', result(work_dir, rows)),
        ('Curves', curves(rows)),
        ('Who taught how much', weights(work_dir, classes)),
        ('Who is trusted on what', '' if trusted is None else pictures(trusted)),
        ('The guard', guard(json.loads(summary_file.read_text())) if summary_file.is_file() else ''),
        ('Made with', manifest(cfg, saved)),
    ]
    body = ''.join(f'<h2>{title}</h2>\n{content}\n' for title, content in sections if content)
    folder = work_dir.resolve().name
    stem = Path(cfg.filename).stem
    title = html.escape(folder if folder == stem else f'{stem}, {folder}')
    head = f'<meta charset="utf-8"><title>{title}</title><link rel="icon" href="data:,"><style>{STYLE}</style>'
    told = f'<p class="note">{html.escape(cfg.model.type)}, {saved["meta"].get("time", "")}</p>'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        f'<!doctype html>\n<html lang="en"><head>{head}</head><body><h1>{title}</h1>{told}\n{body}</body></html>\n'
    )


def scalars(work_dir: Path) -> list[dict[str, Any]]:
    """All rows that the run has logged, in their order; of a resumed run those of all its parts."""
    files = sorted(work_dir.glob('*/vis_data/scalars.json'))
    return [json.loads(line) for file in files for line in file.read_text().splitlines() if line.strip()]


def metrics_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[tuple[float, float]]]:
    """Metrics of validations: name to step and value. A row of a validation has no learning rate and no weight."""
    found: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if 'lr' in row or any(key.startswith('mtkd/weight_') for key in row):
            continue
        for key, value in row.items():
            if key not in ('step', 'time', 'data_time', 'epoch', 'iter') and isinstance(value, int | float):
                found.setdefault(key, []).append((row['step'], value))
    return found


def result(work_dir: Path, rows: Sequence[Mapping[str, Any]]) -> str:
    """Metrics of the last validation, and the table of a comparison that the run is part of."""
    table_of = [[name, f'{values[-1][1]:.4g}'] for name, values in metrics_of(rows).items()]
    content = table(['metric', 'last validation'], table_of)
    for folder in work_dir.resolve().parents[:2]:
        compared = folder / 'summary.json'
        told = json.loads(compared.read_text()) if compared.is_file() else {}
        lines = told.get('rows') if isinstance(told, dict) else None
        if isinstance(lines, list) and 'metrics' in told:
            cells = [
                [
                    line['name'],
                    *(f'{line[metric]["mean"]:.4g} ± {line[metric]["sd"]:.2g}' for metric in told['metrics']),
                ]
                for line in lines
            ]
            content += f'<p>Beside the others of its comparison:</p>{table(["", *told["metrics"]], cells)}'
            break
    return content


def curves(rows: Sequence[Mapping[str, Any]]) -> str:
    """Losses and validation metrics over training."""
    losses: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        for key, value in row.items():
            if key.startswith('loss') and 'lr' in row:
                losses.setdefault(key, []).append((row['step'], value))
    panels = [each for each in (losses, metrics_of(rows)) if each]
    if not panels:
        return ''
    figure = Figure(figsize=(11, 3.6), layout='constrained', facecolor='white')
    for axes, lines, label in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, ('loss', 'validation')):
        for (name, values), colour in zip(lines.items(), COLOURS):
            axes.plot(*zip(*values), label=name, color=colour, marker='o' if len(values) < 3 else '')
        axes.set_xlabel('step')
        axes.set_title(label, loc='left')
        axes.spines[['top', 'right']].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    return drawn(figure)


def weights(work_dir: Path, classes: Sequence[str] | None) -> str:
    """Weights over training, and who leads on which class, of each kind of knowledge."""
    summary_file = work_dir / 'distillation.json'
    if not summary_file.is_file():
        return ''
    mean = json.loads(summary_file.read_text())['mean']
    content = ''
    with TemporaryDirectory() as folder:
        for kind in ('logit', 'feature'):
            if any(key.startswith(f'weight_{kind}/') for key in mean):
                file = Path(folder, f'{kind}.png')
                plot_weights(work_dir, file, kind, classes)
                content += embedded(file.read_bytes(), 'png', f'weights of the {kind} losses')
    return content


def pictures(trusted: Trust) -> str:
    """For each teacher the samples on which it has the largest weights."""
    content = f'<p class="note">Of {len(trusted.weights)} samples of the training set, {trusted.kind} weights.</p>'
    for m, name in enumerate(trusted.teachers):
        order = np.argsort(-trusted.weights[:, m])[:MOST]
        content += f'<p><b>{html.escape(name)}</b>, on average {trusted.weights[:, m].mean():.2f}</p>'
        for i in order:
            buffer = io.BytesIO()
            Image.fromarray(trusted.pictures[i]).save(buffer, 'PNG')
            label = html.escape(trusted.labels[i])
            shown = embedded(buffer.getvalue(), 'png', label or f'sample {i}')
            content += f'<figure>{shown}<br>{label} {trusted.weights[i, m]:.2f}</figure>'
    return content


def guard(summary: Mapping[str, Any]) -> str:
    """What the guard did."""
    left_out = [[name, str(count)] for name, count in summary.get('left_out', {}).items()]
    content = table(['teacher', 'batches that it was left out of'], left_out)
    told = summary.get('guard')
    return content + (f'<pre>{html.escape(json.dumps(told, indent=1))}</pre>' if told else '')


def manifest(cfg: Any, saved: Mapping[str, Any]) -> str:
    """Teachers with their hashes, versions, seed, and the whole config."""
    rows = [
        [each['name'], Path(each['source'].split()[-1]).name, each['sha256']] for each in saved['mtkd_rl']['teachers']
    ]
    meta = saved['meta']
    versions = [['mmengine', meta.get('mmengine_version')], ['seed', meta.get('seed')], ['epochs', meta.get('epoch')]]
    config = f'<details><summary>config</summary><pre>{html.escape(cfg.pretty_text)}</pre></details>'
    return table(['teacher', 'config', 'sha256'], rows) + table(['', ''], versions) + config


def table(heading: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; nothing without rows."""
    if not rows:
        return ''
    head = ''.join(f'<th>{html.escape(cell)}</th>' for cell in heading)
    body = ''.join(f'<tr>{"".join(f"<td>{html.escape(str(cell))}</td>" for cell in row)}</tr>' for row in rows)
    return f'<table><tr>{head}</tr>{body}</table>'


def drawn(figure: Figure) -> str:
    """A figure in the page itself."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='svg')
    return embedded(buffer.getvalue(), 'svg+xml', 'curves')


def embedded(content: bytes, kind: str, alternative: str) -> str:
    """A picture in the page itself."""
    data = base64.b64encode(content).decode()
    return f'<img alt="{html.escape(alternative)}" src="data:image/{kind};base64,{data}">'
