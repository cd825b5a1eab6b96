"""Where the pictures of a pair are: the layouts in which public infrared-visible data sets come."""

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from mtkd_rl.errors import MTKDError

SOURCES = ('infrared', 'visible')

FOLDERS: dict[str, tuple[str, ...]] = {
    'infrared': ('cropinfrared', 'infrared', 'ir', 'inf', 'thermal', 'lwir', 'test_ir'),
    'visible': ('crop_lr_visible', 'visible', 'vi', 'vis', 'rgb', 'test_vi'),
}
"""Names of folders in lower case, whatever their case on the disk; the first that is there is taken. The cropped ones
of RoadScene are aligned, and come before those that are not."""

SUFFIXES = frozenset({'.bmp', '.jpeg', '.jpg', '.pgm', '.png', '.ppm', '.tif', '.tiff', '.webp'})
"""In lower case; files with others, such as ``Thumbs.db``, are no pictures."""

_MARKS = {'ir': 'infrared', 'infrared': 'infrared', 'vi': 'visible', 'vis': 'visible', 'visible': 'visible'}
_MARK = '|'.join(sorted(_MARKS, key=len, reverse=True))
_MARKED = re.compile(
    rf'(?P<before>{_MARK})(?:[ _-]|(?=\d))(?P<rest>.+)|(?P<front>.+?)(?:[ _-]|(?<=\d))(?P<after>{_MARK})', re.IGNORECASE
)


class Pairing(NamedTuple):
    """What was found in two folders.

    Attributes:
        pairs: (infrared, visible) by the name of the pair, in the order of names.
        left: Pictures that are in no pair, without partner or with a name that another has too, in order.
    """

    pairs: dict[str, tuple[Path, Path]]
    left: list[Path]


def find_folders(root: Path, split: str | None) -> tuple[Path, Path]:
    """The folders of infrared and visible pictures below the root of a data set.

    With INFRARED any name of `FOLDERS`, and likewise VISIBLE, they are looked for in this order: with a split
    ``SPLIT/INFRARED`` (MSRS, FMB) and ``INFRARED/SPLIT`` (LLVIP); without one ``INFRARED`` (RoadScene, M3FD, TNO), and
    the root itself, for files that are marked by their names (TNO).

    Args:
        root: A folder.
        split: Such as ``train``; in any case.

    Returns:
        Infrared and visible; the same folder twice if it has to hold both.

    Raises:
        MTKDError: There are no such folders: what there is instead.
    """
    if not root.is_dir():
        raise MTKDError(f'{root}: there is no such folder; correct data_root')
    for infrared, visible in _places(root, split):
        if infrared and visible:
            return infrared, visible
    there = ', '.join(folder.name for folder in _folders(root)) or 'no folders'
    of = f' of the split {split!r}' if split else ''
    raise MTKDError(
        f'{root}: no folders of infrared and visible pictures{of} (it has {there}); correct data_root or split, or '
        'name them with data_prefix=dict(infrared=..., visible=...)'
    )


def _places(root: Path, split: str | None) -> Iterator[tuple[Path | None, Path | None]]:
    """Where the two folders may be, ``None`` for one that is not there."""
    names = FOLDERS['infrared'], FOLDERS['visible']
    if split is None:
        yield _named(root, names[0]), _named(root, names[1])
        if any(map(_is_picture, root.iterdir())):
            yield root, root
        return
    of_split = (split.lower(),)
    yield _named(_named(root, of_split), names[0]), _named(_named(root, of_split), names[1])
    yield _named(_named(root, names[0]), of_split), _named(_named(root, names[1]), of_split)


def _named(root: Path | None, names: Iterable[str]) -> Path | None:
    """The folder in ``root`` that has the first of the names which any has."""
    there = {folder.name.lower(): folder for folder in _folders(root)} if root else {}
    return next((there[name] for name in names if name in there), None)


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir())


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and not path.name.startswith('.') and path.is_file()


def pictures(folder: Path) -> list[Path]:
    """The pictures in a folder, by name; hidden files, folders and files of other kinds are passed over.

    Raises:
        MTKDError: There is no such folder, or no picture in it.
    """
    if not folder.is_dir():
        raise MTKDError(f'{folder}: there is no such folder; correct data_root or data_prefix')
    found = sorted(filter(_is_picture, folder.iterdir()))
    if not found:
        raise MTKDError(f'{folder}: there is no picture in it ({", ".join(sorted(SUFFIXES))}); put the data there')
    return found


def match(infrared: Path, visible: Path) -> Pairing:
    """Pairs the pictures of two folders by their names without endings.

    Where no names agree, and where both folders are one, names are read as marked: ``IR12`` and ``VIS12``, or ``12_ir``
    and ``12_vi``, are the pair ``12``.

    Args:
        infrared: A folder.
        visible: Another, or the same.

    Raises:
        MTKDError: A folder is not there or has no pictures, or no two of them are a pair.
    """
    if infrared == visible:
        there = pictures(infrared)
        sides = [[path for path in there if _source(path) == source] for source in SOURCES]
        pairs = _matched(sides, _base)
    else:
        sides = [pictures(infrared), pictures(visible)]
        there = [*sides[0], *sides[1]]
        pairs = _matched(sides, _stem) or _matched(sides, _base)
    if not pairs:
        folders = ' and '.join(dict.fromkeys(map(str, (infrared, visible))))
        few = ', '.join(path.name for path in (*there[:2], *there[-1:]))
        raise MTKDError(f'{folders}: no two pictures are named as a pair (there are {few}); name both alike')
    used = {path for pair in pairs.values() for path in pair}
    return Pairing(pairs, [path for path in there if path not in used])


def _matched(sides: list[list[Path]], name: Callable[[Path], str]) -> dict[str, tuple[Path, Path]]:
    """Pairs by name; of several files of one side with the same name the first."""
    infrared, visible = ({name(path): path for path in reversed(side)} for side in sides)
    return {each: (infrared[each], visible[each]) for each in sorted(infrared.keys() & visible.keys())}


def _stem(path: Path) -> str:
    return path.stem


def _base(path: Path) -> str:
    """The name without its mark."""
    found = _MARKED.fullmatch(path.stem)
    return (found['rest'] or found['front']) if found else path.stem


def _source(path: Path) -> str | None:
    """The source that the mark of a name says."""
    found = _MARKED.fullmatch(path.stem)
    return _MARKS[(found['before'] or found['after']).lower()] if found else None
