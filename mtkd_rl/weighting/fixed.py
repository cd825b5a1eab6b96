"""Weights that the user sets, or that another run ended with."""

import json
from collections.abc import Mapping
from pathlib import Path

import torch

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.registry import STRATEGIES
from mtkd_rl.types import Decision, State
from mtkd_rl.weighting.base import Formula, Setting


@STRATEGIES.register_module()
class FixedWeighting(Formula):
    """Every sample gets the same weights.

    Args:
        weights: Teacher's name to weight, not negative, used as they are (a sum other than 1 scales all
            distillation); a teacher that is not named gets 0. Or the path of another run's ``distillation.json``, for
            the weights that each teacher had there on average, those of logits and of features.

    Raises:
        MTKDError: A weight is no finite number of at least 0.
    """

    def __init__(self, weights: dict[str, float] | str) -> None:
        if not isinstance(weights, dict | str):
            raise MTKDError(f'FixedWeighting: weights is {weights!r}; give name to weight, or a distillation.json')
        self.weights = weights
        for name, weight in ({} if isinstance(weights, str) else weights).items():
            if not (isinstance(weight, int | float) and 0 <= weight < float('inf')):
                raise MTKDError(
                    f'FixedWeighting: the weight of {name} is {weight!r}; give a finite number of at least 0'
                )

    def prepare(self, setting: Setting) -> None:
        """Orders the weights as the pool is.

        Raises:
            MTKDError: A name that is no teacher's; a run that cannot be read, or had other teachers.
        """
        if isinstance(self.weights, str):
            kinds = {kind: means_of(self.weights, kind, setting.teachers) for kind in setting.kinds}
        else:
            for name in self.weights:
                if name not in setting.teachers:
                    raise MTKDError(
                        f'FixedWeighting: there is no teacher {name!r}; teachers: {candidates(name, setting.teachers)}'
                    )
            kinds = dict.fromkeys(setting.kinds, self.weights)
        self._rows = {
            kind: torch.tensor([float(weights.get(name, 0.0)) for name in setting.teachers], device=setting.device)
            for kind, weights in kinds.items()
        }

    def decide(self, state: State) -> Decision:
        """The weights, ``(B, M)``."""
        rows = {kind: row.expand_as(state.divergence) for kind, row in self._rows.items()}
        one = next(iter(rows.values()))
        return Decision(rows.get('logit', one), rows.get('feature', one), torch.ones_like(one[:, 0]))


def means_of(path: str, kind: str, teachers: tuple[str, ...]) -> Mapping[str, float]:
    """The mean weight of each teacher in a run.

    Args:
        path: Of its ``distillation.json``.
        kind: ``logit`` or ``feature``.
        teachers: Who there has to be.

    Raises:
        MTKDError: The file cannot be read, or has no such weights.
    """
    try:
        mean = json.loads(Path(path).read_text())['mean']
        return {name: mean[f'weight_{kind}/{name}/mean'] for name in teachers}
    except (OSError, ValueError, TypeError) as error:
        raise MTKDError(
            f'FixedWeighting: weights: {" ".join(str(error).split())}; give the distillation.json of a run, or weights'
        ) from None
    except KeyError as error:
        raise MTKDError(
            f'FixedWeighting: weights: {path} has no {error.args[0]}; give a run with these teachers and losses'
        ) from None
