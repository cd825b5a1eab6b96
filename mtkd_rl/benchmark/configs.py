"""The variants of a config, and what of it decides how to measure them."""

import inspect
import math
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config
from mmengine.registry import DATASETS

from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers.checkpoint import read_checkpoint
from mtkd_rl.teachers.pool import classes_of
from mtkd_rl.tooling import hook_entries
from mtkd_rl.weighting import PPOWeighting

UNTRAINED: dict[str, dict[str, Any]] = {'Torchvision': {'weights': None}, 'Timm': {'pretrained': False}}

AVERAGE = {'type': 'AverageWeighting'}
LIVE: dict[str, dict[str, Any]] = {'live_bf16': {'precision': 'bfloat16'}, 'live_compiled': {'compile': True}}


class Plan(NamedTuple):
    """What is measured side by side.

    Attributes:
        variants: Names, see ``variant``.
        ratios: Name to the variants whose times, and memories, are divided.
    """

    variants: tuple[str, ...]
    ratios: Mapping[str, tuple[str, str]]


STEP = Plan(
    ('plain', 'teachers', 'average', 'ppo'),
    {
        'teachers/average': ('teachers', 'average'),
        'average/plain': ('average', 'plain'),
        'ppo/average': ('ppo', 'average'),
    },
)

POOL = Plan(
    ('plain', 'naive', 'teachers', 'average', 'live_compiled', 'live_bf16', 'ppo', 'cached', 'ppo_cached'),
    {
        'naive/plain': ('naive', 'plain'),
        'live/naive': ('average', 'naive'),
        'live_compiled/naive': ('live_compiled', 'naive'),
        'live_bf16/naive': ('live_bf16', 'naive'),
        'ppo/average': ('ppo', 'average'),
        'cached/plain': ('cached', 'plain'),
        'ppo cached/plain': ('ppo_cached', 'plain'),
        'ppo/average cached': ('ppo_cached', 'cached'),
    },
)
"""Everything there is to make a pool cheap, beside what the published code does."""


def without(plan: Plan, name: str) -> Plan:
    """A plan in which one variant is not measured."""
    ratios = {ratio: pair for ratio, pair in plan.ratios.items() if name not in pair}
    return Plan(tuple(each for each in plan.variants if each != name), ratios)


def variant(cfg: Config, name: str, folder: Path) -> Config:
    """The config of one variant, without what writes files or evaluates.

    Args:
        cfg: A complete config with an ``MTKDHook``.
        name: ``plain``, the student alone; ``naive``, the loop of ``mtkd_rl.benchmark.naive``; ``teachers``,
            ``average`` and ``cached``, equal weights; ``live_bf16`` and ``live_compiled``, these with teachers in
            bfloat16, or compiled; ``ppo`` and ``ppo_cached``.
        folder: Its work dir, with the cache; made if it is not.

    Returns:
        A changed copy. Distillation is on from the first iteration.

    Raises:
        MTKDError: It has no ``MTKDHook``.
    """
    cfg = deepcopy(cfg)
    entry = hook_entry(cfg)
    entry.update(teachers=untrained(entry['teachers']), begin=0, end=None, warmup=0)
    # Untrained teachers may say large numbers. At weight 0 all is computed the same, and the student stays finite.
    entry.update(logit_weight=0.0, feature_weight=0.0)
    if name in ('plain', 'naive'):
        cfg.custom_hooks = [hook for hook in cfg.custom_hooks if hook is not entry]
        cfg.naive_pool = [teacher['config'] for teacher in entry['teachers'].values()] if name == 'naive' else None
    entry['strategy'] = ppo_strategy(entry) if name.startswith('ppo') else AVERAGE
    cache = {**(entry.get('cache') or {}), 'folder': str(folder / 'cache'), 'budget': '100TB'}
    entry['cache'] = cache if name.endswith('cached') else None
    entry['live'] = {**entry.get('live', {}), **LIVE.get(name, {})}
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    cfg.default_hooks = {**cfg.get('default_hooks', {}), 'checkpoint': None}
    cfg.visualizer = {**cfg.get('visualizer', {'type': 'Visualizer'}), 'vis_backends': []}
    cfg.load_from, cfg.resume, cfg.launcher, cfg.work_dir = None, False, 'none', str(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return cfg


def hook_entry(cfg: Config) -> dict[str, Any]:
    """The ``MTKDHook`` of a config.

    Raises:
        MTKDError: There is none.
    """
    entries = hook_entries(cfg)
    if not entries:
        raise MTKDError('the config has no MTKDHook in custom_hooks, so there is nothing to compare; give one that has')
    return entries[0]


def ppo_strategy(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The strategy of a hook's entry if it is a ``PPOWeighting``, else one with its defaults."""
    strategy = entry.get('strategy', 'PPOWeighting')
    strategy = strategy if isinstance(strategy, Mapping) else {'type': strategy}
    return dict(strategy) if strategy['type'] in ('PPOWeighting', PPOWeighting) else {'type': 'PPOWeighting'}


def cycle(entry: Mapping[str, Any], batch_size: int) -> int:
    """Iterations in which the agent of a hook's entry fills its rollout and updates once."""
    default = inspect.signature(PPOWeighting).parameters['rollout'].default
    return math.ceil(ppo_strategy(entry).get('rollout', default) / batch_size)


def untrained(teachers: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Any:
    """The entries of a pool with random weights, so that no checkpoint has to be there."""

    def without(entry: Mapping[str, Any]) -> dict[str, Any]:
        classes = saved_classes(entry.get('checkpoint'))
        named = {} if classes is None else {'classes': classes}
        return {**named, **entry, **UNTRAINED.get(entry.get('type', ''), {}), 'checkpoint': 'random'}

    if isinstance(teachers, Mapping):
        return {name: without(entry) for name, entry in teachers.items()}
    return [without(entry) for entry in teachers]


def saved_classes(checkpoint: Any) -> tuple[str, ...] | None:
    """Names of a teacher's classes where only its checkpoint knows them, and is there."""
    if not isinstance(checkpoint, str) or not Path(checkpoint).is_file():
        return None
    return classes_of(read_checkpoint(checkpoint))


def picture_size(dataset: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width that a data set's pipeline ends with.

    Args:
        dataset: Config of a data set, perhaps wrapped.

    Returns:
        What the last transform with a size says; where none has one, the size of the first picture.

    Raises:
        MTKDError: Only the data would tell, and they cannot be read.
    """
    inner = dataset
    while 'pipeline' not in inner and 'dataset' in inner:
        inner = inner['dataset']
    for transform in reversed(inner.get('pipeline', [])):
        for size in (transform.get(key) for key in ('crop_size', 'scale', 'size')):
            if isinstance(size, int):
                return size, size
            if isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(side, int) for side in size):
                return size[0], size[1]
    try:
        height, width = DATASETS.build(dataset)[0]['inputs'].shape[-2:]
    except Exception as error:  # a data set may raise anything
        raise MTKDError(
            'no transform of the training pipeline says how large pictures are, and the data cannot be read '
            f'({" ".join(str(error).split())}); put the data there, or name a size in the pipeline'
        ) from error
    return height, width
