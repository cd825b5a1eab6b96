"""What a training says of itself: where it is, by the lines that it prints."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BAR = re.compile(r'(Epoch|Iter)\((train|val)\)\s+((?:\[\s*\d+(?:/\s*\d+)?\])+)')


class Seen(NamedTuple):
    """What a training has said last of where it is.

    Attributes:
        what: ``starting``, ``resumed``, ``training``, ``saving``, ``validation`` or ``best`` (saved).
        done: Iterations done, or in training the number of the current one.
        batch: Number of the last validation batch that was told; 0 outside of validation.
    """

    what: str = 'starting'
    done: int = 0
    batch: int = 0


def look(line: str, before: Seen) -> Seen:
    """What a line that a training prints says of where it is.

    Args:
        line: Any line of mmengine's log, or another.
        before: What was known before it.
    """
    if bar := BAR.search(line):
        counts = [[int(number) for number in part.split('/')] for part in re.findall(r'\[([^]]+)\]', bar[3])]
        if bar[2] == 'val':
            return Seen('validation', before.done, counts[-1][0])
        epochs = (counts[0][0] - 1) * counts[-1][1] if len(counts) > 1 else 0
        return Seen('training', epochs + counts[-1][0])
    if said := re.search(r'resumed epoch: \d+, iter: (\d+)', line):
        return Seen('resumed', int(said[1]))
    if 'Saving checkpoint at ' in line:
        return Seen('saving', before.done)
    if 'The best checkpoint with ' in line:
        return Seen('best', before.done)
    return before


def history(output: Path) -> Iterator[Seen]:
    """All that a start of a training said of where it is, from the file of what it printed."""
    seen = Seen()
    for line in output.read_text(errors='replace').splitlines():
        if (new := look(line, seen)) != seen:
            yield new
        seen = new
