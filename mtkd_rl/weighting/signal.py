"""The reward's own signal, without learning."""

from typing import Any

import torch

from mtkd_rl.errors import MTKDError, check_number
from mtkd_rl.registry import REWARDS, STRATEGIES, build
from mtkd_rl.rl.reward import CombinedReward, CreditReward
from mtkd_rl.types import Decision, State
from mtkd_rl.weighting.base import Formula, Setting


@STRATEGIES.register_module()
class SignalWeighting(Formula):
    """A control: ``w_im = softmax_m(scale q_im)``, q the score of a teacher on a sample by the agent's reward.

    The agent has to learn to foresee q from what it observes; here q itself is looked at, of the very batch, with its
    labels. Where this does as well as the agent, learning was not needed, and where it does worse, what the agent has
    averaged over many samples is better than what one sample says of itself.

    Args:
        scale: Factor of the scores before the softmax; that of the agent's scores, which lie in [-1, 1], is 5.
        reward: Config of a ``CreditReward`` or ``CombinedReward``; ``None`` for the task's, as the agent has it.

    Raises:
        MTKDError: ``scale`` is negative; a reward that does not score teachers one by one.
    """

    wants_credit = True

    def __init__(self, scale: float = 1.0, reward: dict[str, Any] | None = None) -> None:
        check_number('SignalWeighting', 'scale', scale)
        self.scale = scale
        self._own_reward = None if reward is None else scoring(reward)

    def prepare(self, setting: Setting) -> None:
        """Which kinds of knowledge there are."""
        self.kinds = setting.kinds
        self.reward = self._own_reward or scoring(setting.reward)

    def decide(self, state: State) -> Decision:
        """Weights on the simplex, ``(B, M)`` for each kind."""
        weights = {}
        for kind in self.kinds:
            scores = self.reward.scores(state.credit[kind], state.teaching(kind))
            weights[kind] = (self.scale * scores).softmax(dim=1)
        first = weights[self.kinds[0]]
        return Decision(weights.get('logit', first), weights.get('feature', first), torch.ones_like(first[:, 0]))


def scoring(reward: dict[str, Any]) -> CreditReward | CombinedReward:
    """A reward that scores teachers one by one.

    Raises:
        MTKDError: This one does not.
    """
    built = build(REWARDS, reward, 'reward')
    if not hasattr(built, 'scores'):
        raise MTKDError(
            f'SignalWeighting: reward {type(built).__name__} does not score teachers one by one; give CreditReward '
            'or CombinedReward'
        )
    return built
