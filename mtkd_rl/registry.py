"""The registries of mtkd_rl, in mmengine's scope ``mtkd_rl``.

mmengine imports ``<scope>.registry`` when a config names a type with that scope, so that ``type='mtkd_rl.MTKDHook'``
works without any ``custom_imports``. The modules behind a registry are imported when something is first built from it.
"""

import inspect
from collections.abc import Mapping
from typing import Any

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import METRICS as MMENGINE_METRICS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import TRANSFORMS as MMENGINE_TRANSFORMS
from mmengine.registry import VISUALIZERS as MMENGINE_VISUALIZERS
from mmengine.registry import Registry

from mtkd_rl.errors import MTKDError, candidates

HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='mtkd_rl', locations=['mtkd_rl.hook'])
MODELS = Registry('model', parent=MMENGINE_MODELS, scope='mtkd_rl', locations=['mtkd_rl.models', 'mtkd_rl.fusion'])
DATASETS = Registry(
    'dataset', parent=MMENGINE_DATASETS, scope='mtkd_rl', locations=['mtkd_rl.datasets', 'mtkd_rl.fusion']
)
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope='mtkd_rl', locations=['mtkd_rl.fusion'])
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope='mtkd_rl', locations=['mtkd_rl.fusion'])
VISUALIZERS = Registry('visualizer', parent=MMENGINE_VISUALIZERS, scope='mtkd_rl', locations=['mtkd_rl.fusion'])

TEACHERS = Registry('teacher', scope='mtkd_rl', locations=['mtkd_rl.teachers'])
TASKS = Registry('task', scope='mtkd_rl', locations=['mtkd_rl.tasks'])
LOSSES = Registry('knowledge loss', scope='mtkd_rl', locations=['mtkd_rl.losses'])
STRATEGIES = Registry('strategy', scope='mtkd_rl', locations=['mtkd_rl.weighting'])
REWARDS = Registry('reward', scope='mtkd_rl', locations=['mtkd_rl.rl'])


def build(registry: Registry, cfg: Any, where: str) -> Any:
    """Builds from one of our registries, whatever the default scope is.

    Args:
        registry: A registry of this module.
        cfg: ``type``, a registered name or a class, and the arguments of that class; or a name alone.
        where: The option that the config was given for, for error messages.

    Returns:
        An instance.

    Raises:
        MTKDError: It is no dict with a ``type``, no such name is registered, or the arguments do not fit.
    """
    cfg = {'type': cfg} if isinstance(cfg, str) else cfg
    if not isinstance(cfg, Mapping) or 'type' not in cfg:
        registry.import_from_location()
        raise MTKDError(f'{where}: {cfg!r} is no dict(type=...); the type is one of {", ".join(registry.module_dict)}')
    arguments = dict(cfg)
    name = arguments.pop('type')
    try:
        cls = registry.get(name) if isinstance(name, str) else name
    except RuntimeError:  # what mmengine raises for a dotted name that it cannot import
        cls = None
    if cls is None:
        known = candidates(name, registry.module_dict)
        raise MTKDError(f'{where}: there is no {registry.name} {name!r}; did you mean: {known}')
    try:
        inspect.signature(cls).bind(**arguments)
    except TypeError as error:
        options = ', '.join(inspect.signature(cls).parameters) or 'no options'
        raise MTKDError(f'{where}: {name!r}: {error}; it takes {options}') from None
    return cls(**arguments)
