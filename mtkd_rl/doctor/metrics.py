"""How well a teacher does, as its task measures it. A task that the doctor shall know gets a class in ``EXAMINERS``."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from mtkd_rl.doctor.report import Order
from mtkd_rl.errors import MTKDError
from mtkd_rl.tasks import Classification, Task
from mtkd_rl.types import Batch, Outputs


class Examiner(Protocol):
    """What the doctor asks about a task.

    Attributes:
        metric: Name of the metric.
    """

    metric: ClassVar[str]

    def truth(self, batch: Batch) -> Tensor:
        """What is kept of a batch's labels, on the CPU; its first dimension is the sample."""
        ...

    def answers(self, outputs: Outputs) -> Tensor:
        """What is kept of a model's outputs on a batch, likewise."""
        ...

    def together(self, said: Sequence[Outputs]) -> Tensor:
        """The answers of several models as one, of the mean of their predictions."""
        ...

    def scores(self, answers: Tensor, truth: Tensor) -> Tensor:
        """The metric of every picture, float32 ``(n,)`` in [0, 1]; that of all is the mean."""
        ...

    def chance(self, truth: Tensor, classes: int) -> float:
        """The metric of who knows nothing but how often each class occurs, in [0, 1]."""
        ...

    def order(self, answers: Tensor, truth: Tensor, classes: int) -> Order | None:
        """The order of the teacher's classes that fits best, if that is not the one it has."""
        ...


class Top1:
    """Top-1 accuracy of single-label classification; the label of a soft target is its largest share."""

    metric: ClassVar[str] = 'top-1'

    def truth(self, batch: Batch) -> Tensor:
        """Classes, int64 ``(B,)``."""
        return batch.group.cpu()

    def answers(self, outputs: Outputs) -> Tensor:
        """Classes, int64 ``(B,)``."""
        return outputs.logits.argmax(dim=1).cpu()

    def together(self, said: Sequence[Outputs]) -> Tensor:
        """Classes of the largest mean probability, int64 ``(B,)``."""
        return torch.stack([outputs.logits.softmax(dim=1) for outputs in said]).mean(dim=0).argmax(dim=1).cpu()

    def scores(self, answers: Tensor, truth: Tensor) -> Tensor:
        """1 where the class is right, else 0."""
        return (answers == truth).float()

    def chance(self, truth: Tensor, classes: int) -> float:
        """The share of the most frequent class: what who always says the same one class can reach."""
        return max(1 / classes, float(truth.bincount().max()) / len(truth))

    def order(self, answers: Tensor, truth: Tensor, classes: int) -> Order | None:
        """Assigns outputs to classes on the first half of the pictures (Hungarian method), and tries that on the other.

        Args:
            answers: Classes, int64 ``(n,)``, -1 for none.
            truth: Classes, int64 ``(n,)``, in random order.
            classes: C.

        Returns:
            The order; ``None`` where every output fits its own class best, or nothing is left to try it on.
        """
        half = len(truth) // 2
        said = answers >= 0
        seen = torch.cat([truth[:half], answers[:half][said[:half]]]).unique()
        counts = torch.zeros(classes, classes, dtype=torch.float64)
        first = said.nonzero().squeeze(1)
        first = first[first < half]
        counts.index_put_((answers[first], truth[first]), torch.ones(len(first), dtype=torch.float64), accumulate=True)
        # where nothing tells, an output stays what it is
        counts = counts[seen][:, seen] + torch.eye(len(seen), dtype=torch.float64) / (2 * len(seen) + 1)
        outputs, labels = linear_sum_assignment(counts.numpy(), maximize=True)
        order = torch.arange(classes)
        order[seen[outputs]] = seen[labels]
        moved = order != torch.arange(classes)
        known = torch.isin(truth, truth[:half].unique())
        known[:half] = False
        if not moved.any() or not known.any():
            return None
        now = self.scores(answers, truth)
        then = self.scores(torch.where(said, order[answers.clamp(min=0)], -1), truth)
        of_moved = known & moved[truth]  # a permutation moves as many labels as outputs, and the same ones
        return Order(
            classes=tuple(order.tolist()),
            before=_mean(now[known]),
            after=_mean(then[known]),
            z=paired_z(now[known], then[known]),
            moved_before=_mean(now[of_moved]),
            moved_after=_mean(then[of_moved]),
        )


EXAMINERS: dict[type, Examiner] = {Classification: Top1()}
"""Class of a task to its examiner."""


def examiner_of(task: Task) -> Examiner:
    """The examiner of a task.

    Raises:
        MTKDError: There is none.
    """
    if type(task) not in EXAMINERS:
        known = ', '.join(cls.__name__ for cls in EXAMINERS)
        raise MTKDError(
            f'the doctor knows no metric for {type(task).__name__}, only for {known}; register one in '
            'mtkd_rl.doctor.metrics.EXAMINERS'
        )
    return EXAMINERS[type(task)]


def paired_z(before: Tensor, after: Tensor) -> float:
    """How surely the second of two answers to the same pictures is better.

    ``sum(d) / sqrt(sum(d^2))`` of the differences ``d = after - before``; of right and wrong answers, McNemar's test
    (1947) without its correction.

    Args:
        before: Score of every picture, ``(n,)``.
        after: Likewise.

    Returns:
        About standard normal where both are equally good; 0 where they are the same.
    """
    difference = (after - before).double()
    size = float(difference.square().sum()) ** 0.5
    return float(difference.sum()) / size if size else 0.0


def _mean(values: Tensor) -> float:
    return float(values.mean()) if len(values) else 0.0
