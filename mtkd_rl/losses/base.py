"""What a knowledge loss is, and how one is built from a config."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, overload

from torch import Tensor

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.registry import LOSSES

Kind = Literal['logit', 'feature']


class LogitLoss(Protocol):
    """A loss between the logits of a student and of one teacher, without parameters."""

    kind: ClassVar[Literal['logit']]

    def __call__(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> Tensor:
        """The loss of every sample.

        Args:
            student: Logits, ``(B, C)``, any floating dtype.
            teacher: Logits, ``(B, C)``, likewise.
            target: Soft labels, ``(B, C)``.
            temperature: Above 0.

        Returns:
            ``(B,)``, float32 (float64 for float64 input).
        """
        ...


class FeatureLoss(Protocol):
    """A loss between a feature or an embedding of a student and of one teacher, without parameters.

    Attributes:
        on: What is compared: the tapped ``'feature'`` or the ``'embedding'``.
    """

    kind: ClassVar[Literal['feature']]
    on: ClassVar[Literal['feature', 'embedding']]

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss of every sample.

        Args:
            student: ``(B, D, H, W)``, ``(B, N, D)`` or ``(B, D)``, any floating dtype.
            teacher: The same shape.

        Returns:
            ``(B,)``, float32 (float64 for float64 input).
        """
        ...


@overload
def build_loss(cfg: Mapping[str, Any], kind: Literal['logit']) -> LogitLoss: ...


@overload
def build_loss(cfg: Mapping[str, Any], kind: Literal['feature']) -> FeatureLoss: ...


def build_loss(cfg: Mapping[str, Any], kind: Kind) -> LogitLoss | FeatureLoss:
    """Build a registered loss.

    Args:
        cfg: ``type``, a name in ``LOSSES`` or a class, and the arguments of that class.
        kind: The kind that is wanted, ``'logit'`` or ``'feature'``; the entry of the hook is named ``{kind}_loss``.

    Returns:
        The loss.

    Raises:
        MTKDError: It is no dict with a ``type``, or its name, kind or arguments fit no loss.

    Example:
        >>> build_loss(dict(type='DKD', beta=2.0), 'logit')
        DKD(standardise=False, alpha=1.0, beta=2.0)
    """
    if not isinstance(cfg, Mapping) or 'type' not in cfg:
        raise MTKDError(f'{kind}_loss: {cfg!r} is no dict(type=...); the type is one of {_names("", kind)}')
    arguments = dict(cfg)
    name = arguments.pop('type')
    try:
        loss = LOSSES.get(name) if isinstance(name, str) else name
    except RuntimeError:  # what mmengine raises for a dotted name that it cannot import
        loss = None
    if loss is None:
        raise MTKDError(f'{kind}_loss: there is no loss {name!r}; give one of {_names(name, kind)}')
    if getattr(loss, 'kind', None) != kind:
        raise MTKDError(f'{kind}_loss: {name!r} is not a {kind} loss; give one of {_names("", kind)}')
    try:
        inspect.signature(loss).bind(**arguments)
    except TypeError as error:
        raise MTKDError(f'{kind}_loss: {name!r}: {error}; it takes {inspect.signature(loss)}') from None
    return loss(**arguments)


def _names(wrong: str, kind: Kind) -> str:
    """The registered losses of a kind, those close to a wrong name first."""
    return candidates(wrong, [name for name, loss in LOSSES.module_dict.items() if getattr(loss, 'kind', None) == kind])
