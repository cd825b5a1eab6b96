"""What is handed from stage to stage of one training iteration.

B is the batch size, M the number of teachers, C the number of classes, D the width of an embedding.
"""

from typing import NamedTuple

import torch
from torch import Tensor


class Outputs(NamedTuple):
    """What a model, student or teacher, said about one batch.

    Attributes:
        logits: Float32 class scores before softmax, ``(B, C)``.
        embedding: Float32 pooled feature that the classifier layer reads, ``(B, D)``.
        feature: The tapped feature: ``(B, D, H, W)``, ``(B, N, D)`` tokens or ``(B, D)``, in the dtype of the model.
        task_loss: Float32 loss of every sample on its label, ``(B,)``.
    """

    logits: Tensor
    embedding: Tensor
    feature: Tensor
    task_loss: Tensor


class Knowledge(NamedTuple):
    """The unreduced distillation losses of one batch, float32 ``(B, M)``; ``None`` for a kind that is switched off."""

    logit: Tensor | None
    feature: Tensor | None


class State(NamedTuple):
    """What a strategy may look at. Everything is detached.

    Attributes:
        student: The student's outputs.
        teachers: The outputs of the M teachers, in the order of the pool.
        similarity: Cosine of student's (adapted) and teacher's embeddings, ``(B, M)`` in [-1, 1].
        divergence: ``KL(student || teacher)`` of the softmax at temperature 1, ``(B, M)``, at least 0.
        present: False where a teacher's output was not finite, or the teacher is dropped, bool ``(M,)``.
        target: Soft labels, float32 ``(B, C)``.
    """

    student: Outputs
    teachers: tuple[Outputs, ...]
    similarity: Tensor
    divergence: Tensor
    present: Tensor
    target: Tensor

    @property
    def teacher_loss(self) -> Tensor:
        """Task loss of every sample under every teacher, ``(B, M)``."""
        return torch.stack([teacher.task_loss for teacher in self.teachers], dim=1)


class Decision(NamedTuple):
    """How much each teacher teaches each sample.

    Attributes:
        logit: Weights of the logit losses, ``(B, M)``, not negative.
        feature: Weights of the feature losses, ``(B, M)``, not negative.
        strength: Factor on all of a sample's distillation, ``(B,)``, not negative.
    """

    logit: Tensor
    feature: Tensor
    strength: Tensor


class Credit(NamedTuple):
    """How good it would be for the student to follow teacher m alone on sample i, float32 ``(B, M)`` each.

    Attributes:
        alignment: Cosine of the task's and the teacher's gradients at the point where the teacher teaches, in [-1, 1].
        effect: First-order decrease of the loss on other training samples through the last layer; ``None`` for
            features.
    """

    alignment: Tensor
    effect: Tensor | None


class Feedback(NamedTuple):
    """What a strategy is told after the student's step; everything is detached.

    Attributes:
        state: What it decided on.
        decision: What was done of what it decided: without teachers that were not present or are turned down.
        knowledge: The unreduced losses.
        credit: ``logit`` and ``feature`` to the credit of each teacher on each sample; without effects unless the
            strategy wants credit, and empty if there is no guard either.
    """

    state: State
    decision: Decision
    knowledge: Knowledge
    credit: dict[str, Credit]
