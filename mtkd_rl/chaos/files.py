"""What a training's files say: which checkpoints are there, whole or not, and whether it was saving."""

import re
from collections.abc import Iterator
from pathlib import Path

from mtkd_rl.chaos.configs import SPAN
from mtkd_rl.chaos.progress import Seen
from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers.checkpoint import read_checkpoint


def is_unfinished(work_dir: Path, seen: Seen) -> bool:
    """Whether a training was saving when it was killed: ``last_checkpoint`` is written last.

    Args:
        work_dir: Its work dir.
        seen: What it had said last; it says when it begins to save.
    """
    pointer = work_dir / 'last_checkpoint'
    if not pointer.is_file():
        return seen.what == 'saving' or any(_checkpoints(work_dir))
    if seen.what == 'saving' and number_saved(work_dir) != seen.done:
        return True
    written = pointer.stat().st_mtime_ns
    return any(path.stat().st_mtime_ns > written for path in _checkpoints(work_dir))


def number_saved(work_dir: Path) -> int:
    """Iterations done at the checkpoint that ``last_checkpoint`` names; 0 if it names none."""
    pointer = work_dir / 'last_checkpoint'
    named = re.search(r'(epoch|iter)_(\d+)\.pth', pointer.read_text()) if pointer.is_file() else None
    return 0 if named is None else int(named[2]) * (SPAN if named[1] == 'epoch' else 1)


def state_of_files(work_dir: Path) -> str:
    """What a kill left: ``truncated`` if one of all checkpoints is, else ``whole`` if there is one to resume from.

    Args:
        work_dir: Of the training; temporary and hidden files count too.

    Returns:
        ``none``, ``whole`` or ``truncated``.
    """
    state = 'none'
    for path in _checkpoints(work_dir):
        try:
            read_checkpoint(path)
        except MTKDError:
            return 'truncated'
        state = state if path.name.startswith('best_') else 'whole'
    return state


def _checkpoints(work_dir: Path) -> Iterator[Path]:
    """What may be a checkpoint, whole or not; those that a resumption put aside were found before."""
    return (path for path in work_dir.glob('*.pth*') if path.is_file() and path.suffix != '.damaged')
