"""Metrics of edges: those of the sources that the fused picture keeps, and those of its own that no source has."""

from collections.abc import Callable

import cv2
import numpy as np

Ratio = Callable[[np.ndarray, np.ndarray], np.ndarray]


def edge_preservation(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """Qabf: ``sum(Q_A g_A + Q_B g_B) / sum(g_A + g_B)`` (Xydeas and Petrovic 2000, Electron. Lett. 36).

    g and a are strength and angle of Sobel's edges, the picture taken as black beyond its border, as all public scripts
    do. ``G = min(g_A, g_F) / max(g_A, g_F)``, ``A = 1 - |a_A - a_F| / (pi / 2)``,
    ``Q_A = 0.9994 / (1 + exp(-15 (G - 0.5))) 0.9879 / (1 + exp(-22 (A - 0.8)))``.

    Returns:
        In 0..0.975; 0 where no source has an edge.
    """
    return weighted_edges(fused, infrared, visible, strength_ratio)


def weighted_edges(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray, ratio: Ratio) -> float:
    """Qabf with G by another rule: ``ratio(g_A, g_F)``."""
    strength_f, angle_f = _sobel(fused)
    kept = total = 0.0
    for source in (infrared, visible):
        strength, angle = _sobel(source)
        likeness = 1 - np.abs(angle - angle_f) / (np.pi / 2)
        of_strength = 0.9994 / (1 + np.exp(-15 * (ratio(strength, strength_f) - 0.5)))
        of_angle = 0.9879 / (1 + np.exp(-22 * (likeness - 0.8)))
        kept += float(np.sum(of_strength * of_angle * strength))
        total += float(np.sum(strength))
    return kept / total if total > 0 else 0.0


def strength_ratio(source: np.ndarray, fused: np.ndarray) -> np.ndarray:
    """The smaller of two strengths by the larger, ``(H, W)`` in 0..1; 1 where both are 0, and nothing is to be kept."""
    low, high = np.minimum(source, fused), np.maximum(source, fused)
    return np.divide(low, high, out=np.ones_like(low), where=high > 0)


def _sobel(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strength, and angle in -pi/2..pi/2 (exclusive, inclusive), of the edge at each pixel, ``(H, W)``."""
    leftwards = -cv2.Sobel(picture, -1, 1, 0, borderType=cv2.BORDER_CONSTANT)
    downwards = cv2.Sobel(picture, -1, 0, 1, borderType=cv2.BORDER_CONSTANT)
    slope = np.divide(downwards, leftwards, out=np.full_like(picture, np.inf), where=leftwards != 0)
    return np.sqrt(leftwards**2 + downwards**2), np.arctan(slope)


def edge_artefacts(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray) -> float:
    """Nabf: ``sum_{g_F > g_A, g_B} ((1 - Q_A) w_A + (1 - Q_B) w_B) / sum(w_A + w_B)``; lower is better.

    Edges where the fused picture's are stronger than both sources' (Shreyamsha Kumar 2013, SIViP 7, after Petrovic and
    Xydeas 2005). Sobel divided by 8, the picture mirrored at its border; ``w = g^1.5`` from g = 2 on, else 0.001;
    ``Q_A = sqrt(0.9999 / (1 + exp(-19 (G - 0.5))) 0.9995 / (1 + exp(-22 (A - 0.5))))``, G as in Qabf but 0 without an
    edge, ``A = ||a_A - a_F| - pi / 2| / (pi / 2)``.

    Returns:
        In 0..1; 0 where the fused picture is a source.
    """
    return weighted_artefacts(fused, infrared, visible, faint=0.001)


def weighted_artefacts(fused: np.ndarray, infrared: np.ndarray, visible: np.ndarray, faint: float) -> float:
    """Nabf with another weight of edges under 2."""
    strength_f, angle_f = _mirrored_sobel(fused)
    sources = [_mirrored_sobel(source) for source in (infrared, visible)]
    own = (strength_f > sources[0][0]) & (strength_f > sources[1][0])
    lost = total = 0.0
    for strength, angle in sources:
        low, high = np.minimum(strength, strength_f), np.maximum(strength, strength_f)
        ratio = np.divide(low, high, out=np.zeros_like(low), where=high > 0)
        likeness = np.abs(np.abs(angle - angle_f) - np.pi / 2) / (np.pi / 2)
        kept = np.sqrt(0.9999 / (1 + np.exp(-19 * (ratio - 0.5))) * 0.9995 / (1 + np.exp(-22 * (likeness - 0.5))))
        weight = np.where(strength >= 2, strength**1.5, faint)
        lost += float(np.sum((1 - kept[own]) * weight[own]))
        total += float(np.sum(weight))
    return lost / total if total > 0 else 0.0


def _mirrored_sobel(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Strength, in grey levels a pixel, and angle of the edge at each pixel, ``(H, W)``; 0 where there is none."""
    across = cv2.Sobel(picture, -1, 1, 0, scale=1 / 8, borderType=cv2.BORDER_REFLECT_101)
    down = cv2.Sobel(picture, -1, 0, 1, scale=1 / 8, borderType=cv2.BORDER_REFLECT_101)
    beyond = np.where(across == 0, 0, np.inf)
    slope = np.divide(across, down, out=beyond.astype(picture.dtype), where=down != 0)
    return np.sqrt(across**2 + down**2), np.arctan(slope)
