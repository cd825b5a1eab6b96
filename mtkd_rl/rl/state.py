"""What the agent sees: one observation a sample, in one of two encodings. Pure functions of a State."""

from collections.abc import Callable

import torch
from torch import Tensor

from mtkd_rl.types import Comparison, State

FEATURES = (
    'teacher loss',
    'teacher probability of the label',
    'teacher entropy',
    'student loss',
    'student probability of the label',
    'student entropy',
    'similarity of embeddings',
    'divergence of student from teacher',
)


def compact(state: State) -> Tensor:
    """A few scalars a teacher, for an encoder shared by all teachers: small, blind to their order, of any pool.

    Args:
        state: The state of B samples and M teachers.

    Returns:
        ``(B, M, 8)``, the scalars of ``FEATURES``, each about between -1 and 1: losses and divergence as ``log(1 + x)
        / 2``, entropies as shares of ``log C``. Entries of a teacher that is not present are zero.
    """
    asked = list(zip(state.teachers, state.compared))
    teachers = [_scalars(teacher.task_loss, each, None if each is None else each.teacher) for teacher, each in asked]
    student = [_scalars(state.student.task_loss, each, None if each is None else each.student) for _, each in asked]
    pairs = torch.stack([state.similarity, _squash(state.divergence)], dim=2)
    features = torch.cat([torch.stack(teachers, dim=1), torch.stack(student, dim=1), pairs], dim=2)
    return torch.where(state.present[None, :, None], features, 0.0)


def paper(state: State) -> Tensor:
    """The paper's concatenation of all that is known of each teacher (MTKD-RL, Yang et al. 2025, section 3).

    Of every teacher: its embedding, logits (their mean over the places of a picture), task loss, similarity of
    embeddings and divergence of logits.
    It is as wide as the pool's embeddings and classes together, and not blind to the order of the teachers (the pool
    is sorted by name, so the order in a config does not matter; a renamed teacher does).

    Args:
        state: The state of B samples and M teachers.

    Returns:
        ``(B, sum_m (D_m + C + 3))``; the entries of a teacher that is not present are zero.
    """
    parts = []
    for m, (teacher, compared) in enumerate(zip(state.teachers, state.compared)):
        scalars = torch.stack([teacher.task_loss, state.similarity[:, m], state.divergence[:, m]], dim=1)
        said = [] if compared is None else [compared.summary()]
        told = torch.cat([teacher.embedding, *said, scalars], dim=1)
        parts.append(torch.where(state.present[m], told, 0.0))
    return torch.cat(parts, dim=1)


ENCODINGS: dict[str, Callable[[State], Tensor]] = {'compact': compact, 'paper': paper}


def _scalars(task_loss: Tensor, compared: Comparison | None, logits: Tensor | None) -> Tensor:
    """Loss, probability of the label and entropy of every sample, ``(B, 3)``.

    Where there are no labels of logits, the probability is ``exp(-loss)``; where there are no logits, the entropy is 0.
    """
    likely = torch.exp(-task_loss)
    if compared is None or logits is None:
        return torch.stack([_squash(task_loss), likely, torch.zeros_like(task_loss)], dim=1)
    label, entropy = compared.told(logits)
    return torch.stack([_squash(task_loss), likely if label is None else label, entropy], dim=1)


def _squash(x: Tensor) -> Tensor:
    return torch.log1p(x.clamp(min=0.0)) / 2
