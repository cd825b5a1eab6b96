"""Infrared, visible and fused pictures side by side."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mmengine.dist import master_only
from mmengine.visualization import Visualizer
from PIL import Image, ImageDraw, ImageFont

from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.structures import FusionDataSample, picture_of
from mtkd_rl.registry import VISUALIZERS

GAP = 4
"""Pixels of white between pictures."""

TEXT = 12
"""Size of the labels in pixels."""


def side_by_side(
    infrared: np.ndarray, visible: np.ndarray, fused: Mapping[str, np.ndarray], height: int | None = None
) -> np.ndarray:
    """The sources of a pair and what was made of it in a row, on white, with a label under each.

    Args:
        infrared: uint8 ``(H, W)``, or ``(H, W, 3)`` in RGB order, as are all.
        visible: Likewise, of any size.
        fused: Pictures by their labels, in order.
        height: What all pictures are resized to; by default each stays as it is.

    Returns:
        uint8 ``(H', W', 3)`` in RGB order.
    """
    pictures = {'infrared': infrared, 'visible': visible, **fused}
    return _joined([_labelled(_resized(_rgb(picture), height), label) for label, picture in pictures.items()], axis=1)


def sheet(rows: Sequence[np.ndarray]) -> np.ndarray:
    """Rows, such as those of `side_by_side`, one below the other.

    Args:
        rows: At least one, uint8 ``(h, w, 3)`` of any sizes.

    Returns:
        uint8 ``(H, W, 3)``, white where a row is shorter than others.
    """
    return _joined(list(rows), axis=0)


def _rgb(picture: np.ndarray) -> np.ndarray:
    return np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture


def _resized(picture: np.ndarray, height: int | None) -> np.ndarray:
    """Smaller by the mean of areas, larger by repeating pixels."""
    before = picture.shape[0]
    if height in (None, before):
        return picture
    size = max(1, round(picture.shape[1] * height / before)), height
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA if height < before else cv2.INTER_NEAREST)


def _labelled(picture: np.ndarray, label: str) -> np.ndarray:
    font = ImageFont.load_default(TEXT)
    strip = Image.new('RGB', (math.ceil(font.getlength(label)), TEXT + GAP), 'white')
    ImageDraw.Draw(strip).text((0, 0), label, fill='black', font=font)
    return _joined([picture, np.asarray(strip)], axis=0, gap=0)


def _joined(parts: list[np.ndarray], axis: int, gap: int = GAP) -> np.ndarray:
    """Parts one after the other along an axis, white between them and where one is shorter along the other axis."""
    other = 1 - axis
    longest = max(part.shape[other] for part in parts)
    padded = []
    for number, part in enumerate(parts):
        space = [(0, 0)] * 3
        space[other] = (0, longest - part.shape[other])
        space[axis] = (gap if number else 0, 0)
        padded.append(np.pad(part, space, constant_values=255))
    return np.concatenate(padded, axis=axis)


@VISUALIZERS.register_module()
class FusionVisualizer(Visualizer):
    """Shows infrared, visible and fused side by side.

    Args:
        name: Of this visualizer, as mmengine has it.
        height: What all pictures are resized to; by default each stays as it is.
        **kwargs: Those of mmengine's ``Visualizer``, such as ``vis_backends`` and ``save_dir``.
    """

    def __init__(self, name: str = 'visualizer', height: int | None = None, **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)
        self._picture_height = height  # mmengine keeps the height of what is drawn as self.height

    @master_only
    def add_datasample(
        self,
        name: str,
        image: np.ndarray | None,
        data_sample: FusionDataSample,
        draw_gt: bool = True,
        draw_pred: bool = True,
        show: bool = False,
        wait_time: float = 0,
        step: int = 0,
        out_file: str | None = None,
    ) -> None:
        """Draws a pair, and shows it, writes it to a file or hands it to the backends.

        Args:
            name: What the backends call it.
            image: Not used: the data sample has both pictures.
            data_sample: With ``infrared`` and ``visible``, perhaps ``fused`` and ``ideal``.
            draw_gt: Whether the ideal picture is shown.
            draw_pred: Whether the fused picture is shown.
            show: Open a window.
            wait_time: For how many seconds; 0 until a key is pressed.
            step: Number of the iteration.
            out_file: Write to this file, and nothing to the backends.

        Raises:
            MTKDError: The data sample lacks a picture of the pair.
        """
        missing = [key for key in ('infrared', 'visible') if key not in data_sample]
        if missing:
            raise MTKDError(
                f'FusionVisualizer: {name}: the data sample has no {" and no ".join(missing)}; end the pipeline with '
                'mtkd_rl.PackPair'
            )
        wanted = {'fused': draw_pred, 'ideal': draw_gt}
        drawn = side_by_side(
            picture_of(data_sample.infrared),
            picture_of(data_sample.visible),
            {key: picture_of(data_sample.get(key)) for key in wanted if wanted[key] and key in data_sample},
            self._picture_height,
        )
        self.set_image(drawn)
        if show:
            self.show(drawn, win_name=name, wait_time=wait_time)
        if out_file is None:
            self.add_image(name, drawn, step)
        else:
            Path(out_file).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(drawn).save(out_file)
