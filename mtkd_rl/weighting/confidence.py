"""Teachers that are right count more."""

import torch

from mtkd_rl.registry import STRATEGIES
from mtkd_rl.types import Decision, State
from mtkd_rl.weighting.base import Formula, everywhere


@STRATEGIES.register_module()
class ConfidenceWeighting(Formula):
    """CA-MKD: ``w_im = (1 - softmax_m(CE_im)) / (M - 1)``, CE the teacher's task loss on the sample.

    Zhang et al., "Confidence-aware multi-teacher knowledge distillation", ICASSP 2022. Its weights lie in
    ``[0, 1 / (M - 1)]``: with many teachers they are nearly equal, and with two the worse one may be left out.

    Departure: for features the paper takes the CE of the teacher's own classifier on the student's adapted feature;
    here features have the weights of the logits, since not every teacher has a classifier that takes its feature.
    """

    def decide(self, state: State) -> Decision:
        """Weights on the simplex, ``(B, M)``."""
        count = len(state.teachers)
        if count == 1:
            return everywhere(torch.ones_like(state.divergence))
        return everywhere((1 - state.teacher_loss.softmax(dim=1)) / (count - 1))
