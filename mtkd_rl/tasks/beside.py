"""A way into the student's graph that leaves its own gradients bit by bit what they were."""

from typing import Any

import torch
from torch import Tensor


def beside(x: Tensor) -> Tensor:
    """The same tensor, for losses that are no part of the student's own.

    Where several gradients meet, autograd keeps the memory layout of the first that arrives, and what is summed further
    back (a bias, say) is summed in its order. Distillation's arrive first, as their nodes are the youngest. So
    they are set aside here, and added to the student's own once that is there.

    Args:
        x: Of the student's graph; one that needs no gradient is returned as it is.

    Returns:
        A view of it.
    """
    if not x.requires_grad:
        return x
    aside: list[Tensor] = []

    def add(own: Tensor) -> Tensor | None:
        if not aside:
            return None
        given = sum(aside[1:], aside[0])
        aside.clear()
        return own + given

    x.register_hook(add)
    return _Aside.apply(x, aside)


class _Aside(torch.autograd.Function):
    """Keeps the gradient in a list, and hands on zeros that have no layout of their own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, aside: list[Tensor]) -> Tensor:
        ctx.aside = aside
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        ctx.aside.append(gradient)
        return gradient.new_zeros(()).expand(gradient.shape), None
