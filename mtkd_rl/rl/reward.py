"""What the agent is told about its decisions: one number a sample."""

import warnings
from typing import Protocol

import torch
from torch import Tensor

from mtkd_rl.parallel import global_mean
from mtkd_rl.registry import REWARDS
from mtkd_rl.rl.credit import standardise_over_teachers
from mtkd_rl.types import Credit, Decision, Feedback


class Reward(Protocol):
    """A reward: called once an iteration, after the student's step."""

    wants_credit: bool
    """Whether ``feedback.credit`` has to be computed."""

    def __call__(self, feedback: Feedback) -> Tensor:
        """The reward of every sample, float32 ``(B,)``."""


def credit_reward(weights: Tensor, scores: Tensor, present: Tensor) -> Tensor:
    """The value of a decision minus the value of equal weights.

    ``r_i = sum_m w_im q_im - (1/M) sum_m q_im`` over the teachers that are present: a difference reward. What is
    common to all teachers of a sample cancels, and shrinking the weights does not raise it.

    Args:
        weights: On the simplex, ``(B, M)``.
        scores: Value of each teacher alone, ``(B, M)``; not looked at where absent.
        present: Bool ``(M,)``.

    Returns:
        ``(B,)``.
    """
    here = present.to(scores.dtype)
    scores = torch.where(present, scores, 0.0)
    return (weights * scores).sum(dim=1) - scores.sum(dim=1) / here.sum().clamp(min=1.0)


def strength_reward(strength: Tensor, weights: Tensor, values: Tensor, present: Tensor) -> Tensor:
    """The value of a strength other than 1: ``r_i = (s_i - 1) sum_m w_im v_im``.

    Unlike between teachers, what is common to all of them does not cancel here: where following them helps at all, more
    of it is better, and where it harms, less.

    Args:
        strength: ``(B,)``.
        weights: On the simplex, ``(B, M)``.
        values: Signed value of following each teacher, ``(B, M)``; brought to a mean square of 1 over what is present.
        present: Bool ``(M,)``.

    Returns:
        ``(B,)``; 0 at strength 1.
    """
    values = torch.where(present, values, 0.0)
    scale = (global_mean(values.square().mean()) * len(present) / present.sum().clamp(min=1)).sqrt()
    return (strength - 1) * (weights * values).sum(dim=1) / (scale + 1e-12)


@REWARDS.register_module()
class CreditReward:
    """How much better the decision was than equal weights, by first-order effects on the student.

    The default of all tasks but classification with one label a picture.

    A teacher's score on a sample is the sum of two terms, each standardised over the teachers of the sample:
    ``alignment``, the cosine of the task's and the teacher's gradients, and ``effect``, the first-order decrease of
    the loss on other samples (``mtkd_rl.rl.credit``). Features have the first term only. Where the
    agent decides the strength too, ``strength_reward`` is added, on the effect where there is one. The rewards of
    logits and features are averaged.

    Args:
        alignment: Factor of the first term.
        effect: Factor of the second term.
    """

    wants_credit = True

    def __init__(self, alignment: float = 1.0, effect: float = 1.0) -> None:
        self.alignment = alignment
        self.effect = effect

    def __call__(self, feedback: Feedback) -> Tensor:
        """The reward of every sample, float32 ``(B,)``."""
        weights = {'logit': feedback.decision.logit, 'feature': feedback.decision.feature}
        rewards = []
        for kind, credit in feedback.credit.items():
            present = feedback.state.teaching(kind)
            values = credit.alignment if credit.effect is None else credit.effect
            by_strength = strength_reward(feedback.decision.strength, weights[kind], values, present)
            rewards.append(credit_reward(weights[kind], self.scores(credit, present), present) + by_strength)
        return torch.stack(rewards).mean(dim=0)

    def scores(self, credit: Credit, present: Tensor) -> Tensor:
        """The value of each teacher alone, ``(B, M)``."""
        scores = self.alignment * standardise_over_teachers(credit.alignment, present)
        if credit.effect is not None:
            scores = scores + self.effect * standardise_over_teachers(credit.effect, present)
        return scores


def combined(weights: Tensor, cosines: Tensor, products: Tensor | None) -> Tensor:
    """The cosine of a combination of vectors with a direction, from the cosines of each.

    ``cos(sum_m w_m g_m, d) = sum_m w_m |g_m| cos_m / |sum_m w_m g_m|``. It is larger than what the vectors have on
    average where what they have beside d in them is not the same: a pool is worth more than its members.

    Args:
        weights: Not negative, ``(B, M)``.
        cosines: Of each vector with the direction, ``(B, M)``.
        products: Inner products of the vectors, ``(B, M, M)``; ``None`` where they are not known: the mean of the
            cosines under the weights.

    Returns:
        ``(B,)`` in [-1, 1]; 0 where the combination vanishes.
    """
    if products is None:
        return (weights * cosines).sum(dim=1)
    lengths = products.diagonal(dim1=1, dim2=2).clamp(min=0.0).sqrt()
    length = torch.einsum('bm,bmn,bn->b', weights, products, weights).clamp(min=0.0).sqrt()
    found = (weights * lengths * cosines).sum(dim=1) / length.clamp(min=1e-12)
    # what is left of vectors that cancel is rounding
    scale = (weights * lengths).sum(dim=1)
    return torch.where(length > 1e-3 * scale, found.clamp(-1.0, 1.0), 0.0)


@REWARDS.register_module()
class CombinedReward:
    """How much better than equal weights the decision as a whole pulls, rather than its members one by one.

    The default of classification with one label a picture (docs/evidence.md).

    ``r_i = a (cos(g_i(w), p_i) - cos(g_i(1/M), p_i)) + b (cos(g_i(w), G h_i) - cos(g_i(1/M), G h_i))`` with ``g_i(w) =
    sum_m w_im g_im`` the gradient of all distillation, p the task's gradient, and ``G h_i`` the direction in which the
    loss on other samples falls fastest (``mtkd_rl.rl.credit``). A sum over teachers, as in ``CreditReward``, is largest
    with all weight on one of them; here several are worth more than the best where their errors cancel. Features have
    the first term alone, and like logits without one label a picture the mean of the cosines under the weights in place
    of the cosine of the sum. Where the agent decides the strength, ``strength_reward`` is added.

    Args:
        alignment: a.
        effect: b.
    """

    wants_credit = True

    def __init__(self, alignment: float = 1.0, effect: float = 1.0) -> None:
        self.alignment = alignment
        self.effect = effect

    def __call__(self, feedback: Feedback) -> Tensor:
        """The reward of every sample, float32 ``(B,)``."""
        weights = {'logit': feedback.decision.logit, 'feature': feedback.decision.feature}
        rewards = []
        for kind, credit in feedback.credit.items():
            present = feedback.state.teaching(kind)
            here = present.to(weights[kind].dtype)
            equal = (here / here.sum().clamp(min=1.0)).expand_as(weights[kind])
            used = torch.where(present, weights[kind], 0.0)
            gain = torch.zeros_like(used[:, 0])
            for factor, cosines in self._cosines(credit):
                cosines = torch.where(present, cosines, 0.0)
                both = (combined(each, cosines, credit.products) for each in (used, equal))
                gain = gain + factor * (next(both) - next(both))
            values = credit.alignment if credit.effect is None else credit.effect
            rewards.append(gain + strength_reward(feedback.decision.strength, weights[kind], values, present))
        return torch.stack(rewards).mean(dim=0)

    def scores(self, credit: Credit, present: Tensor) -> Tensor:
        """The value of each teacher alone, ``(B, M)``."""
        scores = torch.stack([factor * cosines for factor, cosines in self._cosines(credit)]).sum(dim=0)
        return torch.where(present, scores, 0.0)

    def _cosines(self, credit: Credit) -> list[tuple[float, Tensor]]:
        """The two directions' factors, and the cosine of each teacher with them, ``(B, M)``."""
        found = [(self.alignment, credit.alignment)]
        if credit.effect is not None and credit.products is not None and credit.reach is not None:
            lengths = credit.products.diagonal(dim1=1, dim2=2).clamp(min=0.0).sqrt()
            found.append((self.effect, credit.effect / (lengths * credit.reach.unsqueeze(1)).clamp(min=1e-12)))
        return found


@REWARDS.register_module()
class PaperReward:
    """The source paper's reward, for reproduction only: minus the sample's losses, z-scored over the batch, in [0, 1].

    ``r_i = clamp(z(-(CE_i + a sum_m w_im KD_im + b sum_m w_im D_im)), 0, 1)`` as the official code of MTKD-RL (Yang
    et al. 2025) has it. It is taken before the step, so it does not measure what the decision did, and it holds the
    weights themselves, so the teacher that is easiest to imitate wins. Use it to reproduce, not to train.

    Args:
        logit_weight: a, the paper's alpha.
        feature_weight: b, the paper's beta.
    """

    wants_credit = False

    def __init__(self, logit_weight: float = 1.0, feature_weight: float = 5.0) -> None:
        self.logit_weight = logit_weight
        self.feature_weight = feature_weight
        warnings.warn(
            'PaperReward prefers the teacher that is easiest to imitate, not the one that helps; '
            'it is here to reproduce the paper; leave reward out to train',
            stacklevel=2,
        )

    def __call__(self, feedback: Feedback) -> Tensor:
        """The reward of every sample, float32 ``(B,)`` in [0, 1]."""
        loss = feedback.state.student.task_loss
        if feedback.knowledge.logit is not None:
            loss = loss + self.logit_weight * _weighted(feedback.decision, 'logit', feedback.knowledge.logit)
        if feedback.knowledge.feature is not None:
            loss = loss + self.feature_weight * _weighted(feedback.decision, 'feature', feedback.knowledge.feature)
        mean = global_mean(loss.mean())
        z = (mean - loss) / (global_mean((loss - mean).square().mean()).sqrt() + 1e-8)
        return z.clamp(0.0, 1.0)


def _weighted(decision: Decision, kind: str, losses: Tensor) -> Tensor:
    weights = decision.logit if kind == 'logit' else decision.feature
    return (weights * losses).sum(dim=1)
