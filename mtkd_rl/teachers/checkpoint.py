"""Reading a checkpoint as the untrusted input that it is, and loading it into a model, saying what differs."""

import hashlib
import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlparse

import torch
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers.safe import safely

STATE_DICT_KEYS = ('state_dict', 'model', 'model_state_dict')
TRUST_HINT = "if you trust whoever made the file, put trust=True in the teacher's entry"


class LoadReport(NamedTuple):
    """Keys of a state dict that did not find their place.

    Attributes:
        missing: In the model, not in the file.
        unexpected: In the file, not in the model.
        mismatched: In both, with another shape.
    """

    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[str, ...]


def locate(path_or_url: str | Path) -> Path:
    """The local file of a checkpoint; what an http(s) URL names is downloaded once, into torch.hub's cache.

    Args:
        path_or_url: A path, or an http(s) URL. A name such as ``resnet50-0676ba61.pth`` holds the start of the file's
            sha256, which the download is checked against.

    Returns:
        Path of a file that was there a moment ago.

    Raises:
        MTKDError: There is no such file, it cannot be downloaded, or it is a URL of another scheme.
    """
    text = str(path_or_url)
    if text.startswith(('http://', 'https://')):
        return _download(text)
    if '://' in text:
        raise MTKDError(f"checkpoint '{text}': only paths and http(s) URLs are read; download it and give its path")
    path = Path(text).expanduser()
    if not path.is_file():
        raise MTKDError(f"checkpoint '{path}' is not there; correct `checkpoint`, or train or download it first")
    return path


def read_checkpoint(path_or_url: str | Path, trust: bool = False, hint: str = TRUST_HINT) -> dict[str, Any]:
    """Read a checkpoint without running what it may hold.

    PyTorch's restricted unpickler is given only what files of mmengine's Runner hold besides tensors: numpy arrays and
    scalars, configs, and the log history. Anything else is refused by name.

    Args:
        path_or_url: A path or an http(s) URL, see `locate`.
        trust: Unpickle without restriction. The file can then run any code.
        hint: What a refusal says about trusting the file.

    Returns:
        What the file holds, its tensors on the CPU.

    Raises:
        MTKDError: The file is missing, unreadable, truncated, no checkpoint, refused, or holds no dictionary.
    """
    path = locate(path_or_url)
    try:
        path.open('rb').close()
    except OSError as error:
        raise MTKDError(f"checkpoint '{path}' cannot be read: {error.strerror}; make it readable") from error
    try:
        with safely():
            checkpoint = torch.load(path, map_location='cpu', weights_only=not trust)
    except pickle.UnpicklingError as error:
        name = refused_call(error)
        if name is None:
            raise _not_a_checkpoint(path, error) from error
        raise MTKDError(
            f"checkpoint '{path}' is refused: it calls {name} when loaded, which may run any code; {hint}"
        ) from error
    except Exception as error:  # bytes that are no checkpoint make the readers fail in any way there is
        raise _not_a_checkpoint(path, error) from error
    if not isinstance(checkpoint, dict):
        raise MTKDError(f"checkpoint '{path}' holds a {type(checkpoint).__name__} and no state_dict; save a state_dict")
    return checkpoint


def refused_call(error: pickle.UnpicklingError) -> str | None:
    """What a file wanted to call when PyTorch's restricted unpickler refused it.

    Args:
        error: From ``torch.load`` with ``weights_only=True``.

    Returns:
        Its name; ``None`` where the file is damaged, or is none of PyTorch's.
    """
    wanted = re.search(r'GLOBAL (\S+)|unrecognized function (.+)|Can only .* but got (.+)', str(error))
    return wanted and next(group for group in wanted.groups() if group)


def state_dict_of(checkpoint: Mapping[str, Any], path: str | Path = 'the checkpoint') -> dict[str, Tensor]:
    """Find a model's parameters and buffers in a checkpoint.

    Args:
        checkpoint: What `read_checkpoint` returns: parameters under one of `STATE_DICT_KEYS`, or themselves.
        path: What the error message calls the checkpoint.

    Returns:
        Names and tensors, with a prefix 'module.' that all of them share (DataParallel) taken off.

    Raises:
        MTKDError: There are no parameters in it.
    """
    found = [checkpoint[key] for key in STATE_DICT_KEYS if _is_state_dict(checkpoint.get(key))]
    found += [checkpoint] if _is_state_dict(checkpoint) else []
    if not found:
        keys = ', '.join(map(str, list(checkpoint)[:8])) or 'nothing'
        raise MTKDError(
            f"'{path}' has no state_dict in it (it holds: {keys}); the parameters are expected under "
            f'{", ".join(STATE_DICT_KEYS)}, or as the file itself'
        )
    state_dict = found[0]
    prefix = 'module.' if all(key.startswith('module.') for key in state_dict) else ''
    stripped = OrderedDict((key[len(prefix) :], value) for key, value in state_dict.items())
    metadata = getattr(state_dict, '_metadata', None)
    if metadata is not None:  # layers read the version of their own format here
        metadata = OrderedDict((key[len(prefix) :], value) for key, value in metadata.items())
        stripped._metadata = metadata  # type: ignore[attr-defined]
    return stripped


def load_into(
    model: nn.Module, state_dict: Mapping[str, Tensor], *, name: str, path: str | Path, strict: bool = True
) -> LoadReport:
    """Load parameters into a model and say what did not fit.

    BatchNorm's ``num_batches_tracked``, which old files lack, is not missed.

    Args:
        model: Is changed in place; after an error it may be loaded in part.
        state_dict: As `state_dict_of` returns it.
        name: The teacher's name, for messages.
        path: Where the parameters come from, for messages.
        strict: Refuse what does not fit. Otherwise load what fits and leave the rest.

    Returns:
        The keys that did not fit; all empty when `strict`.

    Raises:
        MTKDError: No key fits, or `strict` and one does not.
    """
    where = f"teacher '{name}': '{path}'"
    own = model.state_dict()
    report = _load(model, state_dict, where)
    fitted = set(own) - set(report.missing) - set(report.mismatched) - _counters(own)
    if not fitted and not report.mismatched:
        raise MTKDError(
            f'{where} is the checkpoint of another architecture: none of its {len(state_dict)} keys '
            f"({_first(list(state_dict))}) is one of the model's ({_first(list(own))}); give the model that it was "
            'trained with'
        )
    if not fitted or (strict and any(report)):
        raise MTKDError(f'{where} {_difference(report, state_dict, own)}')
    return report


def sha256_of(source: Path | nn.Module) -> str:
    """Fingerprint of a teacher: sha256 of its checkpoint's bytes, or of a model's state dict.

    Args:
        source: A file, or a model whose names, dtypes, shapes and values are hashed in the order of the names.

    Returns:
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    if isinstance(source, Path):
        with source.open('rb') as file:
            for block in iter(lambda: file.read(1 << 20), b''):
                digest.update(block)
        return digest.hexdigest()
    for key, value in sorted(source.state_dict().items()):
        digest.update(f'{key} {value.dtype} {tuple(value.shape)}'.encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _download(url: str) -> Path:
    name = Path(urlparse(url).path).name
    prefix = re.search(r'-([0-9a-f]{8,64})\.', name)
    if prefix is None:  # nothing in the name tells two files called 'latest.pth' apart
        name = f'{hashlib.sha256(url.encode()).hexdigest()[:8]}_{name}'
    cached = Path(torch.hub.get_dir()) / 'checkpoints' / name
    if not cached.is_file():
        try:
            cached.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(cached), hash_prefix=prefix and prefix.group(1), progress=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise MTKDError(
                f"checkpoint '{url}' cannot be downloaded ({_line(error)}); fetch it by other means and give its path"
            ) from error
    return cached


def _not_a_checkpoint(path: Path, error: Exception) -> MTKDError:
    # torch.load wraps its reason in advice to load the file without restriction; a broken file is no reason to.
    reason = '' if isinstance(error, pickle.UnpicklingError) else f' ({_line(error)})'
    return MTKDError(f"'{path}' is truncated or no checkpoint of PyTorch{reason}; copy or download it again")


def _line(error: Exception) -> str:
    return f'{type(error).__name__}: {error}'.split('\n')[0][:120]


def _is_state_dict(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and any(isinstance(entry, Tensor) for entry in value.values())
        and all(isinstance(key, str) for key in value)
    )


def _load(model: nn.Module, state_dict: Mapping[str, Tensor], where: str) -> LoadReport:
    """Load what fits through the model's own loading hooks, which may rename or resize entries of older files."""
    mismatched: list[str] = []
    try:
        missing, unexpected = model.load_state_dict(state_dict, strict=False)
    except RuntimeError as error:
        # PyTorch says which shapes differ in its message only, also with strict=False.
        mismatched = re.findall(r'size mismatch for (\S+):', str(error))
        if not mismatched:
            raise MTKDError(f'{where} cannot be loaded: {_line(error)}') from error
        fitting = OrderedDict((key, value) for key, value in state_dict.items() if key not in mismatched)
        fitting._metadata = getattr(state_dict, '_metadata', None)  # type: ignore[attr-defined]
        missing, unexpected = model.load_state_dict(fitting, strict=False)
    absent = set(missing) - set(mismatched) - _counters(missing)
    return LoadReport(tuple(key for key in missing if key in absent), tuple(unexpected), tuple(mismatched))


def _counters(keys: Any) -> set[str]:
    return {key for key in keys if key.rsplit('.', 1)[-1] == 'num_batches_tracked'}


def _difference(report: LoadReport, state_dict: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> str:
    last = next((key for key in reversed(list(own)) if own[key].ndim >= 2), '')
    layer = last.rpartition('.')[0]
    if last in report.mismatched and all(key.rpartition('.')[0] == layer for key in report.mismatched):
        theirs, ours = state_dict[last].shape, own[last].shape
        if theirs[1:] == ours[1:]:
            return (
                f'has {theirs[0]} classes in the file, {ours[0]} in the model (layer {layer}); teacher and student '
                'need the same classes: correct the number in the config, or give another checkpoint'
            )
    shapes = [f'{key} {tuple(state_dict[key].shape)} against {tuple(own[key].shape)}' for key in report.mismatched[:3]]
    parts = [
        f'{len(keys)} {what} ({text})'
        for keys, what, text in (
            (report.missing, 'missing from the file', _first(report.missing)),
            (report.unexpected, 'unexpected', _first(report.unexpected)),
            (report.mismatched, 'of another shape', ', '.join(shapes) + _more(report.mismatched)),
        )
        if keys
    ]
    return (
        f'does not fit the model, keys: {"; ".join(parts)}; give the config that it was trained with, or strict=False '
        'to load what fits'
    )


def _first(keys: Any) -> str:
    return ', '.join(list(keys)[:3]) + _more(keys)


def _more(keys: Any) -> str:
    return ', ...' if len(keys) > 3 else ''
