"""Who sets the teachers' weights: one file a strategy, behind one Protocol."""

from mtkd_rl.weighting.average import AverageWeighting
from mtkd_rl.weighting.base import Strategy, leave_out
from mtkd_rl.weighting.chance import DroppingWeighting, RandomWeighting, ShuffledWeighting
from mtkd_rl.weighting.confidence import ConfidenceWeighting
from mtkd_rl.weighting.entropy import EntropyWeighting
from mtkd_rl.weighting.fixed import FixedWeighting
from mtkd_rl.weighting.gradient import GradientWeighting
from mtkd_rl.weighting.meta import MetaWeighting
from mtkd_rl.weighting.paper import PaperWeighting
from mtkd_rl.weighting.ppo import PPOWeighting
from mtkd_rl.weighting.reinforce import ReinforceWeighting
from mtkd_rl.weighting.signal import SignalWeighting

__all__ = [
    'AverageWeighting',
    'ConfidenceWeighting',
    'DroppingWeighting',
    'EntropyWeighting',
    'FixedWeighting',
    'GradientWeighting',
    'MetaWeighting',
    'PPOWeighting',
    'PaperWeighting',
    'RandomWeighting',
    'ReinforceWeighting',
    'ShuffledWeighting',
    'SignalWeighting',
    'Strategy',
    'leave_out',
]
