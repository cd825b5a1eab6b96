"""Single-label image classification with mmpretrain's classifiers; teachers may be any network that returns logits."""

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtkd_rl.degradations import Degradations, PictureDegradations
from mtkd_rl.errors import MTKDError
from mtkd_rl.losses import Says
from mtkd_rl.losses.functional import kl_divergence, pool
from mtkd_rl.registry import TASKS
from mtkd_rl.taps import Tap, Taps, last_tensor
from mtkd_rl.tasks.base import names_the_teacher, of_toolbox
from mtkd_rl.tasks.classes import columns_by_name
from mtkd_rl.teachers import Teacher
from mtkd_rl.types import Batch, Compared, Outputs, Points


def classifier_layer(model: nn.Module) -> str | None:
    """The name of the layer that makes logits of the embedding: the last linear layer or 1x1 convolution."""
    names = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) or (isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1))
    ]
    return names[-1] if names else None


@TASKS.register_module()
class Classification:
    """mmpretrain's ``ImageClassifier`` and its like, with one label a picture, also soft ones (Mixup, CutMix)."""

    temperature: ClassVar[float] = 4.0
    says: ClassVar[tuple[Says, ...]] = ('classes',)
    logit_loss: ClassVar[dict[str, Any]] = {'type': 'KD'}
    reward: ClassVar[dict[str, Any]] = {'type': 'CombinedReward'}
    degradations: ClassVar[Degradations] = PictureDegradations()

    def __init__(self) -> None:
        self.groups = 0
        self._order: dict[str, tuple[int, Tensor]] = {}

    @staticmethod
    def accepts(student: nn.Module) -> bool:
        """Whether the student is a classifier of mmpretrain with a single-label head."""
        if not of_toolbox(student, 'mmpretrain'):
            return False
        from mmpretrain.models import BaseClassifier, ClsHead, RegressionHead

        head = getattr(student, 'head', None)
        single_label = isinstance(head, ClsHead) and not isinstance(head, RegressionHead)
        return isinstance(student, BaseClassifier) and (single_label or not hasattr(student, 'head'))

    def listen(self, model: nn.Module, layer: str | None, owner: str) -> Taps:
        """Taps the logits, the input of the classifier layer (the embedding) and the feature.

        Logits are what the head says (or the wrapped model, or the whole of a network that is not mmpretrain's). Left
        to itself the feature is the backbone's last output; where there is no ``backbone`` it has to be found by
        running the model (``mtkd_rl.taps.deepest_feature``), and without one the embedding stands in.
        """
        parts = dict(model.named_children())
        speaker = next((part for part in ('head', 'model') if part in parts), '') if self.accepts(model) else ''
        taps = {'logits': Tap(speaker)}
        classifier = classifier_layer(model)
        if classifier is not None:
            taps['embedding'] = Tap(classifier, 'input')
        if layer is None and 'backbone' in parts:
            layer = 'backbone'
        if layer is not None:
            taps['feature'] = Tap(layer)
        return Taps(model, taps, owner)

    def meet(self, student: nn.Module, teachers: Sequence[Teacher], classes: Sequence[str] | None) -> list[str | None]:
        """Finds the columns of teachers that have the student's classes in another order, or more of them, by name.

        Where names do not tell, a teacher's classes are taken to be the student's, in its order.
        """
        for teacher in teachers:
            order = columns_by_name(classes, teacher.classes)
            if order is not None:
                self._order[teacher.name] = len(teacher.classes or ()), torch.tensor(order)
        return [None] * len(teachers)

    def asks(self, teacher: Teacher) -> str:
        """The order of its logits."""
        count, order = self._order.get(teacher.name, (0, None))
        return f'{type(self).__name__} {count} {None if order is None else order.tolist()}'

    def keep(self, samples: Sequence[Any]) -> Sequence[Any]:
        """The annotations themselves: no head changes them."""
        return samples

    def read(self, inputs: Tensor, samples: Sequence[Any], records: dict[str, Any]) -> Batch:
        """The batch with soft labels: ``gt_score`` where batch augmentation made it, else one-hot ``gt_label``."""
        logits = logits_of(records, 'student')
        self.groups = logits.shape[1]
        target = soft_labels(logits, samples)
        # under Mixup the class with the larger share
        return Batch(inputs, samples, target, target.argmax(dim=1))

    def run(self, model: nn.Module, inputs: Tensor) -> Any:
        """Runs a model; mmpretrain's return logits by default, as any other network does."""
        return model(inputs)

    def ask(self, teacher: Teacher, taps: Taps, inputs: Tensor, batch: Batch) -> Outputs:
        """A teacher's outputs, its logits in the order of the student's classes."""
        owner = f'teacher {teacher.name}'
        taps.start()
        with names_the_teacher(owner, inputs):
            self.run(teacher.model, inputs)
        return self._outputs(taps.take(), batch, owner, self._order.get(teacher.name))

    def target(self, batch: Batch) -> Tensor:
        """Soft labels, float32 ``(B, C)``."""
        assert batch.target is not None
        return batch.target

    def task_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        """Cross-entropy with the soft labels, ``(B,)``."""
        return F.cross_entropy(logits, target, reduction='none')

    def outputs(
        self, student: nn.Module, records: dict[str, Any], batch: Batch, losses: dict[str, Any]
    ) -> tuple[Outputs, Points]:
        """The student's outputs; the task's loss is their own cross-entropy, also where the student's is another."""
        outputs = self._outputs(records, batch, 'student', None)
        return outputs, Points(outputs.task_loss.sum(), (outputs.logits,), None, outputs.feature, outputs.feature)

    def compare(
        self, student: Outputs, teachers: Sequence[Outputs], present: Tensor, batch: Batch
    ) -> tuple[Compared | None, ...]:
        """One row a picture."""
        return tuple(Compared(student.logits, outputs.logits, None, batch.target) for outputs in teachers)

    def answer(self, model: Any, inputs: Tensor) -> tuple[Tensor, ...]:
        """The logits, as the head says them."""
        said = model.forward(inputs, mode='tensor')
        return (logits_of({'logits': said}, 'student').float(),)

    def self_loss(
        self, answer: Sequence[Tensor], wanted: Sequence[Tensor], inputs: Tensor, samples: Sequence[Any]
    ) -> Tensor:
        """Half the loss on the label, half the divergence from what the student says of the clean picture, ``(B,)``."""
        logits, own = answer[0], wanted[0]
        batch = self.read(inputs, samples, {'logits': logits})
        distance = kl_divergence(own, logits, self.temperature) * self.temperature**2
        return (self.task_loss(logits, self.target(batch)) + distance) / 2

    def _outputs(self, records: dict[str, Any], batch: Batch, owner: str, order: tuple[int, Tensor] | None) -> Outputs:
        """Outputs of what a model's taps recorded.

        Raises:
            MTKDError: The model has another number of classes than the labels, or the tapped layer gives no tensor.
        """
        target = self.target(batch)
        logits = logits_of(records, owner).float()
        if order is not None and logits.shape[1] == order[0]:
            logits = logits[:, order[1].to(logits.device)]
        if len(logits) != len(target):
            raise MTKDError(
                f'{owner}: its logits are {tuple(logits.shape)} for a batch of {len(target)} pictures; it must answer '
                'with one row a picture'
            )
        if logits.shape != target.shape:
            raise MTKDError(
                f'{owner}: its logits are {tuple(logits.shape)}, the labels {tuple(target.shape)}: it must have the '
                f"student's {target.shape[1]} classes; choose a checkpoint (and num_classes) trained for them"
            )
        seen = last_tensor(records.get('embedding'))
        feature = last_tensor(records.get('feature', seen))
        if feature is None:
            where = 'student_layer' if owner == 'student' else 'layer'
            raise MTKDError(
                f'{owner}: its tapped layer did not run or gave no tensor, and no other was found; name one whose '
                f'output is a tensor with `{where}`'
            )
        embedding = pool(feature if seen is None else seen).float()
        return Outputs(logits, embedding, (feature,), self.task_loss(logits, target))


def soft_labels(logits: Tensor, samples: Sequence[Any]) -> Tensor:
    """``gt_score`` where batch augmentation made it, else one-hot ``gt_label``, float32 of the shape of the logits.

    Raises:
        MTKDError: There is more than one label a picture.
    """
    if 'gt_score' in samples[0]:
        return torch.stack([sample.gt_score for sample in samples]).to(logits.device, torch.float32)
    labels = torch.cat([sample.gt_label for sample in samples]).to(logits.device)
    if len(labels) != len(logits):
        raise MTKDError(
            f'{len(labels)} labels for {len(logits)} pictures: only single-label classification can be '
            'distilled; check gt_label in the data set'
        )
    # F.one_hot would look at the labels, and wait for them
    return torch.zeros_like(logits, dtype=torch.float32).scatter_(1, labels.unsqueeze(1), 1.0)


def logits_of(records: dict[str, Any], owner: str) -> Tensor:
    """The recorded logits; models with two heads (Conformer) are read as they predict, by their sum."""
    said = records.get('logits')
    heads: list[Any] = list(said) if isinstance(said, list | tuple) else [said]
    shapes = {tuple(head.shape) if isinstance(head, Tensor) else type(head).__name__ for head in heads}
    if len(shapes) != 1 or len(shapes.pop()) != 2:
        raise MTKDError(
            f'{owner}: it gives no logits (B, C) but {_told(said)}; only classifiers can be distilled, and their '
            'output must be the logits alone'
        )
    return torch.stack(heads).sum(dim=0) if len(heads) > 1 else heads[0]


def _told(said: Any) -> str:
    """A model's output in a few words: its shape, or its type and what is in it."""
    if isinstance(said, Tensor):
        return str(tuple(said.shape))
    parts = f' of {", ".join(map(_told, said))}' if isinstance(said, list | tuple) else ''
    return type(said).__name__ + parts
