"""Weights that the user sets."""

import torch

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.registry import STRATEGIES
from mtkd_rl.types import Decision, State
from mtkd_rl.weighting.base import Formula, Setting, everywhere


@STRATEGIES.register_module()
class FixedWeighting(Formula):
    """Every sample gets the same weights.

    Args:
        weights: Teacher's name to weight, not negative, used as they are (a sum other than 1 scales all
            distillation). A teacher that is not named gets 0.
    """

    def __init__(self, weights: dict[str, float]) -> None:
        self.weights = weights
        for name, weight in weights.items():
            if not (isinstance(weight, int | float) and 0 <= weight < float('inf')):
                raise MTKDError(
                    f'FixedWeighting: the weight of {name} is {weight!r}; give a finite number of at least 0'
                )

    def prepare(self, setting: Setting) -> None:
        """Orders the weights as the pool is.

        Raises:
            MTKDError: A name that is no teacher's.
        """
        for name in self.weights:
            if name not in setting.teachers:
                raise MTKDError(
                    f'FixedWeighting: there is no teacher {name!r}; teachers: {candidates(name, setting.teachers)}'
                )
        ordered = [float(self.weights.get(name, 0.0)) for name in setting.teachers]
        self._row = torch.tensor(ordered, device=setting.device)

    def decide(self, state: State) -> Decision:
        """The weights, ``(B, M)``."""
        return everywhere(self._row.expand_as(state.divergence))
