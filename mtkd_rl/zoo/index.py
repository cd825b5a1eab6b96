"""What a zoo holds: its ``metafile.yml``, in OpenMMLab's form."""

import builtins
import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import URLError
from urllib.parse import urljoin
from urllib.request import urlopen

import yaml

from mtkd_rl.errors import MTKDError, candidates

STUDENTS = Path(__file__).parent / 'students'
METAFILE = 'metafile.yml'
LARGEST = 2**32
"""Bytes of a download at which it is given up."""
PATIENCE = 30
"""Seconds without an answer."""


class Entry(NamedTuple):
    """A published student.

    Attributes:
        name: How it is asked for.
        task: ``classification``, ``detection``, ``segmentation`` or ``fusion``.
        file: Name of its safetensors file, in which its hash begins.
        sha256: Hash of that file, 64 digits.
        size: Of that file, in bytes.
        config: Path of the config that it was trained with, in a checkout.
        metrics: What it reached, by name.
        metadata: Everything else, as the metafile has it.
    """

    name: str
    task: str
    file: str
    sha256: str
    size: int
    config: str
    metrics: Mapping[str, float]
    metadata: Mapping[str, Any]


def list(source: str | Path | None = None) -> builtins.list[str]:  # as users expect to call it
    """Names of the students of a zoo.

    Args:
        source: A folder, or a base URL; the package's own when not given.

    Raises:
        MTKDError: There is no metafile, or it is none.
    """
    return [each.name for each in entries(source)]


def entry(name: str, source: str | Path | None = None) -> Entry:
    """What is known of a student.

    Args:
        name: One of ``list(source)``.
        source: As for ``list``.

    Raises:
        MTKDError: There is none of this name; the message names those that there are.
    """
    known = {each.name: each for each in entries(source)}
    if name not in known:
        raise MTKDError(f'zoo: there is no student {name!r}; did you mean: {candidates(name, known)}')
    return known[name]


def entries(source: str | Path | None = None) -> builtins.list[Entry]:
    """All students of a zoo, in the order of the metafile.

    Args:
        source: As for ``list``.

    Raises:
        MTKDError: There is no metafile, or it is none.
    """
    text = fetch(source, METAFILE).read_text()
    try:
        models = yaml.safe_load(text)['Models']
        return [read_entry(each) for each in models]
    except (yaml.YAMLError, KeyError, TypeError, ValueError, IndexError) as error:
        told = ' '.join(str(error).split())[:200]
        raise MTKDError(f'zoo: {source or STUDENTS}/{METAFILE} is no metafile of students ({told})') from None


def read_entry(model: Mapping[str, Any]) -> Entry:
    """An entry of a metafile's ``Models``; ``mtkd_rl.zoo.publish`` writes them."""
    result = model['Results'][0]
    metadata = dict(model['Metadata'])
    file = str(model['Weights'])
    if Path(file).name != file:
        raise ValueError(f'{file!r} is no file name')
    sha256 = str(metadata.pop('SHA256'))
    metrics = {str(key): float(value) for key, value in result['Metrics'].items()}
    size = int(metadata.pop('Bytes'))
    return Entry(str(model['Name']), str(result['Task']), file, sha256, size, str(model['Config']), metrics, metadata)


def fetch(source: str | Path | None, name: str) -> Path:
    """A file of a zoo, on this machine.

    Args:
        source: As for ``list``; what comes from a URL is kept below ``$XDG_CACHE_HOME/mtkd_rl`` (``~/.cache``).
        name: Of the file.

    Raises:
        MTKDError: It is not there.
    """
    if source is not None and '://' in str(source):
        return download(str(source), name)
    path = Path(STUDENTS if source is None else source).expanduser() / name
    if not path.is_file():
        raise MTKDError(f'zoo: there is no file {path}; give a folder or URL that tools/publish_model.py has made')
    return path


def download(base: str, name: str) -> Path:
    """A file below a URL; whole or not at all.

    Raises:
        MTKDError: It cannot be had.
    """
    url = urljoin(base.rstrip('/') + '/', name)
    if not url.startswith(('https://', 'http://', 'file://')):
        raise MTKDError(f'zoo: {base}: give a folder, or a URL that begins with https://, http:// or file://')
    caches = Path(os.environ.get('XDG_CACHE_HOME') or Path.home() / '.cache')
    folder = caches / 'mtkd_rl' / hashlib.sha256(base.encode()).hexdigest()[:16]
    path = folder / name
    if path.is_file() and name != METAFILE:  # which may have grown; the others have their hash in their name
        return path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with urlopen(url, timeout=PATIENCE) as answer:  # of the kinds above
            content = answer.read(LARGEST)
            length = answer.headers.get('Content-Length')
        if len(content) == LARGEST or (length is not None and len(content) != int(length)):
            raise MTKDError(f'zoo: {url} was cut short: {len(content)} bytes of {length or "too many"}; try again')
        draft = folder / f'{name}.{os.getpid()}'
        draft.write_bytes(content)
        draft.replace(path)
    except (OSError, URLError) as error:
        raise MTKDError(f'zoo: {url} cannot be had ({error}); is it there, and are you online?') from None
    return path
