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
    """The default: how much better the decision was than equal weights, by first-order effects on the student.

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
            'it is here to reproduce the paper, CreditReward is the one to train with',
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
