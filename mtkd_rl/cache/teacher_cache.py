"""The cache of a pool: a shelf for each teacher, on which lies what it said of every view."""

import hashlib
import json
import os
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from logging import WARNING
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.logging import print_log

from mtkd_rl.cache.store import HEAD, Store
from mtkd_rl.cache.views import VIEW
from mtkd_rl.errors import MTKDError, check_number, from_options
from mtkd_rl.losses.functional import pool
from mtkd_rl.teachers import Teacher
from mtkd_rl.types import Batch, Outputs

FORMAT = 2
"""Of what is on a shelf; another number finds none of the old ones."""

STRANGERS = 500
"""Rows that a run wrote and finds under another picture after which views are taken not to come again."""

UNITS = {'B': 1, 'kB': 10**3, 'MB': 10**6, 'GB': 10**9, 'TB': 10**12}


class Part(NamedTuple):
    """One tensor of a sample's outputs.

    Attributes:
        name: ``logits``, ``embedding`` or ``feature.<level>``.
        shape: Without the batch.
        dtype: What it is read as, such as ``float32``.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str


class Seen(NamedTuple):
    """What a batch is, for a cache.

    Attributes:
        indices: Of the samples.
        views: Which views of them.
        tags: Checksums of the pictures.
    """

    indices: list[int]
    views: list[int]
    tags: list[int]


class Shelf:
    """What one teacher said, in half precision, and the loss of every sample in single precision.

    Args:
        folder: Its folder.
        key: What decides what it says.
        samples: How many samples the data set has.

    Attributes:
        layout: What lies there; empty until somebody has said something.
        store: The file, once it is open.
        open: Whether it is used; a shelf that is closed stays closed.
        written: Of every row whether this run has written it.
    """

    def __init__(self, folder: Path, key: dict[str, Any], samples: int) -> None:
        self.folder, self.key, self.samples = folder, key, samples
        self.store: Store | None = None
        self.layout: list[Part] = []
        self.open = True
        self.hits = self.asked = self.strangers = 0
        self.written = np.zeros(0, dtype=bool)
        self.error: list[float] = []

    @property
    def size(self) -> int:
        """Bytes of a sample's outputs."""
        return 4 + 2 * sum(int(np.prod(part.shape)) for part in self.layout)

    def find_layout(self, outputs: Outputs | None) -> None:
        """Reads what lies there from ``key.json``; where nothing does, that of the first outputs will.

        Raises:
            MTKDError: It cannot be read or written, or is of something else.
        """
        described = self.folder / 'key.json'
        try:
            if outputs is not None and not described.is_file():
                self.folder.mkdir(parents=True, exist_ok=True)
                draft = self.folder / f'key.json.{os.getpid()}'
                draft.write_text(json.dumps({'key': self.key, 'layout': layout_of(outputs)}, indent=1))
                with suppress(FileExistsError):  # of two processes the first one decides
                    os.link(draft, described)
                draft.unlink()
            if described.is_file():
                saved = json.loads(described.read_text())
                if saved['key'] != json.loads(json.dumps(self.key)):
                    raise MTKDError(f'cache: {self.folder} is of something else; give another folder, or delete it')
                self.layout = [Part(name, tuple(shape), dtype) for name, shape, dtype in saved['layout']]
        except OSError as error:
            raise MTKDError(f'cache: {self.folder}: {error.strerror}; give another folder, or make room') from None
        except (ValueError, KeyError, TypeError):
            raise MTKDError(f'cache: {described} is damaged; delete {self.folder}') from None

    def rows(self, seen: Seen) -> list[int]:
        """View by view, so that fewer views need the beginning of the file alone."""
        return [view * self.samples + index for index, view in zip(seen.indices, seen.views)]


class TeacherCache:
    """Keeps what teachers say of the views of samples, so that a teacher is asked once about each.

    A row belongs to one teacher (weights, recipe, input), what of the student decides what it is asked, one way to load
    and augment, one precision and one picture with its annotations, of which it holds a checksum: what is of anything
    else is not found, and the teacher runs. The same folder serves any number of runs, one after another or at once on
    one machine.

    Args:
        folder: Where it lies.
        views: K, how many augmented views each sample has, at least 1.
        budget: The most that the pool may take, in bytes or as ``'20GB'``; where K views do not fit there are fewer.
        features: ``'whole'``, or ``'pooled'``: their means over positions, which the student's are then compared with;
            ``None`` for whole ones where a loss compares them, else pooled ones.
        seed: Of the views; runs with the same seed share them.

    Raises:
        MTKDError: An option is not one of these.
    """

    def __init__(
        self,
        folder: str = 'work_dirs/teacher_cache',
        views: int = 8,
        budget: int | str = '20GB',
        features: str | None = None,
        seed: int = 0,
    ) -> None:
        check_number('MTKDHook: cache', 'views', views, low=1, whole=True)
        if features not in (None, 'whole', 'pooled'):
            raise MTKDError(f"MTKDHook: cache: features is {features!r}; give 'whole', 'pooled' or None")
        self.folder = Path(folder)
        self.views = views
        self.budget = in_bytes(budget)
        self.features = features
        self.seed = seed
        self.paused = False
        """Whether nothing is read or kept for now; pooled features are pooled all the same."""
        self._shelves: dict[str, Shelf] = {}
        self._closed: set[str] = set()
        self._about: dict[str, Any] = {}
        self._samples = 0
        self._teachers: tuple[str, ...] = ()

    def about(self, samples: int, teachers: Sequence[str], comparing: bool, **told: Any) -> None:
        """Says what all teachers are asked about.

        Args:
            samples: How many samples the data set has.
            teachers: Their names.
            comparing: Whether a loss compares features at their positions.
            **told: What else decides what a teacher is given, as plain values.
        """
        self._samples, self._teachers = samples, tuple(teachers)
        self.features = self.features or ('whole' if comparing else 'pooled')
        self._about = {'format': FORMAT, 'seed': self.seed, 'features': self.features, 'samples': samples, **told}

    def showing(self) -> int | None:
        """How many views there are to be; ``None`` for one in every epoch, where no teacher's are kept any more."""
        return None if self.paused or self._closed.issuperset(self._teachers) else self.views

    def state_dict(self) -> dict[str, Any]:
        """What decides which views a run shows, in plain containers."""
        return {'views': self.views, 'closed': sorted(self._closed)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on with the views that the run showed: as many, and none of a teacher that had run live for good."""
        self.views = min(self.views, state['views'])
        self._closed = set(state['closed'])
        for name in state['closed']:
            print_log(f'mtkd_rl: cache: teacher {name} runs live, as it did before the resumption', 'current', WARNING)

    def read(self, teacher: Teacher, batch: Batch, asks: Callable[[Teacher], str]) -> Outputs | None:
        """What a teacher once said of a batch; ``None`` where it did not of all of it.

        Args:
            teacher: The teacher.
            batch: What it would be asked about.
            asks: Says what of the student decides what it is asked; called once a teacher.
        """
        if self.paused:
            return None
        shelf = self._shelf(teacher, batch, asks)
        seen = self._seen(teacher, shelf, batch)
        if seen is None:
            return None
        shelf.asked += len(seen.tags)
        if shelf.store is None:
            self._try_open(teacher, shelf, None)
        if shelf.store is None or max(seen.views) >= self.views:
            return None
        rows = shelf.rows(seen)
        contents, known, strangers = shelf.store.read(rows, seen.tags)
        # rows of another run may be of pictures that were read otherwise; what this run wrote has to come again
        shelf.strangers += int((strangers & shelf.written[rows]).sum())
        if shelf.strangers > STRANGERS and shelf.strangers > shelf.hits:
            self._shut(teacher, shelf, 'views of these transforms do not come again')
        if not known.all():
            return None
        shelf.hits += len(seen.tags)
        return unpacked(contents, shelf.layout, batch.inputs.device)

    def keep(self, teacher: Teacher, batch: Batch, outputs: Outputs) -> Outputs:
        """Stores what a teacher said and is not there yet, and returns it as it will be read.

        Outputs of another shape than the first ones (pictures of many sizes), or too large for half precision, are not
        stored and returned as they are. A disk that is full ends the storing, not the run.

        Args:
            teacher: As for ``read``.
            batch: Likewise.
            outputs: What it said.
        """
        if self.features == 'pooled':
            outputs = outputs._replace(feature=tuple(pool(level).to(level.dtype) for level in outputs.feature))
        if self.paused:
            return outputs
        shelf = self._shelves[teacher.name]  # which was looked at first
        seen = self._seen(teacher, shelf, batch)
        if seen is None:
            return outputs
        if shelf.store is None:
            self._try_open(teacher, shelf, outputs)
        if shelf.store is None or layout_of(outputs) != shelf.layout or max(seen.views) >= self.views:
            return outputs
        contents = packed(outputs)
        if contents is None:
            return outputs
        # what another run has said first stays: beside other samples a teacher says the same but for the last bit
        stored, known, _ = shelf.store.read(shelf.rows(seen), seen.tags)
        contents[known] = stored[known]
        rounded = unpacked(contents, shelf.layout, batch.inputs.device)
        if len(shelf.error) < 20:
            shelf.error.append(_distance(outputs, rounded))
        new = [i for i, there in enumerate(known) if not there]
        rows = shelf.rows(seen)
        try:
            shelf.store.write([rows[i] for i in new], [seen.tags[i] for i in new], contents[new])
            shelf.written[[rows[i] for i in new]] = True
        except MTKDError as error:
            self._shut(teacher, shelf, str(error))
        return rounded

    def lines(self) -> list[str]:
        """What came of it, a line a teacher."""
        told = []
        for name, shelf in self._shelves.items():
            share = 100 * shelf.hits / max(1, shelf.asked)
            error = f', stored with a relative error of {np.mean(shelf.error):.1e}' if shelf.error else ''
            told.append(f'cache: teacher {name}: {share:.0f}% of {shelf.asked} answers were read{error}')
        return told

    def told(self) -> dict[str, dict[str, float]]:
        """Teacher to the ``bytes`` of a row, 0 where none is kept, and the mean relative ``error`` of what is."""
        return {
            name: {
                'bytes': HEAD + shelf.size if shelf.layout and shelf.open else 0,
                'error': float(np.mean(shelf.error)) if shelf.error else 0.0,
            }
            for name, shelf in self._shelves.items()
        }

    def close(self) -> None:
        """Lets go of all files."""
        for shelf in self._shelves.values():
            if shelf.store is not None:
                shelf.store.close()
                shelf.store = None

    def _shelf(self, teacher: Teacher, batch: Batch, asks: Callable[[Teacher], str]) -> Shelf:
        if teacher.name not in self._shelves:
            device = batch.inputs.device.type
            precision = str(torch.get_autocast_dtype(device)) if torch.is_autocast_enabled(device) else 'float32'
            key = {
                **self._about,
                'teacher': teacher.sha256,
                'recipe': teacher.recipe,
                'input': str(teacher.contract),
                'layer': teacher.layer,
                'asked_by': asks(teacher),
                'precision': precision,
            }
            name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
            self._shelves[teacher.name] = shelf = Shelf(self.folder / name, key, self._samples)
            shelf.open = teacher.name not in self._closed
        return self._shelves[teacher.name]

    def _seen(self, teacher: Teacher, shelf: Shelf, batch: Batch) -> Seen | None:
        """What a batch is; ``None`` where that is not known, or the shelf is closed."""
        if not shelf.open:
            return None
        if batch.rois is not None:
            self._shut(teacher, shelf, "it is asked about the student's regions, which differ each time")
            return None
        told = [getattr(sample, 'metainfo', {}).get(VIEW) for sample in batch.samples]
        if any(each is None for each in told):
            self._shut(teacher, shelf, "the data samples are not in mmengine's form")
            return None
        indices, views, tags = (list(column) for column in zip(*told))
        # pictures are padded to the largest of their batch, and then another thing is said of them
        size = repr(tuple(batch.inputs.shape[1:])).encode()
        return Seen(indices, views, [zlib.crc32(size, tag) for tag in tags])

    def _shut(self, teacher: Teacher, shelf: Shelf, why: str) -> None:
        shelf.open = False
        self._closed.add(teacher.name)
        print_log(f'mtkd_rl: cache: teacher {teacher.name} runs live from here on: {why}', 'current', WARNING)

    def _try_open(self, teacher: Teacher, shelf: Shelf, outputs: Outputs | None) -> None:
        """Opens a shelf with as many views as the budget has room for, all shelves alike."""
        try:
            shelf.find_layout(outputs)
            if not shelf.layout:
                return
            known = [each for each in self._shelves.values() if each.layout and each.open]
            taken = sum((HEAD + each.size) * self._samples for each in known)
            fit = self.budget // max(1, taken)
            if fit < 1:
                raise MTKDError(
                    f'one view of all samples takes {taken / 1e6:.0f} MB, and the budget is {self.budget / 1e6:.0f} MB'
                    + ("; features='pooled' takes less" if self.features == 'whole' else '')
                )
            if fit < self.views:
                print_log(
                    f'mtkd_rl: cache: a view of all samples takes {taken / 1e6:.0f} MB: the budget of '
                    f'{self.budget / 1e6:.0f} MB has room for {fit} of {self.views}',
                    'current',
                    WARNING,
                )
                self.views = fit
            shelf.store = Store(shelf.folder, self.views * self._samples, shelf.size)
            if not len(shelf.written):
                shelf.written = np.zeros(self.views * self._samples, dtype=bool)
        except MTKDError as error:
            self._shut(teacher, shelf, str(error))


def layout_of(outputs: Outputs) -> list[Part]:
    """The parts of outputs, the loss apart."""
    named = {'logits': outputs.logits, 'embedding': outputs.embedding}
    named |= {f'feature.{i}': level for i, level in enumerate(outputs.feature)}
    return [Part(name, tuple(x.shape[1:]), str(x.dtype).removeprefix('torch.')) for name, x in named.items()]


def packed(outputs: Outputs) -> np.ndarray | None:
    """Outputs as bytes, uint8 ``(B, size)``: the loss, then all parts in half precision; ``None`` if they overflow."""
    parts = [outputs.logits, outputs.embedding, *outputs.feature]
    halves = torch.cat([part.detach().flatten(1).half() for part in parts], dim=1).cpu().numpy()
    if not np.isfinite(halves).all():
        return None
    loss = outputs.task_loss.detach().float().cpu().numpy()[:, None]
    return np.concatenate([loss.view(np.uint8), np.ascontiguousarray(halves).view(np.uint8)], axis=1)


def unpacked(contents: np.ndarray, layout: Sequence[Part], device: torch.device) -> Outputs:
    """Outputs from bytes, on a device."""
    whole = torch.from_numpy(np.ascontiguousarray(contents)).to(device, non_blocking=True)
    loss = whole[:, :4].contiguous().view(torch.float32)[:, 0]
    halves = whole[:, 4:].contiguous().view(torch.float16)
    sizes = [int(np.prod(part.shape)) for part in layout]
    tensors = [
        each.view(len(whole), *part.shape).to(getattr(torch, part.dtype))
        for each, part in zip(halves.split(sizes, dim=1), layout)
    ]
    return Outputs(tensors[0], tensors[1], tuple(tensors[2:]), loss)


def _distance(outputs: Outputs, rounded: Outputs) -> float:
    """Relative error of what is stored, of all parts together."""
    pairs = [(a.float(), b.float()) for a, b in zip(outputs.tensors(), rounded.tensors())]
    wrong = sum(float((a - b).square().sum()) for a, b in pairs)
    return (wrong / max(1e-30, sum(float(a.square().sum()) for a, _ in pairs))) ** 0.5


def in_bytes(budget: int | str) -> int:
    """A number of bytes, or one with a unit.

    Example:
        >>> in_bytes('1.5GB')
        1500000000
    """
    if isinstance(budget, int) and not isinstance(budget, bool) and budget > 0:
        return budget
    found = re.fullmatch(r'\s*([\d.]+)\s*([kMGT]?B)\s*', budget) if isinstance(budget, str) else None
    if found is None:
        raise MTKDError(f"MTKDHook: cache: budget is {budget!r}; give bytes, or a text such as '20GB'")
    return int(float(found[1]) * UNITS[found[2]])


def build_cache(options: Any) -> TeacherCache:
    """The cache of the hook's ``cache``.

    Raises:
        MTKDError: It is no dict, or has an option that there is not.
    """
    return from_options(TeacherCache, 'cache', options, ', or None for no cache')
