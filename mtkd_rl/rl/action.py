"""From the agent's action, reals in [-1, 1], to a decision."""

from typing import NamedTuple

import torch
from torch import Tensor

from mtkd_rl.types import Decision


class ActionLayout(NamedTuple):
    """What the entries of an action mean: a score a teacher for each kind of knowledge, then what all share.

    Attributes:
        kinds: The kinds that are weighted, ``logit`` and/or ``feature``.
        teachers: M.
        strength: Range of the strength, or ``None`` for a strength of 1 that is not decided.
        scale: Scores are multiplied by it before the softmax, so that actions in [-1, 1] reach the corners of the
            simplex: over three teachers a scale of 1 cannot pass 0.787, one of 5 reaches 0.9999.
        severities: Kinds of degradation whose severity is decided, K; the last K entries, after the strength.
        severity: Range of the severities.
    """

    kinds: tuple[str, ...]
    teachers: int
    strength: tuple[float, float] | None = None
    scale: float = 5.0
    severities: int = 0
    severity: tuple[float, float] = (0.0, 1.0)

    @property
    def per_teacher(self) -> int:
        """Entries a teacher."""
        return len(self.kinds)

    @property
    def shared(self) -> int:
        """Entries that belong to no teacher."""
        return (0 if self.strength is None else 1) + self.severities

    @property
    def width(self) -> int:
        """Entries in all."""
        return self.per_teacher * self.teachers + self.shared

    def decide(self, action: Tensor) -> Decision:
        """The decision that an action stands for.

        Args:
            action: ``(B, width)``, clipped to [-1, 1] here: first M scores of the first kind, then of the next, then
                the strength and the severities, 0 being the middle of their ranges.

        Returns:
            Weights on the simplex. A kind that is not weighted follows the one that is.
        """
        action = action.clamp(-1.0, 1.0)
        scores = action[:, : self.per_teacher * self.teachers].unflatten(1, (self.per_teacher, self.teachers))
        weights = dict(zip(self.kinds, torch.softmax(self.scale * scores, dim=2).unbind(dim=1)))
        first = weights[self.kinds[0]]
        strength = torch.ones_like(first[:, 0])
        shared = (action[:, self.per_teacher * self.teachers :] + 1) / 2
        if self.strength is not None:
            strength = _within(self.strength, shared[:, 0])
        severity = _within(self.severity, shared[:, -self.severities :]) if self.severities else None
        return Decision(weights.get('logit', first), weights.get('feature', first), strength, severity)


def _within(ends: tuple[float, float], share: Tensor) -> Tensor:
    low, high = ends
    return low + (high - low) * share
