"""What detectors and segmenters of OpenMMLab have in common: features of a neck, and a loss that can be taken by image.

A model runs once. Its own ``loss`` then runs for each picture on slices of what its backbone and neck said, so any head
gives a loss of every picture, also heads that nobody listed here.
"""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar, NamedTuple

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mtkd_rl.degradations import Degradations, PictureDegradations
from mtkd_rl.errors import MTKDError
from mtkd_rl.losses import Says
from mtkd_rl.losses.functional import pool
from mtkd_rl.rng import isolated
from mtkd_rl.taps import Tap, Taps
from mtkd_rl.tasks.base import names_the_teacher, told_as, total
from mtkd_rl.tasks.beside import beside
from mtkd_rl.tasks.classes import Common, classes_in_common, count_classes
from mtkd_rl.tasks.undisturbed import one_process, rows_of, standing_in, undisturbed
from mtkd_rl.teachers import Teacher
from mtkd_rl.types import Batch, Outputs, Points

PARTS = ('backbone', 'neck', 'image_encoder')
"""Children of a model that make its features: they run once, and stand in for themselves afterwards."""


class Said(NamedTuple):
    """The class scores of a model.

    Attributes:
        logits: As its task arranges them, the picture first.
        points: Tensors of the graph that they are made of.
        images: Number of the picture of each of their rows; ``None`` where the first dimension is the picture.
    """

    logits: Tensor
    points: tuple[Tensor, ...]
    images: Tensor | None = None


class Dense:
    """What the tasks of detectors and segmenters share; inherit, and write what is said of logits."""

    temperature: ClassVar[float] = 1.0
    says: ClassVar[tuple[Says, ...]] = ('classes', 'maps')
    logit_loss: ClassVar[dict[str, Any]] = {'type': 'KD'}
    reward: ClassVar[dict[str, Any]] = {'type': 'CreditReward'}
    degradations: ClassVar[Degradations] = PictureDegradations()

    def __init__(self) -> None:
        self.groups = 0
        self.n_classes = 0
        self.common: dict[str, Common] = {}
        self.names: list[str] = []
        self.incomparable: list[str | None] = []

    def meet(self, student: nn.Module, teachers: Sequence[Teacher], classes: Sequence[str] | None) -> list[str | None]:
        """Finds the classes in common, and whose logits correspond."""
        self.n_classes = count_classes(student) or 0
        self.groups = self.n_classes + 1  # the last one of pictures without anything
        for teacher in teachers:
            if not self.accepts(teacher.model):
                raise MTKDError(
                    f'teacher {teacher.name} is a {type(teacher.model).__name__}; a student of the task '
                    f'{type(self).__name__} can learn from models of its own toolbox alone, since they must take its '
                    'annotations'
                )
            counts = self.n_classes, count_classes(teacher.model) or 0
            common = classes_in_common(teacher.name, classes, teacher.classes, counts)
            if common is not None:
                self.common[teacher.name] = common
        self.names = [teacher.name for teacher in teachers]
        self.incomparable = [self.correspond(student, teacher.model) for teacher in teachers]
        return self.incomparable

    def asks(self, teacher: Teacher) -> str:
        """The classes in common, what of the labels is void, and whether its logits are wanted."""
        void = getattr(self, 'void', None)
        return (
            f'{type(self).__name__} {self.n_classes} {self.common.get(teacher.name)} {void} {self.comparable(teacher)}'
        )

    def comparable(self, teacher: Teacher) -> bool:
        """Whether a teacher's logits correspond to the student's."""
        return self.incomparable[self.names.index(teacher.name)] is None

    def keep(self, samples: Sequence[Any]) -> Sequence[Any]:
        """Copies: some heads change the annotations that they are given."""
        return copy.deepcopy(samples)

    @staticmethod
    def accepts(student: nn.Module) -> bool:
        """Whether the student is a model of this task."""
        raise NotImplementedError

    def correspond(self, student: nn.Module, teacher: nn.Module) -> str | None:
        """Why the logits of two models do not correspond; ``None`` where they do."""
        raise NotImplementedError

    def speakers(self, model: nn.Module) -> dict[str, Tap]:
        """Taps for ``said``; empty where a model's logits have no places."""
        raise NotImplementedError

    def said(self, model: nn.Module, records: dict[str, Any], batch: Batch) -> Said | None:
        """The logits that taps recorded of one forward pass; ``None`` where there are none."""
        raise NotImplementedError

    def relabel(self, sample: Any, teacher: Teacher) -> None:
        """Puts the teacher's labels in place of the student's, in a sample that nobody else holds."""
        raise NotImplementedError

    def seen(self, model: nn.Module, said: Any) -> tuple[Tensor, ...]:
        """The levels of the feature, of what neck or backbone said."""
        return tensors_of(said)

    def told(self, teacher: Teacher, features: Any, by_image: list[Said | None], batch: Batch) -> Tensor:
        """A teacher's logits, of what it said about each picture."""
        logits = [each.logits for each in by_image if each is not None]
        return torch.cat(logits) if logits else nothing(batch.inputs)

    def listen(self, model: nn.Module, layer: str | None, owner: str) -> Taps:
        """Taps what makes the features, and the logits.

        Left to itself the feature is what the neck says, else the backbone, at all levels.
        """
        parts = [name for name in PARTS if isinstance(getattr(model, name, None), nn.Module)]
        if not parts and layer is None:
            where = 'student_layer' if owner == 'student' else 'layer'
            raise MTKDError(f'{owner}: it has no backbone to take the feature from; name a layer with `{where}`')
        taps = {**{name: Tap(name) for name in parts}, **self.speakers(model)}
        if layer is not None:
            taps['feature'] = Tap(layer)
        return Taps(model, taps, owner)

    def run(self, model: Any, inputs: Tensor) -> Any:
        """The features of a model, as its own head gets them."""
        return model.extract_feat(inputs)

    def ask(self, teacher: Teacher, taps: Taps, inputs: Tensor, batch: Batch) -> Outputs:
        """Runs a teacher, and takes its loss by image."""
        owner = f'teacher {teacher.name}'
        # some backbones say more in training, and the loss of these heads wants it
        with undisturbed(teacher.model):
            with names_the_teacher(owner, inputs):
                taps.start()
                features = self.run(teacher.model, inputs)
            records = taps.take()
            samples = self.keep(batch.samples)
            for sample in samples:
                self.relabel(sample, teacher)
            with takes_the_annotations(owner):
                losses, by_image = self._by_image(teacher.model, inputs, samples, records, batch, taps)
            logits = self.told(teacher, features, by_image, batch) if self.comparable(teacher) else nothing(inputs)
        return self._outputs(teacher.model, records, logits, losses, owner)

    def outputs(
        self, student: nn.Module, records: dict[str, Any], batch: Batch, losses: dict[str, Any]
    ) -> tuple[Outputs, Points]:
        """The student's own losses are the task's; its loss by image is taken as a teacher's is."""
        said = self.said(student, records, batch)
        samples = self.keep(batch.samples)
        with undisturbed(student):
            by_image, _ = self._by_image(student, batch.inputs, samples, records, batch, None)
        logits = nothing(batch.inputs) if said is None else said.logits
        outputs = self._outputs(student, records, logits, by_image, 'student')
        points = () if said is None else said.points
        images = None if said is None else said.images
        taught = outputs.map(beside)
        # made of the feature as it is taught, so that losses on it pull there too
        taught = taught._replace(embedding=pool(taught.feature[-1]).float())
        return taught, Points(total(losses), points, images, outputs.feature, taught.feature)

    def answer(self, model: Any, inputs: Tensor) -> tuple[Tensor, ...]:
        """The feature, at all levels: what a head makes of it differs from head to head."""
        return tensors_of(self.run(model, inputs))

    def self_loss(
        self, answer: Sequence[Tensor], wanted: Sequence[Tensor], inputs: Tensor, samples: Sequence[Any]
    ) -> Tensor:
        """Mean squared distance from the feature of the clean picture, in units of its variance, ``(B,)``.

        Degraded pictures keep their objects in place, so the feature is to stay what it was.
        """
        losses = [
            (ours.float() - own.float()).square().flatten(1).mean(dim=1) / (own.float().var() + 1e-6)
            for ours, own in zip(answer, wanted)
        ]
        return torch.stack(losses).mean(dim=0)

    def _by_image(
        self,
        model: Any,
        inputs: Tensor,
        samples: Sequence[BaseDataElement],
        records: dict[str, Any],
        batch: Batch,
        taps: Taps | None,
    ) -> tuple[Tensor, list[Said | None]]:
        """The model's own loss of every picture, ``(B,)``, and what it said of each if there are taps; undisturbed."""
        parts = {name: records[name] for name in PARTS if records.get(name) is not None}
        losses, said = [], []
        for i, sample in enumerate(samples):
            alone = {name: rows_of(part, i, len(samples)) for name, part in parts.items()}
            if taps is not None:
                taps.start()
            with (
                standing_in(model, alone),
                one_process(),
                isolated(0),
            ):  # so that a picture's samplers draw the same beside others
                losses.append(total(model.loss(inputs[i : i + 1], [sample])))
            if taps is not None:
                said.append(self.said(model, taps.take(), batch))
        return torch.stack(losses).float(), said

    def _outputs(
        self, model: nn.Module, records: dict[str, Any], logits: Tensor, task_loss: Tensor, owner: str
    ) -> Outputs:
        said = [records[name] for name in ('feature', 'neck', 'image_encoder', 'backbone') if name in records]
        feature = tensors_of(said[0]) if 'feature' in records else self.seen(model, said[0])
        if not feature:
            where = 'student_layer' if owner == 'student' else 'layer'
            raise MTKDError(
                f'{owner}: its tapped layer did not run or gave no tensor; name one of backbone or neck with `{where}`'
            )
        # maps of several branches follow one another, each for all pictures: what is compared is their mean
        size = len(task_loss)
        feature = tuple(x if len(x) == size else x.unflatten(0, (-1, size)).mean(dim=0) for x in feature)
        return Outputs(logits.float(), pool(feature[-1]).float(), feature, task_loss)


def nothing(inputs: Tensor) -> Tensor:
    """The logits of a model that says none, ``(B, 0)``."""
    return inputs.new_zeros(len(inputs), 0)


def takes_the_annotations(owner: str) -> AbstractContextManager[None]:
    """Says whose loss cannot be taken.

    Args:
        owner: Whose it is, such as ``teacher r50``.
    """
    return told_as(
        f"{owner}: its own loss cannot be taken on the student's annotations ({{reason}}); load what it needs in the "
        "student's pipeline, such as LoadAnnotations(with_mask=True)"
    )


def tensors_of(said: Any) -> tuple[Tensor, ...]:
    """All maps ``(B, D, H, W)`` in what a module said; where there are none, all tokens and vectors."""
    flat = _flat(said)
    maps = tuple(x for x in flat if x.dim() == 4)
    return maps or tuple(x for x in flat if x.dim() in (2, 3))


def _flat(said: Any) -> list[Tensor]:
    if isinstance(said, Tensor):
        return [said]
    inner = said.values() if isinstance(said, dict) else said if isinstance(said, list | tuple) else ()
    return [x for each in inner for x in _flat(each)]


def weighed(weight: Tensor) -> Tensor:
    """Weights of places, ``(B, P)``, scaled to a sum of 1 in each picture; all 0 where they were."""
    return weight / weight.sum(dim=1, keepdim=True).clamp(min=1e-12)


def two_classes(logits: Tensor) -> Tensor:
    """Scores of a sigmoid, ``(..., C)``, as logits of yes and no for each class, ``(..., C, 2)``."""
    return torch.stack([logits, torch.zeros_like(logits)], dim=-1)
