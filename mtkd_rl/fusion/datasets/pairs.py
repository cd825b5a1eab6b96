"""Pairs of infrared and visible pictures in folders."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mtkd_rl.errors import FEW, MTKDError
from mtkd_rl.fusion.datasets.layouts import SOURCES, SUFFIXES, find_folders, match
from mtkd_rl.fusion.transforms.loading import PairError
from mtkd_rl.registry import DATASETS


@DATASETS.register_module()
class PairDataset(BaseDataset):
    """Pairs in folders, of any layout in which public data sets come: MSRS, RoadScene, M3FD, LLVIP, FMB, TNO.

    Which folders those are says `layouts.find_folders`, which pictures are a pair `layouts.match`. What is left over is
    told in one line.

    In training, a pair that cannot be read is told once, by every process that meets it, and another is drawn in its
    place. In ``test_mode`` it is an error, since a score of other pairs is another score.

    Args:
        data_root: The folder of the data set.
        split: Such as ``train``, where the data set has a folder for each.
        data_prefix: In place of ``split``, ``infrared`` and ``visible``: the folders, relative to ``data_root``.
        split_file: Take only the pairs that it names, in its order: a text file, relative to ``data_root``, with one
            name a line, with or without ending.
        **kwargs: Those of mmengine's ``BaseDataset``: ``pipeline``, ``indices``, ``test_mode`` and so on.

    Raises:
        MTKDError: A folder is not there, is empty, or has no pairs; ``split_file`` is not there or names none of them.
        PairError: From an item in ``test_mode``, or when no pair of all can be read.
    """

    def __init__(
        self,
        data_root: str = '',
        split: str | None = None,
        data_prefix: Mapping[str, str] | None = None,
        split_file: str | None = None,
        **kwargs: Any,
    ) -> None:
        if data_prefix is not None and (split is not None or {*data_prefix} != {*SOURCES}):
            raise MTKDError(
                f'PairDataset: data_prefix={dict(data_prefix)!r}, split={split!r}; give data_prefix=dict(infrared=..., '
                'visible=...), or a split'
            )
        self.split = split
        self.split_file = split_file
        self._unreadable: set[int] = set()
        super().__init__(data_root=data_root, data_prefix=dict(data_prefix or {}), **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """``name``, ``infrared_path`` and ``visible_path`` of every pair, in the order of names."""
        root = Path(self.data_root).expanduser()
        if self.data_prefix:
            infrared, visible = (Path(self.data_prefix[source]).expanduser() for source in SOURCES)
        else:
            infrared, visible = find_folders(root, self.split)
        pairs, left = match(infrared, visible)
        if left:
            _warn(f'{root}: pictures that are in no pair are left out: {_listed([_short(path) for path in left])}')
        names = list(pairs) if self.split_file is None else _selected(root / self.split_file, pairs)
        return [
            {'name': name, 'infrared_path': str(pairs[name][0]), 'visible_path': str(pairs[name][1])} for name in names
        ]

    def prepare_data(self, idx: int) -> Any:
        """One pair after the pipeline; in training ``None`` for one that cannot be read, as mmengine has it."""
        if self.test_mode:
            return super().prepare_data(idx)
        if idx in self._unreadable:
            return None
        try:
            return super().prepare_data(idx)
        except PairError as error:
            self._unreadable.add(idx)
            if len(self._unreadable) == len(self):
                raise
            _warn(f'{error}; another pair is taken')
            return None


def _selected(file: Path, pairs: Mapping[str, Any]) -> list[str]:
    """The pairs that a file names."""
    if not file.is_file():
        raise MTKDError(f'split file {file}: there is no such file; correct split_file')
    lines = [line.strip() for line in file.read_text(encoding='utf-8').splitlines()]
    wanted = dict.fromkeys(_without_ending(line) for line in lines if line)
    missing = [name for name in wanted if name not in pairs]
    if len(missing) == len(wanted):
        raise MTKDError(f'split file {file}: names no pair that is there; pairs are {_listed(list(pairs))}')
    if missing:
        _warn(f'split file {file}: names pairs that are not there: {_listed(missing)}')
    return [name for name in wanted if name in pairs]


def _without_ending(name: str) -> str:
    path = Path(name)
    return path.stem if path.suffix.lower() in SUFFIXES else path.name


def _short(path: Path) -> str:
    return f'{path.parent.name}/{path.name}'


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - FEW
    return ', '.join(names[:FEW]) + (f' and {more} more' if more > 0 else '')


def _warn(line: str) -> None:
    print_log(line, logger='current', level=logging.WARNING)
