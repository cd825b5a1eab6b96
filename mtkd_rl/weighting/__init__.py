"""Who sets the teachers' weights: one file a strategy, behind one Protocol."""

from mtkd_rl.weighting.average import AverageWeighting
from mtkd_rl.weighting.base import Strategy, leave_out
from mtkd_rl.weighting.fixed import FixedWeighting
from mtkd_rl.weighting.ppo import PPOWeighting

__all__ = ['AverageWeighting', 'FixedWeighting', 'PPOWeighting', 'Strategy', 'leave_out']
