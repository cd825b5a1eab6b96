"""The registered losses on logits."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from mtkd_rl.registry import LOSSES

from . import functional


@dataclass(frozen=True)
class _OnLogits:
    """A loss on logits, which may be standardised first.

    Args:
        standardise: Take z-scores of both logits over the classes first (Sun et al., 2024). The temperature that suits
            is another one then: the standardised logits have a deviation of 1.
    """

    kind: ClassVar[Literal['logit']] = 'logit'
    of: ClassVar[Literal['classes']] = 'classes'
    wants_target: ClassVar[bool] = False
    standardise: bool = False

    def prepared(self, student: Tensor, teacher: Tensor) -> tuple[Tensor, Tensor]:
        """Both logits ``(B, C)`` as the loss takes them."""
        if not self.standardise:
            return student, teacher
        return functional.standardise(student), functional.standardise(teacher)


@LOSSES.register_module()
@dataclass(frozen=True)
class KD(_OnLogits):
    """``T^2 KL(teacher || student)`` (Hinton et al., 2015); see ``functional.kd``.

    Args:
        standardise: Take z-scores of both logits over the classes first (Sun et al., 2024).
    """

    def __call__(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> Tensor:
        """The loss of every sample, ``(B,)``; ``target`` plays no part."""
        return functional.kd(*self.prepared(student, teacher), temperature)


@LOSSES.register_module()
@dataclass(frozen=True)
class DKD(_OnLogits):
    """Decoupled knowledge distillation (Zhao et al., 2022); see ``functional.dkd``.

    Args:
        standardise: Take z-scores of both logits over the classes first (Sun et al., 2024).
        alpha: Weight of the target class's part, at least 0.
        beta: Weight of the other classes' part, at least 0.
    """

    wants_target: ClassVar[bool] = True
    alpha: float = 1.0
    beta: float = 8.0

    def __call__(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> Tensor:
        """The loss of every sample, ``(B,)``."""
        return functional.dkd(*self.prepared(student, teacher), target, temperature, self.alpha, self.beta)


@LOSSES.register_module()
@dataclass(frozen=True)
class DIST(_OnLogits):
    """Correlation between and within classes (Huang et al., 2022); see ``functional.dist``.

    Args:
        standardise: Take z-scores of both logits over the classes first (Sun et al., 2024).
        beta: Weight of the inter-class part, at least 0.
        gamma: Weight of the intra-class part, at least 0.
    """

    beta: float = 1.0
    gamma: float = 1.0

    def __call__(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> Tensor:
        """The loss of every sample, ``(B,)``; ``target`` plays no part."""
        return functional.dist(*self.prepared(student, teacher), temperature, self.beta, self.gamma)


@LOSSES.register_module()
@dataclass(frozen=True)
class ChannelWiseLogits:
    """Channel-wise distillation of the maps of class scores (Shu et al., 2021); see ``functional.channel_wise_logits``.

    Every class counts alike, however few its pixels are. Only of models that score places: detectors and segmenters.
    """

    kind: ClassVar[Literal['logit']] = 'logit'
    of: ClassVar[Literal['maps']] = 'maps'
    wants_target: ClassVar[bool] = False

    def __call__(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> Tensor:
        """The loss of every sample, ``(B,)``, of maps ``(B, P, C)``; ``target`` is the weight of the places."""
        return functional.channel_wise_logits(student, teacher, target, temperature)
