"""Multi-label image classification with mmpretrain's classifiers: each class is a question of its own."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtkd_rl.registry import TASKS
from mtkd_rl.tasks.base import of_toolbox
from mtkd_rl.tasks.classification import Classification, logits_of
from mtkd_rl.tasks.dense import two_classes
from mtkd_rl.types import Batch, Compared, Outputs


@TASKS.register_module()
class MultiLabel(Classification):
    """mmpretrain's classifiers with a multi-label head; logits are compared class by class, as those of sigmoids."""

    temperature: ClassVar[float] = 1.0
    reward: ClassVar[dict[str, Any]] = {'type': 'CreditReward'}

    @staticmethod
    def accepts(student: nn.Module) -> bool:
        """Whether the student is a classifier of mmpretrain with a multi-label head."""
        if not of_toolbox(student, 'mmpretrain'):
            return False
        from mmpretrain.models import BaseClassifier, MultiLabelClsHead

        return isinstance(student, BaseClassifier) and isinstance(getattr(student, 'head', None), MultiLabelClsHead)

    def read(self, inputs: Tensor, samples: Sequence[Any], records: dict[str, Any]) -> Batch:
        """The batch; the group of a picture is the first of its classes."""
        self.groups = logits_of(records, 'student').shape[1]
        batch = Batch(inputs, samples, None, torch.zeros(0))
        return batch._replace(group=self.target(batch).argmax(dim=1))

    def target(self, batch: Batch) -> Tensor:
        """Whether each class is in each picture, float32 ``(B, C)`` in [0, 1]."""
        if 'gt_score' in batch.samples[0]:
            return torch.stack([sample.gt_score for sample in batch.samples]).to(batch.inputs.device, torch.float32)
        target = torch.zeros(len(batch.samples), self.groups, device=batch.inputs.device)
        for row, sample in zip(target, batch.samples):
            row[sample.gt_label.to(row.device)] = 1.0
        return target

    def task_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Binary cross-entropy, summed over the classes as mmpretrain does, ``(B,)``."""
        return F.binary_cross_entropy_with_logits(logits, target, reduction='none').sum(dim=1)

    def compare(
        self, student: Outputs, teachers: Sequence[Outputs], present: Tensor, batch: Batch
    ) -> tuple[Compared | None, ...]:
        """A row of yes and no for each class."""
        target = self.target(batch)
        labels = torch.stack([target, 1 - target], dim=2)
        ours = two_classes(student.logits)
        weight = torch.ones_like(target)
        return tuple(Compared(ours, two_classes(each.logits), weight, labels) for each in teachers)
