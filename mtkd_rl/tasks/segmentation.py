"""Semantic segmentation with mmseg's segmenters."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtkd_rl.registry import TASKS
from mtkd_rl.taps import Tap
from mtkd_rl.tasks.base import of_toolbox
from mtkd_rl.tasks.classes import Common, relabelled
from mtkd_rl.tasks.dense import Dense, Said, tensors_of, two_classes
from mtkd_rl.tasks.detector_logits import first
from mtkd_rl.teachers import Teacher
from mtkd_rl.types import Batch, Compared, Outputs


class Pixels(NamedTuple):
    """Where a segmenter says the class scores of pixels.

    Attributes:
        layer: Name of the module that says them.
        masks: Whether it says masks and the classes of these (MaskFormer and its like) instead of scores.
    """

    layer: str
    masks: bool


@TASKS.register_module()
class Segmentation(Dense):
    """mmseg's segmenters: of one head, of a cascade of heads, and of masks that are classified.

    Logits are compared pixel by pixel on the grid of the student's own, where the label is not void. A pixel counts as
    the student's own loss counts it: by the weight of its class, where there are such weights.
    """

    @staticmethod
    def accepts(student: nn.Module) -> bool:
        """Whether the student is a segmenter of mmseg."""
        if not of_toolbox(student, 'mmseg'):
            return False
        from mmseg.models.segmentors import BaseSegmentor

        return isinstance(student, BaseSegmentor)

    def meet(self, student: nn.Module, teachers: Sequence[Teacher], classes: Sequence[str] | None) -> list[str | None]:
        """Also remembers which label is void, and how much pixels of each class count."""
        self.void = void_of(student)
        given = class_weight_of(student)
        self.class_weight = None if given is None else torch.tensor(given, device=next(student.parameters()).device)
        return super().meet(student, teachers, classes)

    def correspond(self, student: nn.Module, teacher: nn.Module) -> str | None:
        """Pixels correspond whatever the heads are; some heads give no scores of pixels in training."""
        if pixels_of(student) is None:
            return "the student's head gives no scores of pixels"
        return None if pixels_of(teacher) is not None else 'its head gives no scores of pixels'

    def speakers(self, model: nn.Module) -> dict[str, Tap]:
        """A tap on what says the scores."""
        pixels = pixels_of(model)
        return {} if pixels is None else {'scores': Tap(pixels.layer)}

    def said(self, model: nn.Module, records: dict[str, Any], batch: Batch) -> Said | None:
        """Scores of the pixels, ``(B, C, h, w)``."""
        pixels, said = pixels_of(model), records.get('scores')
        if pixels is None or said is None:
            return None
        if not pixels.masks:
            scores = first(said)
            return Said(scores, (scores,))
        classes, masks = (each[-1] for each in said)
        return Said(semantic_logits(classes, masks), (classes, masks))

    def seen(self, model: nn.Module, said: Any) -> tuple[Tensor, ...]:
        """The levels that the head reads, where it says which."""
        index = getattr(last_head(model), 'in_index', None)
        wanted = [index] if isinstance(index, int) else index
        if isinstance(said, list | tuple) and wanted and all(-len(said) <= i < len(said) for i in wanted):
            said = [said[i] for i in wanted]
        return tensors_of(said)

    def read(self, inputs: Tensor, samples: Sequence[Any], records: dict[str, Any]) -> Batch:
        """The batch; the group of a picture is the class that most of its pixels are of."""
        labels = labels_of(samples)
        if labels is None:
            return Batch(inputs, samples, None, torch.zeros(len(samples), dtype=torch.long, device=inputs.device))
        coarse = labels[:, ::4, ::4].flatten(1)
        void = self.groups - 1
        known = (coarse >= 0) & (coarse < void) & (coarse != self.void)
        counts = inputs.new_zeros(len(samples), self.groups, dtype=torch.float32)
        counts.scatter_add_(1, torch.where(known, coarse, void), torch.ones_like(coarse, dtype=torch.float32))
        counts[:, void] *= 1e-6
        return Batch(inputs, samples, None, counts.argmax(dim=1))

    def relabel(self, sample: Any, teacher: Teacher) -> None:
        """Pixels of classes that the teacher lacks are void, and void is what it is to the teacher."""
        common, void = self.common.get(teacher.name), void_of(teacher.model)
        if 'gt_sem_seg' not in sample or (common is None and void == self.void):
            return
        labels = sample.gt_sem_seg.data
        known = labels if common is None else relabelled(labels, common, self.n_classes, void)
        sample.gt_sem_seg.data = known.masked_fill(labels == self.void, void)

    def compare(
        self, student: Outputs, teachers: Sequence[Outputs], present: Tensor, batch: Batch
    ) -> tuple[Compared | None, ...]:
        """Pixels of the student's grid; the teachers' scores are resized to it, and the nearest label is taken."""
        ours = student.logits
        labels = labels_of(batch.samples)
        if ours.dim() != 4 or labels is None:
            return (None,) * len(teachers)
        size = ours.shape[2:]
        labels = F.interpolate(labels.unsqueeze(1).float(), size, mode='nearest').long().flatten(1)
        classes = max(2, ours.shape[1])
        known = (labels >= 0) & (labels < classes) & (labels != self.void)
        target = torch.zeros(*labels.shape, classes, device=ours.device)
        target.scatter_(2, torch.where(known, labels, 0).unsqueeze(2), known.unsqueeze(2).float())
        counts = target.sum(dim=2)
        if self.class_weight is not None and len(self.class_weight) == classes:
            counts = target @ self.class_weight
        # of all labelled pixels: who knows few classes says little, not the same in fewer places
        weight = counts / counts.sum(dim=1, keepdim=True).clamp(min=1e-6)
        return tuple(
            None
            if reason is not None
            else pair(self.common.get(name), ours, F.interpolate(outputs.logits, size, mode='bilinear'), target, weight)
            for name, reason, outputs in zip(self.names, self.incomparable, teachers)
        )


def pair(common: Common | None, ours: Tensor, theirs: Tensor, target: Tensor, weight: Tensor) -> Compared:
    """Student and teacher over the classes in common, at the pixels that are of these."""
    student, teacher = (rows_of_pixels(x) for x in (ours, theirs))
    if common is not None:
        student, teacher = student[:, :, list(common.student)], teacher[:, :, list(common.teacher)]
        target = target[:, :, list(common.student)]
        weight = weight * target.sum(dim=2)
    return Compared(student, teacher, weight, target)


def pixels_of(model: Any) -> Pixels | None:
    """Where a segmenter says the scores of pixels; ``None`` where it does not, or not in training."""
    heads = model.decode_head if isinstance(model.decode_head, nn.ModuleList) else [model.decode_head]
    prefix = 'decode_head.{}' if isinstance(model.decode_head, nn.ModuleList) else 'decode_head'
    for i, head in reversed(list(enumerate(heads))):
        name = prefix.format(i)
        if hasattr(head, 'kernel_update_head'):
            return Pixels(f'{name}.kernel_update_head.{len(head.kernel_update_head) - 1}', masks=False)
        if all(hasattr(head, part) for part in ('cls_embed', 'mask_embed', 'query_embed')):
            return Pixels(name, masks=True)
        if hasattr(head, 'conv_seg'):
            return Pixels(f'{name}.conv_seg', masks=False)
    return None


def last_head(model: Any) -> Any:
    """The head that predicts: of a cascade the last one."""
    return model.decode_head[-1] if isinstance(model.decode_head, nn.ModuleList) else model.decode_head


def void_of(model: Any) -> int:
    """The label that a segmenter leaves out."""
    return int(getattr(last_head(model), 'ignore_index', 255))


def class_weight_of(model: Any) -> Sequence[float] | None:
    """How much the loss of a segmenter counts the pixels of each class; ``None`` where all count alike."""
    losses: Any = getattr(last_head(model), 'loss_decode', None)
    several = losses if isinstance(losses, nn.ModuleList) else [losses]
    found: list[Any] = [getattr(loss, 'class_weight', None) for loss in several]
    weights = next((weight for weight in found if weight is not None), None)
    return None if weights is None else [float(weight) for weight in weights]


def labels_of(samples: Sequence[Any]) -> Tensor | None:
    """Label maps, int64 ``(B, H, W)``; ``None`` where there are none."""
    if 'gt_sem_seg' not in samples[0]:
        return None
    maps = [sample.gt_sem_seg.data for sample in samples]
    return torch.stack([each.reshape(each.shape[-2:]) for each in maps]).long()


def semantic_logits(classes: Tensor, masks: Tensor) -> Tensor:
    """Class scores of pixels from masks with classes: ``log sum_q softmax(c_q) sigmoid(m_q)`` (Cheng et al., 2021).

    Args:
        classes: Scores of each query's class, the last one being no class at all, ``(B, Q, C + 1)``.
        masks: Scores of each query's mask, ``(B, Q, h, w)``.

    Returns:
        ``(B, C, h, w)``.
    """
    share = torch.softmax(classes.float(), dim=-1)[..., :-1]
    return torch.einsum('bqc,bqhw->bchw', share, masks.float().sigmoid()).clamp(min=1e-6).log()


def rows_of_pixels(scores: Tensor) -> Tensor:
    """Scores ``(B, C, h, w)`` as rows ``(B, h w, C)``; a single score as logits of yes and no, no being class 0."""
    rows = scores.flatten(2).transpose(1, 2)
    return two_classes(rows.squeeze(2)).flip(2) if rows.shape[2] == 1 else rows
