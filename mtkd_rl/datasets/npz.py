"""Labelled pictures in one npz file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmpretrain.datasets import BaseDataset

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import DATASETS


def require_file(path: Path) -> None:
    """Refuse a path that is no file.

    Raises:
        MTKDError: With the ways to say where the data are.
    """
    if not path.is_file():
        raise MTKDError(
            f'{path}: there is no such file; set MTKD_DATA_ROOT to the folder that holds {path.parent.name}/, '
            f'or give --cfg-options train_dataloader.dataset.data_root=FOLDER (likewise val_ and test_dataloader)'
        )


def read_arrays(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read ``images`` and ``labels`` of an npz file, each decompressed once.

    Args:
        path: The file.

    Returns:
        Pictures, uint8 ``(N, H, W, D)`` in RGB order where D is 3, and labels, int64 ``(N,)``.

    Raises:
        MTKDError: If the file is not there, cannot be read, lacks one of the two arrays, or holds arrays of another
            shape, type or length.
    """
    require_file(path)
    try:
        with np.load(path) as archive:
            found = {name: archive[name] for name in ('images', 'labels') if name in archive}
    # Each decompressor has its own exceptions, and a file that is not an npz raises yet others.
    except Exception as error:
        raise MTKDError(
            f'{path}: truncated, or no npz file ({type(error).__name__}: {error}); copy it again'
        ) from error
    missing = {'images', 'labels'} - found.keys()
    if missing:
        raise MTKDError(f'{path}: has no array {" and ".join(sorted(missing))}; save it with images= and labels=')
    images, labels = found['images'], found['labels']
    if images.ndim != 4 or images.dtype != np.uint8:
        raise MTKDError(f'{path}: images are {images.dtype} {images.shape}; they must be uint8 (N, H, W, 3)')
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise MTKDError(f'{path}: labels are {labels.dtype} {labels.shape}; they must be int64 (N,)')
    if len(images) != len(labels):
        raise MTKDError(f'{path}: {len(images)} images but {len(labels)} labels; there must be one label an image')
    return images, labels.astype(np.int64)


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the names of the classes, one a line in the order of the labels.

    Raises:
        MTKDError: If the file is not there.
    """
    require_file(path)
    return tuple(line for line in path.read_text(encoding='utf-8').splitlines() if line)


@DATASETS.register_module()
class NpzClassification(BaseDataset):
    """Pictures and labels from one npz file, as ``img`` and ``gt_label``.

    The file holds ``images``, uint8 ``(N, H, W, 3)`` in RGB order, and ``labels``, int64 ``(N,)``. It is decompressed
    once and kept as one array outside of mmengine's list of samples: that list is pickled, and read back a copy at a
    time. Worker processes that are forked, as OpenMMLab's are, share the array. An item holds a copy of its own picture
    alone, so that a transform which writes into it leaves the data set as it is.

    Args:
        ann_file: The npz file, relative to ``data_root``.
        data_root: The folder.
        classes: The names themselves, or a text file with one name a line, relative to ``data_root``.
        rows: Only the pictures from this row of the file up to, not with, that one; ``None`` for all.
        only: Names of classes: only pictures of these; the labels stay what they are. ``None`` for all.
        **kwargs: Those of mmpretrain's ``BaseDataset``: ``pipeline``, ``indices``, ``lazy_init`` and so on.

    Raises:
        MTKDError: As :func:`read_arrays` and :func:`read_classes` do; if a label has no class, one of ``only`` is none,
            there are no such rows, or no picture is left.
    """

    def __init__(
        self,
        ann_file: str,
        data_root: str = '',
        classes: str | Sequence[str] | None = None,
        rows: tuple[int, int] | None = None,
        only: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        names = read_classes(Path(data_root).expanduser() / classes) if isinstance(classes, str) else classes
        unknown = [name for name in only or () if name not in (names or ())]
        if unknown:
            raise MTKDError(f'only={list(only or ())}: {unknown[0]!r} is no class; classes: {list(names or ())}')
        self.rows = rows
        self.only = None if only is None else {list(names or ()).index(name) for name in only}
        super().__init__(ann_file=ann_file, data_root=data_root, classes=names, **kwargs)

    def load_data_list(self) -> list[dict[str, int]]:
        """Keep the pictures, and list for every sample that is wanted its row among them and its label."""
        path = Path(self.ann_file).expanduser()
        self.images, labels = read_arrays(path)
        most = len(self.CLASSES) if self.CLASSES else None
        if len(labels) and (labels.min() < 0 or (most is not None and labels.max() >= most)):
            raise MTKDError(
                f'{path}: labels run from {labels.min()} to {labels.max()}; '
                f'they must start at 0 and stay below the number of classes ({most or "not given"})'
            )
        here = range(len(labels))
        if self.rows is not None:
            whole = isinstance(self.rows, list | tuple) and all(type(row) is int for row in self.rows)
            if not (whole and len(self.rows) == 2 and 0 <= self.rows[0] < self.rows[1] <= len(labels)):
                raise MTKDError(
                    f'{path}: rows={self.rows}; give (first, last + 1), of the {len(labels)} that there are'
                )
            here = here[slice(*self.rows)]
        found = [row for row in here if self.only is None or int(labels[row]) in self.only]
        if len(labels) and not found:
            raise MTKDError(f'{path}: no picture is left with rows={self.rows}, only={self.only}; it has {len(labels)}')
        return [{'row': row, 'gt_label': int(labels[row])} for row in found]

    def get_data_info(self, idx: int) -> dict[str, Any]:
        """One sample before the pipeline.

        Args:
            idx: Number of the sample.

        Returns:
            ``img``, uint8 ``(H, W, 3)``; ``gt_label``, int; ``sample_idx``, int.
        """
        info = super().get_data_info(idx)
        info['img'] = self.images[info.pop('row')].copy()
        return info
