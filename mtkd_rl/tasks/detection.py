"""Object detection and instance segmentation with mmdet's detectors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import TASKS
from mtkd_rl.taps import Tap
from mtkd_rl.tasks.base import of_toolbox
from mtkd_rl.tasks.classes import relabelled
from mtkd_rl.tasks.dense import Dense, Said, nothing, two_classes, weighed
from mtkd_rl.tasks.detector_logits import Grid, Regions, grid_of, on_regions, regions_of
from mtkd_rl.teachers import Teacher
from mtkd_rl.types import Batch, Compared, Outputs

PLACES = 512
"""Anchors of a picture whose logits are compared: those where the teachers see most. There can be 200,000."""


@TASKS.register_module()
class Detection(Dense):
    """mmdet's detectors, in one stage or two, with or without masks.

    Class scores are compared where rows correspond: of dense heads on the same grid with the same anchors, and of
    second stages on the student's regions. Detectors of queries (DETR and its like) match each query to an object
    anew, so of them only features are compared.
    """

    @staticmethod
    def accepts(student: nn.Module) -> bool:
        """Whether the student is a detector of mmdet."""
        if not of_toolbox(student, 'mmdet'):
            return False
        from mmdet.models.detectors.base import BaseDetector

        return isinstance(student, BaseDetector)

    def correspond(self, student: nn.Module, teacher: nn.Module) -> str | None:
        """Whether both score the same rows."""
        ours, theirs = scores_of(student), scores_of(teacher)
        if ours is None:
            return "the student's class scores have no rows that could correspond"
        if theirs is None:
            return 'its class scores have no rows that could correspond'
        if ours.meaning() != theirs.meaning():
            return 'it scores other anchors or regions than the student'
        return None

    def speakers(self, model: nn.Module) -> dict[str, Tap]:
        """Taps on the head, and on the regions of a second stage."""
        scores = scores_of(model)
        return {} if scores is None else scores.taps()

    def said(self, model: nn.Module, records: dict[str, Any], batch: Batch) -> Said | None:
        """Scores of all places, ``(B, P, C)``."""
        scores = scores_of(model)
        return None if scores is None else scores.said(records, len(batch.inputs))

    def read(self, inputs: Tensor, samples: Sequence[Any], records: dict[str, Any]) -> Batch:
        """The batch; the group of a picture is the class that most of its objects are of."""
        counts = inputs.new_zeros(len(samples), self.groups)
        counts[:, -1] = 0.5
        for row, sample in zip(counts, samples):
            # a proposal network knows one class only, whatever the labels are
            labels = sample.gt_instances.labels.to(row.device).clamp(max=self.n_classes - 1)
            row.index_add_(0, labels, row.new_ones(len(labels)))
        regions = records.get('regions')
        rois = None if regions is None else regions[1].detach()
        places = self.scores.places(records) if isinstance(self.scores, Grid) else None
        return Batch(inputs, samples, None, counts.argmax(dim=1), rois, places)

    def relabel(self, sample: Any, teacher: Teacher) -> None:
        """Objects of classes that the teacher lacks are left out."""
        common = self.common.get(teacher.name)
        if common is None:
            return
        for field in ('gt_instances', 'ignored_instances'):
            if field in sample and 'labels' in getattr(sample, field):
                instances = getattr(sample, field)
                instances.labels = relabelled(instances.labels, common, self.n_classes, -1)
                setattr(sample, field, instances[instances.labels >= 0])

    def told(self, teacher: Teacher, features: Any, by_image: list[Said | None], batch: Batch) -> Tensor:
        """Of a second stage the student's regions are asked for, not those that the teacher would propose."""
        if isinstance(scores_of(teacher.model), Regions):
            if batch.rois is None:
                return nothing(batch.inputs)
            return on_regions(teacher.model, features, batch)
        logits = super().told(teacher, features, by_image, batch)
        if batch.places is not None and logits.shape[1] != batch.places:
            raise MTKDError(
                f'teacher {teacher.name}: it scores {logits.shape[1]} places of a picture, the student {batch.places}, '
                "as their maps are rounded otherwise; set pad_size_divisor=32 in the student's data_preprocessor, or "
                'logit_loss=None'
            )
        return logits

    def meet(self, student: nn.Module, teachers: Sequence[Teacher], classes: Sequence[str] | None) -> list[str | None]:
        """Also remembers how the student's scores are meant.

        Raises:
            MTKDError: Also where a teacher wants pictures of a size of its own, since boxes are those of the student's.
        """
        for teacher in teachers:
            if teacher.contract.size is not None:
                raise MTKDError(
                    f"teacher {teacher.name}: a detector's pictures cannot be resized, since boxes are those of the "
                    'student; leave input_size out of its entry'
                )
        self.scores = scores_of(student)
        return super().meet(student, teachers, classes)

    def compare(
        self, student: Outputs, teachers: Sequence[Outputs], present: Tensor, batch: Batch
    ) -> tuple[Compared | None, ...]:
        """The places where the teachers see most, each weighed by how surely they see an object there.

        Everywhere else is background to all, in such numbers that it would drown what is to be learnt.
        """
        if self.scores is None or all(reason is not None for reason in self.incomparable):
            return (None,) * len(teachers)
        ours = student.logits
        theirs: list[Tensor | None] = []
        with torch.no_grad():
            seen = torch.zeros_like(ours[:, :, 0])
            for name, reason, here, outputs in zip(self.names, self.incomparable, present.unbind(), teachers):
                # of a teacher that has been dropped for good the shape may be that of an earlier batch
                heard = reason is None and outputs.logits.shape[1] == ours.shape[1]
                logits = self._columns(name, 'teacher', outputs.logits) if heard else None
                theirs.append(logits)
                if logits is not None:
                    seen += here * foreground(logits, self.scores.sigmoid)
            if batch.rois is not None:
                counts = torch.bincount(batch.rois[:, 0].long(), minlength=len(ours)).unsqueeze(1)
                seen *= torch.arange(seen.shape[1], device=seen.device) < counts
            seen, places = seen.topk(min(PLACES, seen.shape[1]), dim=1)
            weight = weighed(seen)
        ours = at(ours, places)
        return tuple(
            None if reason is not None else self._pair(self._columns(name, 'student', ours), logits, places, weight)
            for name, reason, logits in zip(self.names, self.incomparable, theirs)
        )

    def _columns(self, name: str, side: str, logits: Tensor) -> Tensor:
        """The classes that the student and a teacher have in common, with a softmax's background."""
        common = self.common.get(name)
        if common is None:
            return logits
        assert self.scores is not None
        background = [] if self.scores.sigmoid else [logits.shape[2] - 1]
        return logits[:, :, [*getattr(common, side), *background]]

    def _pair(self, ours: Tensor, theirs: Tensor | None, places: Tensor, weight: Tensor) -> Compared:
        """Student and teacher, a sigmoid's classes as rows of yes and no."""
        assert self.scores is not None
        theirs = torch.zeros_like(ours) if theirs is None else at(theirs, places)
        if self.scores.sigmoid:
            weight = weight.repeat_interleave(ours.shape[2], dim=1)
            ours, theirs = two_classes(ours).flatten(1, 2), two_classes(theirs).flatten(1, 2)
        return Compared(ours, theirs, weight, None)


def scores_of(model: nn.Module) -> Grid | Regions | None:
    """Where a detector gives class scores; ``None`` where no rows of another could correspond.

    TridentNet's say everything once a branch in training.
    """
    if hasattr(model, 'num_branch'):
        return None
    return regions_of(model) or grid_of(model)


def foreground(logits: Tensor, sigmoid: bool) -> Tensor:
    """How surely there is an object at each place, ``(B, P)`` of logits ``(B, P, C)``."""
    if sigmoid:
        return torch.sigmoid(logits.amax(dim=2))
    return 1 - torch.softmax(logits, dim=2)[:, :, -1]


def at(logits: Tensor, places: Tensor) -> Tensor:
    """The rows ``(B, K, C)`` of logits ``(B, P, C)`` at some places ``(B, K)``."""
    return logits.gather(1, places.unsqueeze(2).expand(-1, -1, logits.shape[2]))
