"""Weights with which the teachers' gradients disagree least."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from mtkd_rl.errors import MTKDError, check_number
from mtkd_rl.registry import STRATEGIES
from mtkd_rl.types import Compared, Decision, State
from mtkd_rl.weighting.base import Formula, everywhere

STEPS = 50
FAR = 1e6
"""Square of the gradient of who cannot teach, in units of the largest: nobody wants it in a combination."""


@STRATEGIES.register_module()
class GradientWeighting(Formula):
    """AEKD: the combination of the teachers' gradients on the student's logits that has the smallest norm.

    ``w_i = argmin |sum_m w_m g_im|^2`` over ``sum_m w_m = 1, 0 <= w_m <= most`` with ``g_im = softmax(s_i / T) -
    softmax(t_im / T)``, the gradient of the KL divergence on the student's logits, up to a factor that all teachers
    share. Du et al., "Agree to disagree: adaptive ensemble knowledge distillation in gradient space", NeurIPS 2020.

    Departures: solved for every sample on its own, by 50 moves of weight from one teacher to another with exact line
    search. Features have the weights of the logits, where the paper has a problem of their own for them.

    Args:
        temperature: T.
        most: The largest weight of a teacher, in (0, 1]; with M teachers at least ``1 / M``.

    Raises:
        MTKDError: A number out of its range, here or at the first batch; what teaches is no class logits.
    """

    def __init__(self, temperature: float = 4.0, most: float = 0.6) -> None:
        check_number('GradientWeighting', 'temperature', temperature, low=1e-6)
        if not (isinstance(most, int | float) and 0 < most <= 1):
            raise MTKDError(f'GradientWeighting: most is {most!r}; give a number in (0, 1]')
        self.temperature = temperature
        self.most = most

    def decide(self, state: State) -> Decision:
        """Weights on the simplex, ``(B, M)``."""
        count = len(state.teachers)
        if self.most * count < 1:
            raise MTKDError(
                f'GradientWeighting: most is {self.most} with {count} teachers; give at least {1 / count:.3f}'
            )
        return everywhere(smallest(self._products(state), self.most))

    def _products(self, state: State) -> Tensor:
        """Inner products of the teachers' gradients, ``(B, M, M)``; summed over the places of a picture."""
        pairs = [each for each in state.compared if each is not None]
        if not all(isinstance(each, Compared) for each in pairs):
            raise MTKDError('GradientWeighting: it compares class logits, and fusion has none; take another strategy')
        nothing = torch.zeros_like(state.student.task_loss)

        def product(one: Compared | None, other: Compared | None) -> Tensor:
            if one is None or other is None:
                return nothing
            return one.by_sample((self._pull(one) * self._pull(other)).sum(dim=-1).flatten())

        compared = cast(Sequence[Compared | None], state.compared)
        products = torch.stack([torch.stack([product(a, b) for b in compared], dim=1) for a in compared], dim=1)
        largest = products.amax(dim=(1, 2), keepdim=True).clamp(min=1e-12)
        return products / largest + FAR * torch.diag_embed((~state.teaching('logit')).float())

    def _pull(self, pair: Compared) -> Tensor:
        """A teacher's gradient on the student's logits, of their shape, up to a factor."""
        return (pair.student / self.temperature).softmax(dim=-1) - (pair.teacher / self.temperature).softmax(dim=-1)


def smallest(products: Tensor, most: float) -> Tensor:
    """The weights with which a combination of vectors is shortest.

    Args:
        products: Inner products of the vectors of each row, ``(B, M, M)``.
        most: The largest weight, at least ``1 / M``.

    Returns:
        ``(B, M)`` on the simplex, at most ``most``.
    """
    weights = products.new_full(products.shape[:2], 1 / products.shape[1])
    for _ in range(STEPS):
        slope = torch.einsum('bmn,bn->bm', products, weights)
        # from where weight costs most to where it costs least, as far as helps and is allowed
        source = torch.where(weights > 0, slope, -torch.inf).argmax(dim=1, keepdim=True)
        goal = torch.where(weights < most, slope, torch.inf).argmin(dim=1, keepdim=True)
        one = torch.ones_like(weights[:, :1])
        way = torch.zeros_like(weights).scatter_add(1, goal, one).scatter_add(1, source, -one)
        along = torch.einsum('bm,bmn,bn->b', way, products, way).clamp(min=1e-20)
        room = torch.minimum(weights.gather(1, source), most - weights.gather(1, goal)).squeeze(1)
        step = (-(slope * way).sum(dim=1) / along).clamp(min=0.0).minimum(room)
        weights = weights + step.unsqueeze(1) * way
    return weights.clamp(0.0, most)
