"""mmcv's focal losses, ``-alpha (1 - p)^gamma log p`` (Lin et al., 2017, equation 5), and their gradients."""

import torch
import torch.nn.functional as F
from torch import Tensor


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Set ``output`` to the loss of every sample and class.

    Args:
        input: (N, C) logits.
        target: (N,) int64 in [0, C]; C is the background.
        weight: (C,) factors by the sample's target, or empty for none.
        output: Set, (N, C), at least 0.
        gamma: How far easy ones are turned down.
        alpha: Factor of a sample's own class; ``1 - alpha`` of the others.
    """
    p, own = input.sigmoid(), _own(input, target)
    loss = torch.where(own, alpha * (1 - p) ** gamma * _log(p), (1 - alpha) * p**gamma * _log(1 - p))
    output.copy_(-loss * _factor(weight, target)[:, None])


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Set ``grad_input`` (N, C) to the derivative of `sigmoid_focal_loss_forward` by its logit."""
    p, own = input.sigmoid(), _own(input, target)
    positive = alpha * (1 - p) ** gamma * (1 - p - gamma * p * _log(p))
    negative = (1 - alpha) * p**gamma * (gamma * (1 - p) * _log(1 - p) - p)
    grad_input.copy_(-torch.where(own, positive, negative) * _factor(weight, target)[:, None])


def softmax_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float, alpha: float
) -> None:
    """Set ``output`` to the loss of every sample.

    Args:
        input: (N, C) probabilities.
        target: (N,) int64 in [0, C); below 0 the loss is 0.
        weight: (C,) factors by the sample's target, or empty for none.
        output: Set, (N,), at least 0.
        gamma: How far easy ones are turned down.
        alpha: Factor.
    """
    p = _of_target(input, target)
    output.copy_(-alpha * (1 - p) ** gamma * _log(p) * _factor(weight, target))


def softmax_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, buff: Tensor, grad_input: Tensor, gamma: float, alpha: float
) -> None:
    """Set ``grad_input`` (N, C) to the derivative of `softmax_focal_loss_forward` by the logits; ``buff`` is (N,)."""
    p = _of_target(input, target)
    slope = alpha * (gamma * (1 - p) ** (gamma - 1) * p * _log(p) - (1 - p) ** gamma)
    buff.copy_(slope * _factor(weight, target))
    grad_input.copy_(buff[:, None] * (_own(input, target).to(input.dtype) - input))


def _own(input: Tensor, target: Tensor) -> Tensor:
    return target[:, None] == torch.arange(input.size(1), device=input.device)


def _of_target(probabilities: Tensor, target: Tensor) -> Tensor:
    return probabilities.gather(1, target.clamp(min=0)[:, None])[:, 0]


def _log(p: Tensor) -> Tensor:
    return p.clamp(min=torch.finfo(torch.float32).tiny).log()


def _factor(weight: Tensor, target: Tensor) -> Tensor:
    """The samples' factors: 0 below class 0, and 1 for the background, which has none."""
    known = (target >= 0).to(weight.dtype)
    return known * F.pad(weight, (0, 1), value=1.0)[target.clamp(min=0)] if weight.numel() else known
