"""mtkd_rl: one hook turns an OpenMMLab model into a student of a pool of teachers, weighted by a PPO agent.

Nothing heavy is imported here: naming ``mtkd_rl.MTKDHook`` in a config is enough, the rest follows when it is built.
``mtkd_rl.compat`` lets mmdet's models be imported where mmcv was not compiled.
"""

import mtkd_rl.compat  # noqa: F401

__version__ = '0.1.0'
