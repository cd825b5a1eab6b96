"""The agent without a critic."""

from typing import Any

import torch

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import STRATEGIES
from mtkd_rl.types import Decision, State
from mtkd_rl.weighting.ppo import PPOWeighting


@STRATEGIES.register_module()
class ReinforceWeighting(PPOWeighting):
    """REINFORCE on PPO's state, actions and reward: one step up ``mean_i A_i log pi(a_i | x_i)`` for each rollout.

    ``A`` is the reward, standardised over the rollout, so the mean is the baseline and there is no critic; with one
    pass over the whole rollout PPO's ratio is 1, its clipping idle, and its gradient that of Williams (1992).

    Args:
        **options: Those of ``PPOWeighting``, but for ``n_epochs``, ``batch_size`` and ``vf_coef``, which follow.

    Raises:
        MTKDError: As ``PPOWeighting``; one of the options that follow is given.
    """

    def __init__(self, rollout: int = 1024, **options: Any) -> None:
        for name in ('n_epochs', 'batch_size', 'vf_coef'):
            if name in options:
                raise MTKDError(f'ReinforceWeighting: {name} follows from the method; leave it out')
        super().__init__(rollout=rollout, n_epochs=1, batch_size=rollout, vf_coef=0.0, **options)

    def decide(self, state: State) -> Decision:
        """The agent's weights, ``(B, M)``."""
        decided = super().decide(state)
        assert self._pending is not None
        observation, sampled = self._pending
        self._pending = observation, sampled._replace(value=torch.zeros_like(sampled.value))
        return decided
