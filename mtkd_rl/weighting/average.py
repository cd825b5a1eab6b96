"""Equal weights."""

import torch

from mtkd_rl.registry import STRATEGIES
from mtkd_rl.types import Decision, State
from mtkd_rl.weighting.base import Formula, everywhere


@STRATEGIES.register_module()
class AverageWeighting(Formula):
    """AVER: every teacher teaches every sample with weight ``1 / M``."""

    def decide(self, state: State) -> Decision:
        """Equal weights, ``(B, M)``."""
        return everywhere(torch.full_like(state.divergence, 1 / len(state.teachers)))
