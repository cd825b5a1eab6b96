"""What is handed from stage to stage of one training iteration.

B is the batch size, M the number of teachers, C the number of classes, D the width of an embedding. P is the number of
places in a picture at which a model gives class scores: pixels of a segmenter, anchors or RoIs of a detector.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from mtkd_rl.losses.functional import kl_divergence, ssim


class Batch(NamedTuple):
    """What the student was given, and what is right.

    Attributes:
        inputs: Pictures as the student sees them, ``(B, C, H, W)``, normalised and augmented.
        samples: Their annotations, as the student's ``loss`` gets them.
        target: Soft labels, float32 ``(B, C)``; ``None`` where a picture has no one label.
        group: The group (class) of each sample, int64 ``(B,)``, for the statistics on which teacher leads where.
        rois: Regions on which student and teachers are compared, float ``(R, 5)`` with the number of the picture
            first; ``None`` but for detectors in two stages.
        places: How many places the student scores in each picture; ``None`` where that is not compared.
    """

    inputs: Tensor
    samples: Sequence[Any]
    target: Tensor | None
    group: Tensor
    rois: Tensor | None = None
    places: int | None = None


class Outputs(NamedTuple):
    """What a model, student or teacher, said about one batch.

    Attributes:
        logits: Float32 class scores before softmax or sigmoid: ``(B, C)`` of a classifier, else with places, as the
            task arranges them; ``(B, 0)`` of a model whose scores nothing corresponds to. Of a fusion model, what it
            says is no class: the fused picture ``(B, 1, H, W)`` takes their place.
        embedding: Float32 pooled feature, of a classifier the one that its last layer reads, ``(B, D)``.
        feature: The tapped feature, one entry a level: ``(B, D, H, W)``, ``(B, N, D)`` tokens or ``(B, D)``, in the
            dtype of the model.
        task_loss: Float32 loss of every sample on its label, ``(B,)``.
    """

    logits: Tensor
    embedding: Tensor
    feature: tuple[Tensor, ...]
    task_loss: Tensor

    def tensors(self) -> Iterator[Tensor]:
        """All its tensors; the first dimension of each is the sample."""
        yield from (self.logits, self.embedding, *self.feature, self.task_loss)

    def map(self, change: Callable[[Tensor], Tensor]) -> 'Outputs':
        """The same with every tensor changed."""
        feature = tuple(change(level) for level in self.feature)
        return Outputs(change(self.logits), change(self.embedding), feature, change(self.task_loss))


class Points(NamedTuple):
    """Where in the student's graph the pull of its task and of a teacher are compared.

    Attributes:
        loss: The task's loss, scalar with graph.
        logits: Tensors of the graph that the logits are made of.
        images: Number of the picture of each row of these, int64; ``None`` where the first dimension is the picture.
        feature: The tapped feature, where the task's gradient is taken.
        taught: The same tensors as distillation gets them, where a teacher's is taken: what lies between two levels of
            the feature has no part in it.
    """

    loss: Tensor
    logits: tuple[Tensor, ...]
    images: Tensor | None
    feature: tuple[Tensor, ...]
    taught: tuple[Tensor, ...]


class Compared(NamedTuple):
    """Logits of student and one teacher whose rows correspond.

    Attributes:
        student: ``(B, C)``, or ``(B, P, C)`` with places.
        teacher: The same shape.
        weight: How much each place counts, float32 ``(B, P)``; ``None`` without places.
        target: Soft labels of the shape of the logits; ``None`` where a row has no label.
    """

    student: Tensor
    teacher: Tensor
    weight: Tensor | None
    target: Tensor | None

    def rows(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Student, teacher and target with one row a place, ``(B, C)`` or ``(B * P, C)``."""
        if self.weight is None:
            return self.student, self.teacher, self.target
        target = None if self.target is None else self.target.flatten(0, 1)
        return self.student.flatten(0, 1), self.teacher.flatten(0, 1), target

    def maps(self) -> tuple[Tensor, Tensor, Tensor]:
        """Student and teacher with the places of a picture together, ``(B, P, C)``, and the weight of these."""
        if self.weight is None:
            raise ValueError('maps of logits without places')
        return self.student, self.teacher, self.weight

    def by_sample(self, rows: Tensor) -> Tensor:
        """What was computed of all rows, ``(B,)`` or ``(B * P,)``, as a weighted sum for each sample, ``(B,)``."""
        return rows if self.weight is None else (rows.view_as(self.weight) * self.weight).sum(dim=1)

    def mean(self, rows: Tensor) -> Tensor:
        """The same as a mean; 0 where nothing counts."""
        return rows if self.weight is None else self.by_sample(rows) / self.weight.sum(dim=1).clamp(min=1e-12)

    def detached(self) -> 'Compared':
        """The same without the student's graph."""
        return self._replace(student=self.student.detach())

    def divergence(self) -> Tensor:
        """``KL(student || teacher)`` of the softmax at temperature 1, ``(B,)``."""
        return self.by_sample(kl_divergence(self.student, self.teacher).flatten())

    def entropy(self, logits: Tensor) -> Tensor:
        """Entropy in nats of one side's prediction, ``(B,)``, a mean over places."""
        log_p = torch.log_softmax(logits, dim=-1)
        return self.mean(-(log_p.exp() * log_p).sum(dim=-1).flatten())

    def told(self, logits: Tensor) -> tuple[Tensor | None, Tensor]:
        """Probability of the label and entropy of one side's prediction, ``(B,)`` each, means over places.

        The probability is ``None`` where there are no labels; the entropy is a share of that of equal probabilities.
        """
        log_p = torch.log_softmax(logits, dim=-1)
        p = log_p.exp()
        entropy = self.mean(-(p * log_p).sum(dim=-1).flatten()) / math.log(max(2, logits.shape[-1]))
        return None if self.target is None else self.mean((p * self.target).sum(dim=-1).flatten()), entropy

    def summary(self) -> Tensor:
        """The teacher's logits ``(B, C)``, weighed over a picture's places."""
        if self.weight is None:
            return self.teacher
        share = self.weight / self.weight.sum(dim=1, keepdim=True).clamp(min=1e-12)
        return (self.teacher * share.unsqueeze(2)).sum(dim=1)


class ComparedPictures(NamedTuple):
    """Fused pictures of student and one teacher: what ``Compared`` is for logits.

    Attributes:
        student: ``(B, 1, H, W)``.
        teacher: The same shape.
    """

    student: Tensor
    teacher: Tensor

    def rows(self) -> tuple[Tensor, Tensor, Tensor | None]:
        """Student and teacher; there are no labels."""
        return self.student, self.teacher, None

    def by_sample(self, rows: Tensor) -> Tensor:
        """A picture is a row, ``(B,)``."""
        return rows

    def detached(self) -> 'ComparedPictures':
        """The same without the student's graph."""
        return self._replace(student=self.student.detach())

    def divergence(self) -> Tensor:
        """``1 - SSIM``, ``(B,)`` in [0, 2]."""
        return 1 - ssim(self.student, self.teacher)

    def entropy(self, pictures: Tensor) -> Tensor:
        """A picture has no entropy of classes: its contrast, the standard deviation of its pixels, ``(B,)``."""
        return pictures.flatten(1).std(dim=1, unbiased=False)

    def told(self, pictures: Tensor) -> tuple[Tensor | None, Tensor]:
        """There are no labels; the contrast as a share of that of black and white, ``(B,)`` in [0, 1]."""
        return None, 2 * self.entropy(pictures)

    def summary(self) -> Tensor:
        """Mean and contrast of the teacher's pictures, ``(B, 2)``."""
        return torch.stack([self.teacher.flatten(1).mean(dim=1), self.entropy(self.teacher)], dim=1)


Comparison: TypeAlias = Compared | ComparedPictures
"""What a model says beside what a teacher says."""


class Knowledge(NamedTuple):
    """The unreduced distillation losses of one batch, float32 ``(B, M)``; ``None`` for a kind that is switched off."""

    logit: Tensor | None
    feature: Tensor | None


class Credit(NamedTuple):
    """How good it would be for the student to follow teacher m alone on sample i, float32 ``(B, M)`` each.

    Attributes:
        alignment: Cosine of the task's and the teacher's gradients at the point where the teacher teaches, in [-1, 1].
        effect: First-order decrease of the loss on other training samples through the last layer; ``None`` for
            features.
        products: Inner products of the teachers' gradients, ``(B, M, M)``; ``None`` for features, and where a picture
            has no one label.
        reach: The largest effect that a gradient of length 1 could have, ``(B,)``; ``None`` where there is no effect.
    """

    alignment: Tensor
    effect: Tensor | None
    products: Tensor | None = None
    reach: Tensor | None = None


class State(NamedTuple):
    """What a strategy may look at. Everything is detached.

    Attributes:
        student: The student's outputs.
        teachers: The outputs of the M teachers, in the order of the pool.
        similarity: Cosine of student's (adapted) and teacher's embeddings, ``(B, M)`` in [-1, 1].
        divergence: ``KL(student || teacher)`` of the softmax at temperature 1 (of fused pictures ``1 - SSIM``),
            ``(B, M)``, at least 0; 0 where the logits do not correspond.
        present: False where a teacher's output was not finite, or the teacher is dropped, bool ``(M,)``.
        target: Soft labels, float32 ``(B, C)``; ``None`` where a picture has no one label.
        compared: Each teacher's logits beside the student's; ``None`` where they do not correspond.
        comparable: Whether they do, bool ``(M,)``; the same in every batch.
        group: The group of each sample, int64 ``(B,)``.
        credit: ``logit`` and ``feature`` to the credit of each teacher on each sample; without effects unless the
            strategy wants credit, and empty if there is no guard either. It is of the labels, so an agent that shall
            know more than this batch does must not observe it.
    """

    student: Outputs
    teachers: tuple[Outputs, ...]
    similarity: Tensor
    divergence: Tensor
    present: Tensor
    target: Tensor | None
    compared: tuple[Comparison | None, ...]
    comparable: Tensor
    group: Tensor
    credit: Mapping[str, Credit] = MappingProxyType({})

    def teaching(self, kind: str) -> Tensor:
        """Who can teach this batch a kind of knowledge, bool ``(M,)``."""
        return self.present & self.comparable if kind == 'logit' else self.present

    @property
    def teacher_entropy(self) -> Tensor:
        """Entropy in nats of every teacher's prediction, ``(B, M)``, a mean over places; 0 where none is compared."""
        nothing = torch.zeros_like(self.student.task_loss)
        columns = [nothing if each is None else each.entropy(each.teacher) for each in self.compared]
        return torch.stack(columns, dim=1)

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
        severity: How much of each kind of degradation a sample gets on which the student teaches itself, ``(B, K)`` in
            [0, 1]; ``None`` where the strategy does not say.
    """

    logit: Tensor
    feature: Tensor
    strength: Tensor
    severity: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> 'Decision':
        """The same with every tensor changed."""
        return Decision(*(None if x is None else change(x) for x in self))  # type: ignore[arg-type]


class Feedback(NamedTuple):
    """What a strategy is told after the student's step; everything is detached.

    Attributes:
        state: What it decided on.
        decision: What was done of what it decided: without teachers that were not present or are turned down.
        knowledge: The unreduced losses.
        credit: ``logit`` and ``feature`` to the credit of each teacher on each sample; without effects unless the
            strategy wants credit, and empty if there is no guard either.
        progress: What it was worth that the student taught itself on each sample, ``(B,)``; ``None`` where it did not.
    """

    state: State
    decision: Decision
    knowledge: Knowledge
    credit: dict[str, Credit]
    progress: Tensor | None = None
