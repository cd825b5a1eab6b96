"""Moving the pictures of a pair, all alike; what is random comes from numpy's global state, as in mmcv."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from mmcv.transforms import BaseTransform

from mtkd_rl.errors import MTKDError, check_number
from mtkd_rl.registry import TRANSFORMS

PICTURES = ('infrared', 'visible', 'ideal')
"""The keys of a pair that hold pictures; the last is rarely there."""


def move(results: dict[str, Any], change: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """The same change of every picture of a pair.

    Args:
        results: A pair.
        change: From ``(H, W)`` or ``(H, W, 3)`` to another size; it must not be random.
    """
    return {**results, **{key: change(results[key]) for key in PICTURES if key in results}}


@TRANSFORMS.register_module()
class PairResize(BaseTransform):
    """Resizes: by the mean of areas where both sides shrink, else bilinearly.

    Args:
        scale: Width and height in pixels, in mmcv's order.
        keep_ratio: Take the largest size of the same proportions that fits into ``scale``.

    Raises:
        MTKDError: A side is no integer of at least 1.
    """

    def __init__(self, scale: tuple[int, int], keep_ratio: bool = False) -> None:
        for name, side in zip(('width', 'height'), scale):
            check_number('PairResize', name, side, low=1, whole=True)
        self.scale = scale
        self.keep_ratio = keep_ratio

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Resizes."""
        height, width = results['infrared'].shape
        size = tuple(self.scale)
        if self.keep_ratio:
            factor = min(size[0] / width, size[1] / height)
            size = (max(1, round(width * factor)), max(1, round(height * factor)))
        shrinks = size[0] <= width and size[1] <= height
        way = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return move(results, lambda picture: cv2.resize(picture, size, interpolation=way))


@TRANSFORMS.register_module()
class PairRandomCrop(BaseTransform):
    """Cuts out a window; pictures that are too small are first reflected at their right and lower borders.

    Args:
        size: Height and width in pixels, or one number for both.

    Raises:
        MTKDError: A side is no integer of at least 1.
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = (size, size) if isinstance(size, int) else tuple(size)
        for name, side in zip(('height', 'width'), self.size):
            check_number('PairRandomCrop', name, side, low=1, whole=True)

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Cuts; height and width have one random number each, also where nothing is to be chosen."""
        before = results['infrared'].shape
        padding = [(0, max(0, wanted - side)) for wanted, side in zip(self.size, before)]
        choices = [max(0, side - wanted) + 1 for wanted, side in zip(self.size, before)]
        y, x = (int(np.random.randint(choice)) for choice in choices)
        window = slice(y, y + self.size[0]), slice(x, x + self.size[1])

        def cut(picture: np.ndarray) -> np.ndarray:
            return np.pad(picture, padding + [(0, 0)] * (picture.ndim - 2), mode='reflect')[window]

        return move(results, cut)


@TRANSFORMS.register_module()
class PairRandomFlip(BaseTransform):
    """Mirrors, and swaps rows and columns; all three together are the eight ways to lay a picture on a grid.

    Args:
        horizontal: Probability that left and right change places.
        vertical: That of top and bottom.
        transpose: That of rows and columns; on pictures that are not square it changes their size, so that they need a
            ``PairRandomCrop`` before.

    Raises:
        MTKDError: One is not in 0..1.
    """

    def __init__(self, horizontal: float = 0.5, vertical: float = 0.0, transpose: float = 0.0) -> None:
        self.probabilities = {'horizontal': horizontal, 'vertical': vertical, 'transpose': transpose}
        for name, value in self.probabilities.items():
            if not 0 <= value <= 1:
                raise MTKDError(f'PairRandomFlip: {name} is {value!r}; give a probability, from 0 to 1')

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Draws three random numbers, and moves."""
        horizontal, vertical, transpose = np.random.random(3) < list(self.probabilities.values())

        def turn(picture: np.ndarray) -> np.ndarray:
            picture = picture[:, ::-1] if horizontal else picture
            picture = picture[::-1] if vertical else picture
            return picture.swapaxes(0, 1) if transpose else picture

        return move(results, turn)
