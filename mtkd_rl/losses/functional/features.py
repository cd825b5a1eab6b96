"""Losses between two features of equal shape, one value a sample.

A feature is a map ``(B, D, H, W)``, tokens ``(B, N, D)`` or a vector ``(B, D)``: D channels over the positions of a
picture, of which a vector has one.
"""

import torch
from torch import Tensor

from .logits import kl_divergence
from .numerics import as_float, centred_direction, direction


def mse(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared error over a sample's own elements: ``mean (s - t)^2``.

    Args:
        student: Map, tokens or vector, any floating dtype.
        teacher: The same shape.

    Returns:
        ``(B,)``, float32 or float64, at least 0.

    Example:
        >>> mse(torch.tensor([[1.0, 2.0]]), torch.tensor([[1.0, 5.0]]))
        tensor([4.5000])
    """
    return (as_float(student) - as_float(teacher)).square().flatten(1).mean(1)


def channel_wise_kl(student: Tensor, teacher: Tensor, temperature: float = 1.0) -> Tensor:
    """Channel-wise distillation (CWD; Shu et al., 2021).

    ``T^2 mean_c KL(softmax(t_c / T) || softmax(s_c / T))``, where the softmax of channel c goes over the positions. The
    one position of a vector would always give 0, so a vector counts as one channel whose positions are its D elements.

    Args:
        student: Map, tokens or vector, any floating dtype.
        teacher: The same shape.
        temperature: T, above 0.

    Returns:
        ``(B,)``, float32 or float64, at least 0.
    """
    student, teacher = (x.unsqueeze(1) if x.ndim == 2 else _by_channel(x) for x in (student, teacher))
    return temperature**2 * kl_divergence(teacher, student, temperature).mean(1)


def pkd(student: Tensor, teacher: Tensor) -> Tensor:
    """Distillation by Pearson's correlation (PKD; Cao et al., 2022): ``mean (s' - t')^2 / 2``.

    ``x'`` is x with each channel standardised over all samples and positions of the batch, by the sample deviation (a
    divisor of m - 1 for m values, as in the public code), so the mean over the batch is ``(1 - 1/m) mean_c (1 - r_c)``
    where no channel is constant. A constant channel becomes 0: its loss is about 1/2 against one that varies, and 0
    against another constant one, as for a batch of one vector.

    Args:
        student: Map, tokens or vector, any floating dtype.
        teacher: The same shape.

    Returns:
        ``(B,)``, float32 or float64, at least 0.
    """

    def standardised(feature: Tensor) -> Tensor:
        channels = _by_channel(as_float(feature))
        spread = (channels.shape[0] * channels.shape[2] - 1) ** 0.5
        return spread * centred_direction(channels, (0, 2), eps=1e-6 * spread)

    return mse(standardised(student), standardised(teacher)) / 2


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """``1 - cos(s, t)`` of two embeddings.

    Args:
        student: ``(B, D)``, any floating dtype.
        teacher: ``(B, D)``, likewise.

    Returns:
        ``(B,)``, float32 or float64, in [0, 2] up to rounding; 1 where an embedding is 0.

    Example:
        >>> cosine(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([[0.0, 3.0], [-2.0, 0.0]]))
        tensor([1., 2.])
    """
    return 1 - (direction(as_float(student), 1) * direction(as_float(teacher), 1)).sum(1)


def pool(feature: Tensor) -> Tensor:
    """The mean over the positions of a feature.

    Args:
        feature: Map ``(B, D, H, W)``, tokens ``(B, N, D)`` or vector ``(B, D)``, any floating dtype.

    Returns:
        ``(B, D)``, float32 or float64.
    """
    return _by_channel(as_float(feature)).mean(2)


def relational_similarity(student: Tensor, teacher: Tensor) -> Tensor:
    """How alike a student and a teacher relate each sample to the others of its batch.

    With S the B x B matrix of cosines between the student's embeddings and T the teacher's, sample i gets
    ``cos(S[i, :], T[i, :])``, the diagonal left out. So embeddings of different width compare without an adapter. (Akin
    to similarity-preserving distillation, Tung and Mori, 2019, which compares rows of Gram matrices.)

    Args:
        student: ``(B, D1)``, any floating dtype.
        teacher: ``(B, D2)``, likewise.

    Returns:
        ``(B,)``, float32 or float64, in [-1, 1]: 1 for a batch of one, 0 where a sample is orthogonal to all others.
    """
    if len(student) == 1:
        return as_float(student).new_ones(1)
    # Autocast would multiply in half precision, where a cosine keeps three digits.
    with torch.autocast(student.device.type, enabled=False):
        rows = [_cosines_to_others(as_float(x)) for x in (student, teacher)]
    return (direction(rows[0], 1) * direction(rows[1], 1)).sum(1).clamp(-1, 1)


def _by_channel(feature: Tensor) -> Tensor:
    """A map, tokens or a vector as ``(B, D, positions)``."""
    if feature.ndim == 3:
        return feature.transpose(1, 2)
    return feature.reshape(*feature.shape[:2], -1)


def _cosines_to_others(embedding: Tensor) -> Tensor:
    """Cosines between the rows of ``(B, D)``, as ``(B, B)`` with 0 on the diagonal."""
    unit = direction(embedding, 1)
    return (unit @ unit.T).fill_diagonal_(0)
