"""Strategies that draw."""

from typing import Any

import torch
from torch import Tensor

from mtkd_rl.errors import MTKDError
from mtkd_rl.parallel import global_batch, own_share
from mtkd_rl.registry import STRATEGIES
from mtkd_rl.types import Decision, State
from mtkd_rl.weighting.base import Formula, Setting, everywhere
from mtkd_rl.weighting.ppo import PPOWeighting


class Drawing(Formula):
    """A formula with random numbers of its own, which a resumed run goes on with."""

    def prepare(self, setting: Setting) -> None:
        """Seeds them."""
        self.random = torch.Generator(setting.device).manual_seed(setting.seed)

    def state_dict(self) -> dict[str, Any]:
        """Where they stand."""
        return {'random': self.random.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there."""
        self.random.set_state(state['random'])

    def uniform(self, like: Tensor) -> Tensor:
        """Numbers in [0, 1) of a tensor's shape."""
        return own_share(
            lambda samples: torch.rand(samples, *like.shape[1:], generator=self.random, device=like.device), len(like)
        )


@STRATEGIES.register_module()
class RandomWeighting(Drawing):
    """A control: weights drawn evenly from the simplex for every sample, in every iteration anew."""

    def decide(self, state: State) -> Decision:
        """Weights on the simplex, ``(B, M)``: standard exponentials, divided by their sum."""
        drawn = -torch.log1p(-self.uniform(state.divergence))
        return everywhere(drawn / drawn.sum(dim=1, keepdim=True).clamp(min=1e-12))


@STRATEGIES.register_module()
class DroppingWeighting(Drawing):
    """UNIC-style dropping: a sample always keeps the teacher that it is farthest from, others at random.

    ``w_im = keep_im / sum_n keep_in`` with ``keep = 1`` for the teacher of the largest ``KL(student || teacher)``, and
    for the others with probability ``1 - drop``. After the teacher dropping of Sariyildiz et al., "UNIC: universal
    classification models via multi-teacher distillation", ECCV 2024.

    Departure: there the losses are compared, of features alone; here the divergences of the predictions.

    Args:
        drop: Probability, in [0, 1].

    Raises:
        MTKDError: It is none.
    """

    def __init__(self, drop: float = 0.5) -> None:
        if not (isinstance(drop, int | float) and 0 <= drop <= 1):
            raise MTKDError(f'DroppingWeighting: drop is {drop!r}; give a probability in [0, 1]')
        self.drop = drop

    def decide(self, state: State) -> Decision:
        """Weights on the simplex, ``(B, M)``."""
        here = torch.where(state.teaching('logit'), state.divergence, -1.0)
        farthest = here == here.amax(dim=1, keepdim=True)
        kept = (farthest | (self.uniform(here) >= self.drop)).float()
        return everywhere(kept / kept.sum(dim=1, keepdim=True))


@STRATEGIES.register_module()
class ShuffledWeighting(PPOWeighting):
    """A control: PPO's weights, given to other samples of the batch; severities stay where they are.

    Weights have the agent's distribution, and nothing to do with the sample. The agent learns as it does otherwise: its
    rewards are of the actions that it sampled for each sample.

    Args:
        **options: Those of ``PPOWeighting``.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)

    def prepare(self, setting: Setting) -> None:
        """Seeds what is shuffled with, apart from the agent's own random numbers."""
        super().prepare(setting)
        self.random = torch.Generator(setting.device).manual_seed(setting.seed + 1)

    def decide(self, state: State) -> Decision:
        """The agent's weights in another order, ``(B, M)``."""
        decided = super().decide(state)
        device = decided.logit.device
        everybodys = decided.map(global_batch)
        order = own_share(
            lambda samples: torch.rand(samples, generator=self.random, device=device).argsort(), len(decided.logit)
        )
        # what a severity is worth is asked of the sample that had it
        return everybodys.map(lambda x: x[order])._replace(severity=decided.severity)

    def state_dict(self) -> dict[str, Any]:
        """The agent, and where the random numbers stand."""
        return {**super().state_dict(), 'random': self.random.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on from there."""
        super().load_state_dict(state)
        self.random.set_state(state['random'])
