"""What a training ended with, and where two ends differ."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtkd_rl.chaos.configs import Variant
from mtkd_rl.teachers.checkpoint import read_checkpoint

KEYS = ('state_dict', 'optimizer', 'param_schedulers', 'mtkd_rl')
"""What has to be equal in the last checkpoint."""


def result_of(work_dir: Path, variant: Variant) -> dict[str, Any]:
    """What a training ended with.

    Args:
        work_dir: Its work dir.
        variant: How it was trained.

    Returns:
        ``KEYS`` of the last checkpoint, and under ``best`` the name and the weights of the best one.

    Raises:
        MTKDError: A file is not there or damaged.
    """
    last = read_checkpoint(work_dir / variant.last)
    best = {path.name: read_checkpoint(path)['state_dict'] for path in work_dir.glob('best_*.pth')}
    return {**{key: last.get(key) for key in KEYS}, 'best': best}


def difference(a: Any, b: Any, where: str) -> str | None:
    """The first place where two trees of plain containers and tensors differ.

    Values are equal when their bits are: NaN equals NaN, and 0.0 is not -0.0.

    Args:
        a: One tree.
        b: The other.
        where: What the root is called.

    Returns:
        Dotted key and how the values differ; ``None`` if the trees are equal.
    """
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if lone := sorted(map(str, a.keys() ^ b.keys())):
            return f'{where}.{lone[0]}: only in one'
        pairs: Iterator[tuple[Any, Any, Any]] = ((key, a[key], b[key]) for key in a)
    elif isinstance(a, list | tuple) and isinstance(b, list | tuple):
        if len(a) != len(b):
            return f'{where}: {len(a)} entries against {len(b)}'
        pairs = ((i, x, y) for i, (x, y) in enumerate(zip(a, b)))
    else:
        return None if _same(a, b) else f'{where}: {_brief(a)} against {_brief(b)}'
    return next((found for key, x, y in pairs if (found := difference(x, y, f'{where}.{key}'))), None)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and a.shape == b.shape and torch.equal(_bytes(a), _bytes(b))
    return type(a) is type(b) and repr(a) == repr(b)


def _bytes(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().flatten().view(torch.uint8)


def _brief(value: Any) -> str:
    if isinstance(value, Tensor):
        return f'{value.dtype} {tuple(value.shape)} of sum {value.double().sum():.9g}'
    return repr(value)[:60]
