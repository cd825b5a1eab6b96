"""The registered losses on features and embeddings."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import LOSSES

from . import functional


@LOSSES.register_module()
@dataclass(frozen=True)
class MSE:
    """Mean squared error of features; see ``functional.mse``."""

    kind: ClassVar[Literal['feature']] = 'feature'
    on: ClassVar[Literal['feature', 'embedding']] = 'feature'

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of every sample, ``(B,)``."""
        return functional.mse(student, teacher)


@LOSSES.register_module()
@dataclass(frozen=True)
class ChannelWiseKL:
    """Channel-wise distillation (Shu et al., 2021); see ``functional.channel_wise_kl``.

    Args:
        temperature: Of the softmax over positions, above 0; not the one of the logits.

    Raises:
        MTKDError: The temperature is not above 0.
    """

    kind: ClassVar[Literal['feature']] = 'feature'
    on: ClassVar[Literal['feature', 'embedding']] = 'feature'
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if not self.temperature > 0:
            raise MTKDError(f'feature_loss: ChannelWiseKL(temperature={self.temperature}): give a number above 0')

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of every sample, ``(B,)``."""
        return functional.channel_wise_kl(student, teacher, self.temperature)


@LOSSES.register_module()
@dataclass(frozen=True)
class PKD:
    """Pearson's correlation of each channel (Cao et al., 2022); see ``functional.pkd``."""

    kind: ClassVar[Literal['feature']] = 'feature'
    on: ClassVar[Literal['feature', 'embedding']] = 'feature'

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of every sample, ``(B,)``."""
        return functional.pkd(student, teacher)


@LOSSES.register_module()
@dataclass(frozen=True)
class Cosine:
    """``1 - cos`` of embeddings; see ``functional.cosine``."""

    kind: ClassVar[Literal['feature']] = 'feature'
    on: ClassVar[Literal['feature', 'embedding']] = 'embedding'

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of every sample, ``(B,)``."""
        return functional.cosine(student, teacher)
