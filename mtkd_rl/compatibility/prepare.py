"""From a config as it ships to a model that is built and trained here: nothing downloaded, no process group, small."""

import copy
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.device import get_device
from mmengine.logging import MessageHub
from mmengine.model import BaseModel, revert_sync_batchnorm
from mmengine.registry import MODELS, init_default_scope
from mmengine.runner import set_random_seed

from mtkd_rl.compatibility import made

REMOTE = (
    'http://',
    'https://',
    'torchvision://',
    'open-mmlab://',
    'openmmlab://',
    'mmcls://',
    's3://',
    'modelscope://',
)


REGIONS = 32
"""How many regions of a picture are proposed and sampled at the most; 1000 and 512 are usual."""


class NotOfTheTaskError(Exception):
    """The config's model is none of its toolbox's task; the message says what it is."""


def read(root: Path, config: str) -> Config:
    """Reads a config, in the folder that its own relative paths start from.

    Args:
        root: The folder with the toolbox's ``configs``.
        config: A path below ``configs``, or an absolute one.

    Returns:
        The config, with all that its model would download taken out, and BatchNorm for synchronised BatchNorm.

    Raises:
        NotOfTheTaskError: It has no model.
    """
    os.chdir(root)
    shipped = Config.fromfile(root / 'configs' / config)
    cfg = Config(dict(shipped.items()), format_python_code=False)  # the Runner's prints of it would take seconds
    if not isinstance(cfg.get('model'), Mapping):
        raise NotOfTheTaskError('no model: the config is of data alone')
    _keep_local(cfg.model)
    if cfg.get('data_preprocessor') is not None and isinstance(cfg.data_preprocessor, dict):
        cfg.model.setdefault('data_preprocessor', copy.deepcopy(cfg.data_preprocessor))
    return cfg


def check_task(toolbox: str, cfg: Config, own: str, others: Mapping[str, str]) -> None:
    """Checks that a config's model is of its toolbox's task, before it is built.

    Args:
        toolbox: Its scope.
        cfg: The config.
        own: Module and class that models of the task are of.
        others: Module and class to what a model of it is; they go before `own`.

    Raises:
        NotOfTheTaskError: It is something else; says what.
    """
    kind = cfg.model['type']
    with MODELS.switch_scope_and_registry(toolbox) as registry:
        found = registry.get(kind) if isinstance(kind, str) else kind
    if found is None:
        raise KeyError(f'{kind} is not in the {toolbox}::model registry')
    if not isinstance(found, type):
        found()  # a placeholder, which says what has to be installed
    ours = issubclass(found, _resolve(own))
    # the base of all models is last: it says what those are that are nothing else
    for path, what in others.items():
        if issubclass(found, _resolve(path)) and not (ours and issubclass(_resolve(own), _resolve(path))):
            raise NotOfTheTaskError(f'{what} ({found.__name__})')
    if not ours:
        raise NotOfTheTaskError(f'another task ({found.__name__})')


def shrink(cfg: Config, side: int, fit: bool) -> None:
    """Keeps a step small: pictures stay at their side, and heads look at few of the regions in them.

    Args:
        cfg: Changed in place.
        side: Of the pictures, which the preprocessor would pad to the size of the real data.
        fit: Whether the backbone is made for pictures of that side.
    """
    if fit:
        cfg.model.backbone.img_size = side
    preprocessor = cfg.model.get('data_preprocessor') or {}
    for part in [preprocessor, *(preprocessor.get('batch_augments') or [])]:
        if isinstance(part, dict) and part.get('size') is not None:
            part['size'] = (side, side)
    for part in made.find(cfg.model, 'sampler', 'rpn_proposal', 'rpn'):
        for key in ('num', 'max_per_img'):
            if isinstance(part, dict) and isinstance(part.get(key), int):
                part[key] = min(part[key], REGIONS)


def build(toolbox: str, cfg: Config) -> BaseModel:
    """Builds a config's model with random weights, on the device where training would run.

    Args:
        toolbox: Its scope.
        cfg: From `read`.

    Returns:
        The model, with ``init_weights`` still to be called.
    """
    init_default_scope(toolbox)
    set_random_seed(1)
    model = revert_sync_batchnorm(MODELS.build(copy.deepcopy(cfg.model)))
    for module in model.modules():
        if _is_pretrained(getattr(module, 'init_cfg', None)):
            module.init_cfg = None
    return model.to(get_device())


def optimizer() -> dict[str, Any]:
    """Plain SGD whose steps stay small, however large the losses of random weights are, as an ``optim_wrapper``."""
    return dict(optimizer=dict(type='SGD', lr=0.01), clip_grad=dict(max_norm=1.0))


def say_where_training_is() -> None:
    """Tells the message hub what a Runner would: some heads ask it for the epoch or the iteration."""
    hub = MessageHub.get_instance('compatibility')
    for name, value in dict(epoch=0, iter=0, max_epochs=1, max_iters=2).items():
        hub.update_info(name, value)


def collate(toolbox: str) -> Any:
    """The function that makes a batch of samples, as the toolbox's configs name it."""
    from mmengine.dataset import default_collate, pseudo_collate

    return default_collate if toolbox == 'mmpretrain' else pseudo_collate


def _resolve(path: str) -> type:
    module, name = path.split(':')
    return getattr(import_module(module), name)


def _keep_local(node: Any) -> None:
    """Takes out what would be downloaded, and what several processes are needed for, in place."""
    children = list(node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ())
    for key, value in children:
        if key == 'init_cfg' and _is_pretrained(value):
            node[key] = None
        elif key == 'pretrained' and value is not None:
            node[key] = False if isinstance(value, bool) else None
        elif isinstance(value, str) and value.startswith(REMOTE):
            node[key] = None
        elif key == 'type' and value in ('SyncBN', 'MMSyncBN'):
            node[key] = 'BN'
        else:
            _keep_local(value)


def _is_pretrained(init_cfg: Any) -> bool:
    parts = init_cfg if isinstance(init_cfg, list | tuple) else [init_cfg]
    return any(isinstance(part, Mapping) and part.get('checkpoint') is not None for part in parts)
