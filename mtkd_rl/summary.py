"""What is left of a run when it ends: ``distillation.json``, ``agent.pth``, and the last lines of the log."""

import json
from pathlib import Path
from typing import Any

from mtkd_rl.guard import Guard, in_short
from mtkd_rl.monitor import Monitor


def write_summary(work_dir: Path, monitor: Monitor, guard: Guard | None, strategy: Any) -> list[str]:
    """Writes the files of a run that ended.

    Args:
        work_dir: Where to.
        monitor: What was seen of the decisions.
        guard: What kept the student from harm; ``None`` where nothing did.
        strategy: Is asked for its agent if it has a ``save_agent``.

    Returns:
        The run in short, a line each; nothing where no iteration was distilled.
    """
    summary = monitor.summary()
    if not summary['mean']:
        return []
    kind = monitor.kinds[0]
    means = ', '.join(f'{name} {summary["mean"].get(f"weight_{kind}/{name}/mean", 0):.3f}' for name in monitor.teachers)
    file = work_dir / 'distillation.json'
    lines = [f'mean weights over the run: {means}; more in {file}']
    if guard is not None:
        findings = guard.read()
        summary['guard'] = findings._asdict()
        lines.append(in_short(findings, summary['left_out']))
    file.write_text(json.dumps(summary, indent=1) + '\n')
    if hasattr(strategy, 'save_agent'):
        strategy.save_agent(work_dir / 'agent.pth')
    return lines
