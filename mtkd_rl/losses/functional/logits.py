"""Losses between the logits of a student and of a teacher, one value a sample."""

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

from .numerics import as_float, centred_direction


def kl_divergence(logits_p: Tensor, logits_q: Tensor, temperature: float = 1.0) -> Tensor:
    """``KL(softmax(p / T) || softmax(q / T))`` over the last dimension, without a factor of ``T^2``.

    Args:
        logits_p: ``(..., C)``, any floating dtype, finite.
        logits_q: ``(..., C)``, likewise.
        temperature: T, above 0.

    Returns:
        ``(...)``, float32 (float64 where an input is float64), at least 0: what rounding takes below 0 is 0.

    Example:
        >>> kl_divergence(torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 1.0986123]]))  # (1/2, 1/2) from (1/4, 3/4)
        tensor([0.1438])
    """
    log_p = log_softmax(as_float(logits_p) / temperature, dim=-1)
    log_q = log_softmax(as_float(logits_q) / temperature, dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(-1).clamp_min(0)


def kd(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """Knowledge distillation (Hinton et al., 2015): ``T^2 KL(softmax(t / T) || softmax(s / T))``.

    Args:
        student: Logits s, ``(B, C)``, any floating dtype.
        teacher: Logits t, ``(B, C)``, likewise.
        temperature: T, above 0. The factor ``T^2`` keeps the size of the gradient independent of it.

    Returns:
        ``(B,)``, float32 or float64, at least 0.
    """
    return temperature**2 * kl_divergence(teacher, student, temperature)


def dkd(
    student: Tensor, teacher: Tensor, target: Tensor, temperature: float, alpha: float = 1.0, beta: float = 8.0
) -> Tensor:
    """Decoupled knowledge distillation (Zhao et al., 2022): ``T^2 (alpha TCKD + beta NCKD)``.

    With the softmax at temperature T split at the target class k, TCKD is ``KL(teacher || student)`` of the two
    probabilities (class k, any other class), and NCKD that of the softmax over the other classes alone.
    ``beta = 1 - softmax(t / T)_k`` with ``alpha = 1`` would give ``kd`` again.

    Args:
        student: Logits, ``(B, C)`` with C at least 2, any floating dtype.
        teacher: Logits, ``(B, C)``, likewise.
        target: Soft labels, ``(B, C)``. The loss knows one target class a sample: that of the largest label. So under
            Mixup and CutMix it is the class of the larger share, the first of them where shares are equal.
        temperature: T, above 0.
        alpha: Weight of TCKD, at least 0.
        beta: Weight of NCKD, at least 0.

    Returns:
        ``(B,)``, float32 or float64, at least 0.
    """
    label = target.argmax(dim=1, keepdim=True)
    # Columns picked by index, not by a mask: selecting with a mask waits for the device.
    column = torch.arange(target.shape[1] - 1, device=target.device).expand(len(target), -1)
    column = column + (column >= label)

    def split(logits: Tensor) -> tuple[Tensor, Tensor]:
        scaled = as_float(logits) / temperature
        others = scaled.gather(1, column)
        return torch.cat([scaled.gather(1, label), others.logsumexp(dim=1, keepdim=True)], dim=1), others

    student_binary, student_others = split(student)
    teacher_binary, teacher_others = split(teacher)
    tckd = kl_divergence(teacher_binary, student_binary)
    nckd = kl_divergence(teacher_others, student_others)
    return temperature**2 * (alpha * tckd + beta * nckd)


def dist(student: Tensor, teacher: Tensor, temperature: float = 1.0, beta: float = 1.0, gamma: float = 1.0) -> Tensor:
    """Distillation from a stronger teacher (DIST; Huang et al., 2022), each sample's share of it.

    With ``p = softmax(s / T)``, ``q = softmax(t / T)`` and Pearson's r, the published loss of a batch is::

        beta T^2 mean_i (1 - r(p[i, :], q[i, :])) + gamma T^2 mean_c (1 - r(p[:, c], q[:, c]))

    The first, inter-class part belongs to samples already. The second, intra-class part relates the samples of a batch.
    With a and b the columns of p and q, centred and scaled to length 1, ``1 - r = sum_i (a_i - b_i)^2 / 2``. So sample
    i gets ``B (a_i - b_i)^2 / 2``: not negative, and its mean over the batch is the published loss.
    A column that is constant over the batch has r = 0 with any other. A batch of one has no intra-class part.

    Args:
        student: Logits s, ``(B, C)``, any floating dtype.
        teacher: Logits t, ``(B, C)``, likewise.
        temperature: T, above 0. The factor ``T^2`` is the official code's.
        beta: Weight of the inter-class part, at least 0.
        gamma: Weight of the intra-class part, at least 0.

    Returns:
        ``(B,)``, float32 or float64, at least 0 up to rounding.
    """
    p = (as_float(student) / temperature).softmax(dim=1)
    q = (as_float(teacher) / temperature).softmax(dim=1)
    loss = beta * (1 - (centred_direction(p, 1) * centred_direction(q, 1)).sum(1))
    if len(p) > 1:
        a, b = centred_direction(p, 0), centred_direction(q, 0)
        # 0 where both columns vary; what is missing to 1 - r = 1 where one is constant.
        constant = 1 - (a.square().sum(0) + b.square().sum(0)) / 2
        loss = loss + gamma * (len(p) / 2 * (a - b).square() + constant).mean(1)
    return temperature**2 * loss


def channel_wise_logits(student: Tensor, teacher: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Channel-wise distillation of class scores (CWD; Shu et al., 2021).

    ``T^2 mean_c KL(softmax(t_c / T) || softmax(s_c / T))``, where the softmax of class c goes over the places of the
    picture that count. So a class weighs the same whether it fills the picture or a corner of it.

    Args:
        student: Scores of C classes at P places, ``(B, P, C)``, any floating dtype.
        teacher: The same shape.
        weight: ``(B, P)``; places of weight 0 are left out, the others count alike.
        temperature: T, above 0.

    Returns:
        ``(B,)``, float32 or float64, at least 0; 0 of a picture of which no place counts.
    """
    counts = (weight > 0).unsqueeze(1)
    known = counts.any(dim=2, keepdim=True)
    counts = counts | ~known  # of nothing there is no softmax: taken of everything, and left out at the end

    def log_shares(scores: Tensor) -> Tensor:
        scaled = as_float(scores).transpose(1, 2) / temperature
        total = scaled.masked_fill(~counts, -torch.inf).logsumexp(dim=-1, keepdim=True)
        # a place that does not count must stay finite, or 0 times it is none in the gradient
        return torch.where(counts, scaled - total, 0.0)

    log_p, log_q = log_shares(teacher), log_shares(student)
    rows = (log_p.exp() * (log_p - log_q)).sum(-1).clamp_min(0)
    return temperature**2 * (rows * known.squeeze(2)).mean(1)


def standardise(logits: Tensor) -> Tensor:
    """Z-score over the classes (logit standardisation; Sun et al., 2024): ``(z - mean(z)) / std(z)``.

    Applied to both sides before ``kd`` or ``dkd``, the student need not match the scale of the teacher's logits. The
    deviation is the sample's (a divisor of C - 1), as in the official code.

    Args:
        logits: ``(B, C)``, any floating dtype.

    Returns:
        ``(B, C)``, float32 or float64. Equal logits become 0.

    Example:
        >>> standardise(torch.tensor([[1.0, 3.0, 5.0], [7.0, 7.0, 7.0]]))
        tensor([[-1.0000,  0.0000,  1.0000],
                [ 0.0000,  0.0000,  0.0000]])
    """
    return (logits.shape[1] - 1) ** 0.5 * centred_direction(as_float(logits), 1)
