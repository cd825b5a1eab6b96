"""What a teacher's checkpoint, weights and config say about it, beside the weights themselves."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from torch import nn

from mtkd_rl.benchmark import picture_size
from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers import LoadReport, load_into, read_checkpoint, state_dict_of
from mtkd_rl.teachers.openmmlab import packaged
from mtkd_rl.teachers.pool import RANDOM

TOP1 = 'accuracy/top1'


class Papers(NamedTuple):
    """What is said of a teacher.

    Attributes:
        claim: Its metric in [0, 1], or ``None``.
        claimed_by: Who says so, in a few words.
        classes: Names of its classes, in its order; empty where nothing names them.
        load: Which keys of its checkpoint found no place.
        trained_on: Height and width of the pictures that it was trained on, or ``None``.
    """

    claim: float | None
    claimed_by: str
    classes: tuple[str, ...]
    load: LoadReport
    trained_on: tuple[int, int] | None


def papers_of(name: str, entry: Mapping[str, Any], model: nn.Module) -> Papers:
    """Read what is said of a teacher.

    Args:
        name: Of the teacher.
        entry: As it stands in the hook's ``teachers``.
        model: Built from it; gets its checkpoint's parameters once more, which tells what did not fit.

    Raises:
        MTKDError: The checkpoint cannot be read.
    """
    checkpoint: dict[str, Any] = {}
    load = LoadReport((), (), ())
    path = entry.get('checkpoint')
    if path not in (None, RANDOM):
        checkpoint = read_checkpoint(str(path), entry.get('trust', False))
        load = load_into(model, state_dict_of(checkpoint, path), name=name, path=path, strict=False)
    weights = _torchvision(entry)
    header = None if path == RANDOM else _of_header(entry)
    claims = [
        (_last_validation(checkpoint), 'last validation in the checkpoint'),
        (_of_weights(weights), f'torchvision, {entry.get("weights")}'),
        (header, 'header of its config'),
    ]
    claim, claimed_by = next(((claim, who) for claim, who in claims if claim is not None), (None, ''))
    meta = checkpoint.get('meta') or {}
    data: Mapping[str, Any] = meta.get('dataset_meta') or {} if isinstance(meta, Mapping) else {}
    classes = data.get('classes') or data.get('CLASSES') or (weights.meta.get('categories') if weights else None)
    return Papers(claim, claimed_by, _names(classes), load, _trained_on(entry, model, weights))


def same_names_elsewhere(teacher: Sequence[str], student: Sequence[str]) -> tuple[int, ...] | None:
    """The student's class of each of a teacher's outputs by name.

    Args:
        teacher: Names of its classes.
        student: Names of the student's.

    Returns:
        The order; ``None`` where they name other classes, or the same ones in the same order.
    """
    if len(set(teacher)) != len(teacher) or set(teacher) != set(student) or list(teacher) == list(student):
        return None
    return tuple(list(student).index(name) for name in teacher)


def _names(classes: Any) -> tuple[str, ...]:
    return tuple(map(str, classes)) if isinstance(classes, list | tuple) else ()


def _last_validation(checkpoint: Mapping[str, Any]) -> float | None:
    """The last top-1 in the message hub that mmengine's Runner saves."""
    scalars = (checkpoint.get('message_hub') or {}).get('log_scalars', {})
    found = [buffer for key, buffer in scalars.items() if key in (f'val/{TOP1}', f'test/{TOP1}')]
    return float(found[0].current()) / 100 if found else None


def _torchvision(entry: Mapping[str, Any]) -> Any:
    if entry.get('type') != 'Torchvision' or not entry.get('weights'):
        return None
    from torchvision.models import get_model_weights

    published = get_model_weights(entry['model'])
    name = entry['weights'].rsplit('.', 1)[-1]
    return published.DEFAULT if name == 'DEFAULT' else published[name]


def _of_weights(weights: Any) -> float | None:
    metrics = weights.meta.get('_metrics', {}) if weights else {}
    found = [each['acc@1'] for each in metrics.values() if 'acc@1' in each]
    return found[0] / 100 if found else None


def _of_header(entry: Mapping[str, Any]) -> float | None:
    """The top-1 of a line ``# Result: 98.2 top-1`` in the entry's config, unless the entry changes the config."""
    path = _config_of(entry)
    if path is None or entry.get('cfg_options'):
        return None
    found = re.search(r'^# Result:\s*(\d+(?:\.\d+)?)\s*top-1', path.read_text(), re.M)
    return float(found[1]) / 100 if found else None


def _config_of(entry: Mapping[str, Any]) -> Path | None:
    """The file of an entry's config, if it is in one."""
    config = entry.get('config')
    if not isinstance(config, str):
        return None
    return packaged(config) if '::' in config else Path(config).expanduser()


def _trained_on(entry: Mapping[str, Any], model: Any, weights: Any) -> tuple[int, int] | None:
    if weights:
        side = weights.transforms().crop_size[0]
        return side, side
    if hasattr(model, 'pretrained_cfg'):  # timm
        height, width = model.pretrained_cfg['input_size'][-2:]
        return height, width
    path = _config_of(entry)
    if path is None:
        return None
    data = (Config.fromfile(path).get('train_dataloader') or {}).get('dataset', {})
    while 'pipeline' not in data and 'dataset' in data:
        data = data['dataset']
    try:
        return picture_size({'pipeline': data.get('pipeline', [])})  # the pipeline alone: no data are read
    except MTKDError:
        return None
