"""What a knowledge loss is, and how one is built from a config."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, overload

from torch import Tensor

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import LOSSES, build

Kind = Literal['logit', 'feature']
Says = Literal['classes', 'maps', 'pictures']


class LogitLoss(Protocol):
    """A loss between the logits of a student and of one teacher, without parameters.

    Attributes:
        of: What it compares: scores of ``'classes'``, row by row; ``'maps'`` of these scores over the places of a
            picture; or fused ``'pictures'``, which take the place of logits.
        wants_target: Whether it looks at the target; such a loss is refused where rows of logits have no label.
    """

    kind: ClassVar[Literal['logit']]
    of: ClassVar[Says]
    wants_target: ClassVar[bool]

    def __call__(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> Tensor:
        """The loss of every sample.

        Args:
            student: Logits, ``(B, C)``, any floating dtype; maps of them, ``(B, P, C)`` for P places; or pictures
                ``(B, 1, H, W)`` in [0, 1].
            teacher: The same shape.
            target: Soft labels, ``(B, C)``; zeros where there are none. For maps instead how much each place counts,
                ``(B, P)``, 0 where there is nothing to compare.
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
    where = f'{kind}_loss'
    loss = build(LOSSES, cfg, where)
    if getattr(loss, 'kind', None) != kind:
        names = [name for name, known in LOSSES.module_dict.items() if getattr(known, 'kind', None) == kind]
        raise MTKDError(f'{where}: {cfg["type"]!r} is not a {kind} loss; give one of {", ".join(names)}')
    return loss
