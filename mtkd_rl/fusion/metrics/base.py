"""What a metric is, and what a protocol is."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from mtkd_rl.errors import MTKDError

Metric = Callable[[np.ndarray, np.ndarray, np.ndarray], float]
"""``metric(fused, infrared, visible)``: of three pictures ``(H, W)`` of whole numbers in 0..255, held as floats."""

NAMES = ('EN', 'SD', 'SF', 'AG', 'MI', 'CC', 'SCD', 'PSNR', 'SSIM', 'MS-SSIM', 'VIF', 'Qabf', 'Nabf')
"""The metrics, in the order of every table."""

LOWER_IS_BETTER = frozenset({'Nabf'})


@dataclass(frozen=True)
class Protocol:
    """A set of metrics and how pictures are prepared for them: what a number means.

    Attributes:
        name: Stands beside every number.
        source: Whose numbers these are, in a few words.
        prepare: A picture as a file holds it, uint8 ``(H, W)`` or ``(H, W, 3)`` in RGB order, to what the metrics take.
        metrics: By name, in the order of `NAMES`.
    """

    name: str
    source: str
    prepare: Callable[[np.ndarray], np.ndarray]
    metrics: Mapping[str, Metric]


def in_double(metric: Metric) -> Metric:
    """A metric in float64, for a protocol that prepares pictures in float32."""
    return lambda *pictures: metric(*(picture.astype(np.float64) for picture in pictures))


class TooSmallError(MTKDError):
    """A picture has no room for the window of a metric; other metrics are not concerned."""


def check_window(name: str, picture: np.ndarray, window: int) -> None:
    """Refuses a picture in which a metric's window has no room.

    Args:
        name: The metric.
        picture: ``(H, W)``.
        window: Its side in pixels.

    Raises:
        TooSmallError: A side is shorter.
    """
    height, width = picture.shape
    if min(height, width) < window:
        raise TooSmallError(
            f'{name}: a picture of {width}x{height} pixels is too small, it needs {window} on each side'
        )
