"""The registries of mtkd_rl, in mmengine's scope ``mtkd_rl``.

mmengine imports ``<scope>.registry`` when a config names a type with that scope, so that ``type='mtkd_rl.MTKDHook'``
works without any ``custom_imports``. The modules behind a registry are imported when something is first built from it.
"""

from mmengine.registry import DATASETS as MMENGINE_DATASETS
from mmengine.registry import HOOKS as MMENGINE_HOOKS
from mmengine.registry import MODELS as MMENGINE_MODELS
from mmengine.registry import Registry

HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope='mtkd_rl', locations=['mtkd_rl.hook'])
MODELS = Registry('model', parent=MMENGINE_MODELS, scope='mtkd_rl', locations=['mtkd_rl.models'])
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, scope='mtkd_rl', locations=['mtkd_rl.datasets'])

TEACHERS = Registry('teacher', scope='mtkd_rl', locations=['mtkd_rl.teachers'])
TASKS = Registry('task', scope='mtkd_rl', locations=['mtkd_rl.tasks'])
LOSSES = Registry('knowledge loss', scope='mtkd_rl', locations=['mtkd_rl.losses'])
STRATEGIES = Registry('strategy', scope='mtkd_rl', locations=['mtkd_rl.weighting'])
REWARDS = Registry('reward', scope='mtkd_rl', locations=['mtkd_rl.rl'])
