"""Metrics of how far the fused picture's values follow those of the sources."""

import numpy as np


def mutual_information(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """MI: ``I(F, infrared) + I(F, visible)`` over 256 values each (Qu, Zhang and Yan 2002, Electron. Lett. 38).

    Returns:
        Bits, as entropy has, in 0..16 (times 0.693 in nats).
    """
    return shared_information(infrared, fused) + shared_information(visible, fused)


def shared_information(one: np.ndarray, other: np.ndarray) -> float:
    """``I(A, F) = H(A) + H(F) - H(A, F)``, in bits, of two pictures ``(H, W)``; 0 if either is constant."""
    joint = joint_counts(one, other)
    bits = entropy_of(joint.sum(axis=1)) + entropy_of(joint.sum(axis=0)) - entropy_of(joint)
    return max(bits, 0.0)  # rounding can leave -1e-16


def joint_counts(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """How often each pair of values is at the same pixel, int ``(256, 256)``."""
    pairs = one.astype(np.intp).ravel() * 256 + other.astype(np.intp).ravel()
    return np.bincount(pairs, minlength=256 * 256).reshape(256, 256)


def entropy_of(counts: np.ndarray) -> float:
    """``-sum p log2 p`` of counts of any shape, in bits."""
    p = counts[counts > 0] / counts.sum()
    return float(-np.sum(p * np.log2(p)))


def correlation_coefficient(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """CC: ``(r(F, infrared) + r(F, visible)) / 2``, Pearson's r (Deshmukh and Bhosale 2010, IJIP 4).

    Returns:
        In -1..1; what is constant correlates with nothing, 0.
    """
    return (correlation(infrared, fused) + correlation(visible, fused)) / 2


def sum_of_correlations_of_differences(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """SCD: ``r(F - visible, infrared) + r(F - infrared, visible)`` (Aslantas and Bendes 2015, AEU 69).

    Returns:
        In -2..2; a constant difference correlates with nothing, 0.
    """
    return correlation(fused - visible, infrared) + correlation(fused - infrared, visible)


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    """Pearson's r of two pictures ``(H, W)``, in -1..1; 0 if either is constant."""
    one, other = one - one.mean(), other - other.mean()
    spread = np.sqrt(np.sum(one**2) * np.sum(other**2))
    return float(np.sum(one * other) / spread) if spread > 0 else 0.0
