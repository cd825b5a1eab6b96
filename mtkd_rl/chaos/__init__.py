"""Killing a training at random moments and resuming it: does it end as if nothing had happened?

The trainings are subprocesses of ``tools/train.py``, watched from outside: what they print, and the files they leave.
"""

from mtkd_rl.chaos.compare import difference
from mtkd_rl.chaos.configs import SPAN, SPANS, VARIANTS, Variant, make_config
from mtkd_rl.chaos.files import is_unfinished, number_saved, state_of_files
from mtkd_rl.chaos.kills import PHASES, Kill, Plan, draw_plans, fits, phase_of
from mtkd_rl.chaos.progress import Seen, look
from mtkd_rl.chaos.runs import Chaos, Outcome
from mtkd_rl.chaos.training import Training

__all__ = [
    'PHASES',
    'SPAN',
    'SPANS',
    'VARIANTS',
    'Chaos',
    'Kill',
    'Outcome',
    'Plan',
    'Seen',
    'Training',
    'Variant',
    'difference',
    'draw_plans',
    'fits',
    'is_unfinished',
    'look',
    'make_config',
    'number_saved',
    'phase_of',
    'state_of_files',
]
