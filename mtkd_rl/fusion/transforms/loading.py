"""Pictures from files, whatever cameras and other people's scripts have left in them."""

from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.colour import luma8
from mtkd_rl.registry import TRANSFORMS


class PairError(MTKDError):
    """The files of one pair cannot be used; other pairs are not concerned."""


def read_picture(path: str | Path) -> np.ndarray:
    """Reads a picture as 8 bits, grey or colour.

    One channel of more than 8 bits, integer or float, is scaled by the picture's own range, ``255 (x - min) / (max -
    min)``, since thermal cameras use a narrow part of 16 bits; a constant picture becomes 0. Of colours with 16 bits
    the high byte is kept. Alpha is dropped; palettes are looked up.

    Args:
        path: A file of a format that Pillow knows.

    Returns:
        uint8 ``(H, W)`` of a file with one channel of colour, else ``(H, W, 3)`` in RGB order.

    Raises:
        PairError: It is not there, is no picture, is damaged or truncated, or has values that are not finite.
    """
    try:
        with Image.open(path) as image:
            if image.mode in ('1', 'L', 'LA', 'La'):
                return np.array(image.convert('L'))
            if image.mode[0] in 'IF':
                return _stretched(np.array(image))
            return np.array(image.convert('RGB'))
    # Every format has exceptions of its own: SyntaxError, struct.error, EOFError and others.
    except Exception as error:
        raise PairError(f'{path}: cannot be read ({_reason(error)}); copy it again, or take its pair away') from error


def _reason(error: Exception) -> str:
    """What is wrong with a file, in a few words."""
    first, *_ = str(error).splitlines() or ['']
    return 'no picture of a known format' if first.startswith('cannot identify') else first or type(error).__name__


def _stretched(values: np.ndarray) -> np.ndarray:
    """``(H, W)`` of any type to uint8 by its own range."""
    values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError('values that are not finite')
    low, high = values.min(), values.max()
    return np.rint((values - low) * (255 / (high - low or 1))).astype(np.uint8)


def read_pair(infrared: str | Path, visible: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads the two pictures of a pair.

    Args:
        infrared: A file; of colours the luma is taken.
        visible: Another.

    Returns:
        Infrared, uint8 ``(H, W)``; visible, uint8 ``(H, W)`` or ``(H, W, 3)`` in RGB order.

    Raises:
        PairError: As `read_picture`, or if their sizes differ.
    """
    pair = luma8(read_picture(infrared)), read_picture(visible)
    if pair[0].shape != pair[1].shape[:2]:
        sizes = ['{1}x{0}'.format(*picture.shape) for picture in pair]
        raise PairError(
            f'{infrared} has {sizes[0]} pixels and {visible} {sizes[1]}; the pictures of a pair must show the same: '
            'align them and crop them to one size'
        )
    return pair


@TRANSFORMS.register_module()
class LoadPair(BaseTransform):
    """Reads the two pictures of a pair; how, `read_picture` says.

    Needs ``infrared_path`` and ``visible_path``. Adds ``infrared``, uint8 ``(H, W)``; ``visible``, uint8 ``(H, W)`` or
    ``(H, W, 3)`` in RGB order; and ``ori_shape``, (H, W).
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Reads.

        Raises:
            PairError: As `read_pair`.
        """
        infrared, visible = read_pair(results['infrared_path'], results['visible_path'])
        return {**results, 'infrared': infrared, 'visible': visible, 'ori_shape': infrared.shape}
