"""A classification problem without a network: logits are made, and what the teachers know is set."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mtkd_rl.losses.functional import kd, kl_divergence
from mtkd_rl.rl.credit import CreditAssigner
from mtkd_rl.rl.state import compact
from mtkd_rl.types import Compared, Feedback, Knowledge, Outputs, Points, State
from mtkd_rl.weighting import PPOWeighting
from mtkd_rl.weighting.base import Setting

N_CLASSES = 10
Right = Callable[[Tensor], Tensor]
"""Labels ``(B,)`` to who is right, bool ``(B, M)``."""


def one_is_right(labels: Tensor) -> Tensor:
    """The first of three teachers is always right, the others never, but by chance."""
    return torch.tensor([True, False, False]).expand(len(labels), 3)


def each_knows_a_third(labels: Tensor) -> Tensor:
    """Each of three teachers is right on the labels that leave its number divided by three."""
    return torch.stack([labels % 3 == m for m in range(3)], dim=1)


def all_or_none(labels: Tensor) -> Tensor:
    """All three teachers are right on the labels below five, and none on the others."""
    return (labels < 5).unsqueeze(1).expand(len(labels), 3)


def state_of(
    student: Outputs,
    teachers: tuple[Outputs, ...],
    similarity: Tensor,
    divergence: Tensor,
    present: Tensor,
    target: Tensor,
) -> State:
    """The state of a classification problem."""
    compared = tuple(Compared(student.logits, each.logits, None, target) for each in teachers)
    everyone = torch.ones_like(present)
    group = target.argmax(dim=1)
    return State(student, teachers, similarity, divergence, present, target, compared, everyone, group)


def points_of(student: Outputs) -> Points:
    """Where the gradients of a classifier are compared."""
    return Points(student.task_loss.sum(), (student.logits,), None, student.feature, student.feature)


def outputs(logits: Tensor, labels: Tensor, embedding: Tensor) -> Outputs:
    loss = torch.nn.functional.cross_entropy(logits, labels, reduction='none')
    return Outputs(logits, embedding, (embedding,), loss)


def batch(right: Right, rng: torch.Generator, size: int = 64) -> tuple[State, Knowledge, Outputs, Tensor, Tensor]:
    """A batch in which the student knows a little, and each teacher is right or says something wrong at random."""
    labels = torch.randint(N_CLASSES, (size,), generator=rng)
    knows = right(labels)
    direction = torch.randn(N_CLASSES, 16, generator=torch.Generator().manual_seed(5))
    embedding = direction[labels] + 2 * torch.randn(size, 16, generator=rng)
    logits = (embedding @ direction.T / 16 + 0.3 * torch.randn(size, N_CLASSES, generator=rng)).requires_grad_()
    student = outputs(logits, labels, embedding)
    teachers = []
    for m in range(knows.shape[1]):
        wrong = (labels + torch.randint(1, N_CLASSES, (size,), generator=rng)) % N_CLASSES
        said = torch.where(knows[:, m], labels, wrong)
        peaked = 4 * torch.nn.functional.one_hot(said, N_CLASSES) + torch.randn(size, N_CLASSES, generator=rng)
        teachers.append(outputs(peaked, labels, embedding))
    target = torch.nn.functional.one_hot(labels, N_CLASSES).float()
    losses = Knowledge(torch.stack([kd(logits, teacher.logits, 4.0) for teacher in teachers], dim=1), None)
    detached = student.map(torch.Tensor.detach)
    divergence = torch.stack([kl_divergence(detached.logits, teacher.logits) for teacher in teachers], dim=1)
    present = torch.ones(len(teachers), dtype=torch.bool)
    state = state_of(detached, tuple(teachers), torch.zeros_like(divergence), divergence, present, target)
    return state, losses, student, target, knows


def train(
    right: Right,
    seed: int,
    iterations: int,
    shuffle: bool = False,
    kind: type[Any] = PPOWeighting,
    **options: object,
) -> tuple[Any, torch.Generator]:
    """Lets an agent decide and learn; with ``shuffle`` the rewards are dealt out to the samples at random."""
    rng = torch.Generator().manual_seed(1000 + seed)
    strategy = kind(**options)
    strategy.prepare(Setting(('a', 'b', 'c'), ('logit',), seed, torch.device('cpu')))
    if shuffle:
        honest = strategy.reward

        class Shuffled:
            wants_credit = True

            def __call__(self, feedback: Feedback) -> Tensor:
                reward = honest(feedback)
                # to any sample but its own: with a plain permutation one reward a batch stays where it was
                return reward.roll(int(torch.randint(1, len(reward), (), generator=rng)))

        strategy.reward = Shuffled()
    credit = CreditAssigner()
    for _ in range(iterations):
        state, knowledge, student, target, _ = batch(right, rng)
        decision = strategy.decide(state)
        columns = dict(logit=knowledge.logit.unbind(1))
        given = credit(student, points_of(student), target, columns) if strategy.wants_credit else {}
        strategy.learn(Feedback(state, decision, Knowledge(knowledge.logit.detach(), None), given))
    return strategy, rng


def judge(strategy: PPOWeighting, right: Right, rng: torch.Generator, explore: bool) -> tuple[Tensor, Tensor]:
    """How the agent decides on 2,000 new samples.

    Args:
        strategy: What has learnt.
        right: Who is right.
        rng: Of the samples.
        explore: Look at sampled actions, so that a lead within the noise is none; else at what teaches the student.

    Returns:
        Mean weight of each teacher, ``(3,)``, and the share of samples on which the leading teacher is the right one.
    """
    state, _, _, _, knows = batch(right, rng, 2000)
    if explore:
        assert strategy.agent is not None
        _, sampled = strategy.agent.act(compact(state).flatten(1))
        weights = strategy.agent.layout.decide(sampled.action).logit
    else:
        weights = strategy.decide(state).logit
    leads = knows.gather(1, weights.argmax(dim=1, keepdim=True))
    return weights.mean(dim=0), leads.float().mean()
