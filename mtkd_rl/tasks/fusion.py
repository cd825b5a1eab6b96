"""Infrared-visible fusion with ``mtkd_rl.fusion``'s models; the fused picture takes the place of logits."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mtkd_rl.degradations import Degradations, FusionDegradations
from mtkd_rl.errors import MTKDError
from mtkd_rl.losses import FusedPicture, Says
from mtkd_rl.losses.functional import pool
from mtkd_rl.losses.functional.numerics import as_float
from mtkd_rl.registry import TASKS
from mtkd_rl.taps import Tap, Taps
from mtkd_rl.tasks.base import names_the_teacher
from mtkd_rl.teachers import Teacher
from mtkd_rl.types import Batch, ComparedPictures, Outputs, Points

DARK = 0.25
"""Mean visible luma below which a pair counts as dark, in the statistics of who leads where."""


@TASKS.register_module()
class Fusion:
    """Students and teachers are ``FusionModel``s, each with a network and a loss of its own.

    How good a fused picture is, a teacher's too, says the loss of the student: no other is comparable.
    """

    temperature: ClassVar[float] = 1.0
    says: ClassVar[tuple[Says, ...]] = ('pictures',)
    logit_loss: ClassVar[dict[str, Any]] = {'type': 'FusedPicture'}
    reward: ClassVar[dict[str, Any]] = {'type': 'CreditReward'}
    degradations: ClassVar[Degradations] = FusionDegradations()

    def __init__(self) -> None:
        self.groups = 2
        self._student: Any = None

    @staticmethod
    def accepts(student: nn.Module) -> bool:
        """Whether the student is a fusion model."""
        from mtkd_rl.fusion.models import FusionModel

        return isinstance(student, FusionModel)

    def meet(self, student: nn.Module, teachers: Sequence[Teacher], classes: Sequence[str] | None) -> list[str | None]:
        """Remembers the student, whose loss judges all.

        Raises:
            MTKDError: A teacher is no fusion model, or wants pairs of another size.
        """
        for teacher in teachers:
            if not self.accepts(teacher.model):
                raise MTKDError(
                    f'teacher {teacher.name} is a {type(teacher.model).__name__}, which fuses no pairs of pictures; '
                    'give the config and checkpoint of a FusionModel'
                )
            if teacher.contract.size is not None:
                raise MTKDError(f'teacher {teacher.name}: fusion networks take any size; leave input_size out')
        self._student = student
        return [None] * len(teachers)

    def asks(self, teacher: Teacher) -> str:
        """The student's loss, by which its fused pictures are judged."""
        criterion = self._student.criterion
        settings = {name: value for name, value in vars(criterion).items() if not name.startswith('_')}
        return f'{type(self).__name__} {type(criterion).__name__} {settings}'

    def listen(self, model: nn.Module, layer: str | None, owner: str) -> Taps:
        """Taps the fused picture, and the network's encoder for the feature."""
        return Taps(model, {'fused': Tap('network'), 'feature': Tap(layer or 'network.encoder')}, owner)

    def keep(self, samples: Sequence[Any]) -> Sequence[Any]:
        """The data samples themselves: no loss changes them."""
        return samples

    def read(self, inputs: Tensor, samples: Sequence[Any], records: dict[str, Any]) -> Batch:
        """The pairs; those whose visible picture is dark are one group, the others another."""
        dark = inputs[:, 1].flatten(1).mean(dim=1) < DARK
        return Batch(inputs, samples, None, dark.long())

    def run(self, model: Any, inputs: Tensor) -> Any:
        """The fused pictures of a model."""
        return model.network(inputs)

    def ask(self, teacher: Teacher, taps: Taps, inputs: Tensor, batch: Batch) -> Outputs:
        """A teacher's fused pictures, judged by the student's loss."""
        owner = f'teacher {teacher.name}'
        taps.start()
        with names_the_teacher(owner, inputs):
            self.run(teacher.model, inputs)
        return self._outputs(taps.take(), batch)

    def outputs(
        self, student: nn.Module, records: dict[str, Any], batch: Batch, losses: dict[str, Any]
    ) -> tuple[Outputs, Points]:
        """The student's outputs with their graph."""
        outputs = self._outputs(records, batch)
        loss = outputs.task_loss.sum()
        return outputs, Points(loss, (outputs.logits,), None, outputs.feature, outputs.feature)

    def compare(
        self, student: Outputs, teachers: Sequence[Outputs], present: Tensor, batch: Batch
    ) -> tuple[ComparedPictures | None, ...]:
        """One pair of fused pictures a sample."""
        return tuple(ComparedPictures(student.logits, outputs.logits) for outputs in teachers)

    def answer(self, model: Any, inputs: Tensor) -> tuple[Tensor, ...]:
        """The fused pictures."""
        return (model.network(inputs),)

    def self_loss(
        self, answer: Sequence[Tensor], wanted: Sequence[Tensor], inputs: Tensor, samples: Sequence[Any]
    ) -> Tensor:
        """Half the student's loss against the *clean* sources, half the distance from what it makes of them, ``(B,)``.

        Never a loss against degraded sources: noise would win every maximum.
        """
        fused, own = as_float(answer[0]), as_float(wanted[0])
        distance = FusedPicture()(fused, own, own, self.temperature)
        task_loss: Tensor = self._student.loss_by_sample(fused, as_float(inputs))
        return (task_loss + distance) / 2

    def _outputs(self, records: dict[str, Any], batch: Batch) -> Outputs:
        fused, feature = records['fused'], records['feature']
        with torch.autocast(fused.device.type, enabled=False):
            fused = fused.float()
            loss = self._student.loss_by_sample(fused, batch.inputs.float())
        return Outputs(fused, pool(feature).float(), (feature,), loss)
