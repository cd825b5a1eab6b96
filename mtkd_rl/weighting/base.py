"""The Protocol of a weighting strategy."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import STRATEGIES, build
from mtkd_rl.types import Decision, Feedback, State


class Setting(NamedTuple):
    """What a strategy is told before its first decision.

    Attributes:
        teachers: Names of the teachers, in the order of the columns.
        kinds: The kinds of knowledge that are switched on, of ``logit`` and ``feature``.
        seed: For whatever it draws.
        device: The student's.
        degradations: Names of the kinds of degradation whose severity may be decided; empty without self-learning.
        severity: Range of these.
        reward: Config of the task's reward, for a strategy that has not been given another.
    """

    teachers: tuple[str, ...]
    kinds: tuple[str, ...]
    seed: int
    device: torch.device
    degradations: tuple[str, ...] = ()
    severity: tuple[float, float] = (0.0, 1.0)
    reward: dict[str, Any] = {'type': 'CombinedReward'}


class Strategy(Protocol):
    """Sets how much each teacher teaches each sample. A new strategy is one file with one registered class like this.

    One iteration: ``decide`` before the student's backward pass, ``learn`` after its step.
    """

    wants_credit: bool
    """Whether ``learn`` looks at ``feedback.credit`` with its effects, which cost a little to compute."""

    def prepare(self, setting: Setting) -> None:
        """Called once, before the first decision.

        Raises:
            MTKDError: The strategy does not fit the pool.
        """

    def decide(self, state: State) -> Decision:
        """The weights of this batch, on the state's device; an absent teacher is left out by the caller."""

    def learn(self, feedback: Feedback) -> dict[str, Tensor | float]:
        """Learns from what came of a decision.

        Returns:
            Scalars worth showing; tensors are not looked at until they are logged.
        """

    def state_dict(self) -> dict[str, Any]:
        """All that it learnt, as tensors and plain containers."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where ``state_dict`` was taken; after ``prepare``."""


MEMBERS = ('wants_credit', 'prepare', 'decide', 'learn', 'state_dict', 'load_state_dict')
"""What makes a ``Strategy``."""


def build_strategy(config: dict[str, Any]) -> Strategy:
    """The strategy of the hook's ``strategy``.

    Raises:
        MTKDError: It is not registered, takes other arguments, or is no strategy.
    """
    strategy = build(STRATEGIES, config, 'strategy')
    missing = [name for name in MEMBERS if not hasattr(strategy, name)]
    if missing:
        raise MTKDError(
            f'strategy {type(strategy).__name__}: it has no {", ".join(missing)}; inherit from '
            'mtkd_rl.weighting.base.Formula, or write all of mtkd_rl.weighting.base.Strategy'
        )
    return strategy


class Formula:
    """What strategies have in common that learn nothing: inherit, and write ``decide``."""

    wants_credit = False

    def prepare(self, setting: Setting) -> None:
        """Nothing to prepare."""

    def learn(self, feedback: Feedback) -> dict[str, Tensor | float]:
        """Nothing to learn."""
        return {}

    def state_dict(self) -> dict[str, Any]:
        """Nothing to save."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to load."""


def everywhere(weights: Tensor) -> Decision:
    """The decision that uses the same weights ``(B, M)`` for logits and features, at strength 1."""
    return Decision(weights, weights, torch.ones_like(weights[:, 0]))


def leave_out(decision: Decision, logit: Tensor, feature: Tensor) -> Decision:
    """Moves the weights of teachers that cannot teach to the others, sample by sample.

    Args:
        decision: A strategy's decision.
        logit: Who teaches logits, bool ``(M,)``.
        feature: Who teaches features, bool ``(M,)``.

    Returns:
        The same numbers bit by bit where all teach; otherwise each sample's weights, zero for who does not, with the
        sum they had. All zero where nobody teaches, or where those who do had no weight.
    """

    def moved(weights: Tensor, teaching: Tensor) -> Tensor:
        kept = torch.where(teaching, weights, 0.0)
        total = kept.sum(dim=1, keepdim=True)
        shares = kept / torch.where(total > 0, total, 1.0)
        return torch.where(teaching.all(), weights, shares * weights.sum(dim=1, keepdim=True))

    return decision._replace(logit=moved(decision.logit, logit), feature=moved(decision.feature, feature))
