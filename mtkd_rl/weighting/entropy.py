"""Confident teachers count more."""

from mtkd_rl.registry import STRATEGIES
from mtkd_rl.types import Decision, State
from mtkd_rl.weighting.base import Formula, everywhere


@STRATEGIES.register_module()
class EntropyWeighting(Formula):
    """EBKD: ``w_im = softmax_m(-H(t_im))``, H the entropy in nats of the teacher's prediction.

    Kwon et al., "Adaptive knowledge distillation based on entropy", ICASSP 2020. It looks at no label, so a teacher
    that is sure and wrong counts as much as one that is sure and right. Fused pictures have contrast for it.
    """

    def decide(self, state: State) -> Decision:
        """Weights on the simplex, ``(B, M)``."""
        return everywhere((-state.teacher_entropy).softmax(dim=1))
