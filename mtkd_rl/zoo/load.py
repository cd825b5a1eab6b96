"""A published student, ready to use."""

from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers.checkpoint import sha256_of
from mtkd_rl.zoo.index import Entry, entry, fetch
from mtkd_rl.zoo.recipe import check_types, from_json, neutral

FORMAT = '1'


class Student(NamedTuple):
    """A student from a zoo.

    Attributes:
        model: Its network, in evaluation mode; ``model.cfg`` has what OpenMMLab's inference functions look for.
        classes: Names of its classes; empty of a fusion model.
        entry: What is known of it.
        recipe: Config of its ``model``, ``data_preprocessor``, test ``pipeline`` and ``visualizer``.
    """

    model: nn.Module
    classes: tuple[str, ...]
    entry: Entry
    recipe: dict[str, Any]


def load(name: str, source: str | Path | None = None, device: str = 'cpu') -> Student:
    """Loads a student; its file's hash is checked before, and nothing is unpickled.

    Args:
        name: One of ``mtkd_rl.zoo.list(source)``.
        source: A folder, or a base URL; the package's own students when not given.
        device: Where it shall run.

    Raises:
        MTKDError: There is no such student; its file is cut short, changed, of another kind, or would build anything
            but a registered model.
    """
    known = entry(name, source)
    path = fetch(source, known.file)
    try:
        check_file(path, known)
    except MTKDError:
        if '://' in str(source):
            path.unlink()  # so that the next call gets it anew
        raise
    weights, recipe, classes = read(path)
    check_types(recipe, path.name)
    tooling.know_packages()
    recipe = neutral(recipe)
    model_cfg = dict(recipe['model'])
    model_cfg.setdefault('data_preprocessor', recipe.get('data_preprocessor'))
    data = {'dataset': {'pipeline': recipe['pipeline']}}
    cfg = Config(dict(default_scope=recipe['default_scope'], model=model_cfg, test_dataloader=data))
    with DefaultScope.overwrite_default_scope(recipe['default_scope']):
        model = MODELS.build(cfg.model)
    try:
        model.load_state_dict(weights, strict=True)
    except RuntimeError as error:
        told = ' '.join(str(error).split())[:200]
        raise MTKDError(
            f'zoo: {path.name} does not fit its own model with the versions that are here: {told}'
        ) from None
    model.cfg = cfg
    model.dataset_meta = {'classes': classes}
    return Student(model.to(device).eval(), classes, known, recipe)


def check_file(path: Path, known: Entry) -> None:
    """Compares a file with what the metafile says of it.

    Raises:
        MTKDError: It is another one.
    """
    size = path.stat().st_size
    if size != known.size:
        raise MTKDError(f'zoo: {path} is refused: it has {size} bytes and should have {known.size}; get it anew')
    found = sha256_of(path)
    if found != known.sha256:
        raise MTKDError(f'zoo: {path} is refused: its sha256 is {found}, and should be {known.sha256}; get it anew')
    if found[:8] not in path.name:
        raise MTKDError(f'zoo: {path} is refused: its name lacks {found[:8]}, the beginning of its sha256; get it anew')


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], tuple[str, ...]]:
    """What a file holds: weights, recipe, and names of classes.

    Raises:
        MTKDError: It is no safetensors file, or not of a student.
    """
    try:
        with safe_open(path, 'pt') as file:
            metadata = file.metadata() or {}
            weights = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # it is no dict
    except (SafetensorError, OSError) as error:
        raise MTKDError(f'zoo: {path} is refused: it is no safetensors file ({" ".join(str(error).split())})') from None
    if metadata.get('format') != FORMAT:
        raise MTKDError(
            f'zoo: {path} is refused: it is not of a student of mtkd_rl (format {metadata.get("format")!r})'
        )
    recipe, classes = from_json(metadata['recipe']), from_json(metadata['classes'])
    return weights, recipe, tuple(classes)
