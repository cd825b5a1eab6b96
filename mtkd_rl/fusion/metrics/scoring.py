"""A fused picture scored under a protocol, and the two pictures that every method has to be compared with."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.fusion.colour import luma8
from mtkd_rl.fusion.metrics.base import Protocol, TooSmallError
from mtkd_rl.fusion.metrics.cddfuse import CDDFUSE
from mtkd_rl.fusion.metrics.ivif_zoo import IVIF_ZOO
from mtkd_rl.fusion.metrics.mtkd import MTKD
from mtkd_rl.fusion.metrics.tang import TANG, TANG_PYTHON

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {each.name: each for each in (MTKD, CDDFUSE, TANG, TANG_PYTHON, IVIF_ZOO)}
)
"""The protocols by name, the default first."""


def find_protocol(name: str) -> Protocol:
    """A protocol by its name.

    Raises:
        MTKDError: There is none; the message names those that there are.
    """
    if name not in PROTOCOLS:
        raise MTKDError(f'there is no protocol {name!r} of fusion metrics; did you mean: {candidates(name, PROTOCOLS)}')
    return PROTOCOLS[name]


def chosen(protocol: Protocol, metrics: Sequence[str] | None) -> list[str]:
    """The metrics to take of a protocol, all by default.

    Raises:
        MTKDError: The protocol has no such metric; the message names those that it has.
    """
    names = list(protocol.metrics) if metrics is None else list(metrics)
    for name in names:
        if name not in protocol.metrics:
            known = candidates(name, protocol.metrics)
            raise MTKDError(f'protocol {protocol.name!r} has no metric {name!r}; did you mean: {known}')
    return names


def score(
    fused: np.ndarray,
    infrared: np.ndarray,
    visible: np.ndarray,
    protocol: str = 'mtkd',
    metrics: Sequence[str] | None = None,
    lenient: bool = False,
) -> dict[str, float]:
    """Scores a fused picture.

    Args:
        fused: As it is written to a file: uint8 in 0..255, grey ``(H, W)`` or colour ``(H, W, 3)`` in RGB order.
        infrared: Likewise.
        visible: Likewise.
        protocol: One of `PROTOCOLS`; belongs beside every number.
        metrics: Which of its metrics; all by default.
        lenient: A metric whose window has no room in the pictures is NaN instead of an error.

    Returns:
        The metrics' values by name, in the order asked for; the PSNR of three equal pictures is infinite.

    Raises:
        MTKDError: A picture is not of uint8 or has another shape, the sizes differ, they are too small for the windows
            of a metric, or there is no such protocol or metric.
    """
    found = find_protocol(protocol)
    names = chosen(found, metrics)
    pictures = {'fused': fused, 'infrared': infrared, 'visible': visible}
    for role, picture in pictures.items():
        _check_picture(role, picture)
    sizes = {role: '{1}x{0}'.format(*picture.shape) for role, picture in pictures.items()}
    if len({*sizes.values()}) > 1:
        listed = ', '.join(f'{role} {size}' for role, size in sizes.items())
        raise MTKDError(f'the pictures differ in size: {listed}; fuse without resizing, or resize back before scoring')
    prepared = [found.prepare(picture) for picture in pictures.values()]
    values = {}
    for name in names:
        try:
            values[name] = found.metrics[name](*prepared)
        except TooSmallError:
            if not lenient:
                raise
            values[name] = float('nan')
    return values


def means(results: Sequence[Mapping[str, float]], names: Sequence[str]) -> tuple[dict[str, float], dict[str, int]]:
    """Means over pictures, each over those of which the metric is a finite number.

    Args:
        results: What ``score`` said of each picture.
        names: Metrics.

    Returns:
        Metric to mean, NaN where no picture has a number; and to how many were left out, where some were.
    """
    columns = {name: np.array([result[name] for result in results]) for name in names}
    finite = {name: column[np.isfinite(column)] for name, column in columns.items()}
    left_out = {name: len(results) - len(column) for name, column in finite.items()}
    found = {name: float(column.mean()) if len(column) else float('nan') for name, column in finite.items()}
    return found, {name: count for name, count in left_out.items() if count}


def _check_picture(role: str, picture: np.ndarray) -> None:
    what = f'{role} picture is {picture.dtype} {picture.shape}'
    if picture.dtype != np.uint8:
        raise MTKDError(
            f'{what}: metrics are of uint8 pictures in 0..255, as they are written to files; of floats in 0..1 take '
            '(255 * picture).round().astype(np.uint8)'
        )
    if not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)) or picture.size == 0:
        raise MTKDError(f'{what}: it must be grey (H, W) or RGB (H, W, 3), and not empty')


def trivial(infrared: np.ndarray, visible: np.ndarray) -> dict[str, np.ndarray]:
    """The two fused pictures that need no method, for a row of each in every table.

    Args:
        infrared: uint8, ``(H, W)`` or ``(H, W, 3)`` in RGB order.
        visible: Likewise, of the same size.

    Returns:
        ``mean``, the mean of infrared and visible luma rounded, halves upwards, and ``maximum``, the larger of them at
        each pixel; uint8 ``(H, W)``.
    """
    one, other = luma8(infrared), luma8(visible)
    mean = (one.astype(np.uint16) + other + 1) // 2
    return {'mean': mean.astype(np.uint8), 'maximum': np.maximum(one, other)}
