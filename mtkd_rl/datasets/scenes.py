"""Scenes of handwritten digits on cluttered backgrounds: detection and segmentation without a download."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmengine.dataset import BaseDataset

from mtkd_rl.datasets.digits import Digits
from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import DATASETS

SMALLEST = 32
"""Smallest side of a scene in pixels; on a smaller one digits would have fewer pixels than they came with."""


class Scene(NamedTuple):
    """One picture and what is in it.

    Attributes:
        img: The picture, uint8 ``(S, S, 3)`` in 0..255, in BGR order as OpenMMLab loads pictures.
        labels: What the N digits are, in the order in which they were drawn.
        masks: Their pixels, bool ``(N, S, S)``; no two share one, and none is without.
    """

    img: np.ndarray
    labels: list[int]
    masks: np.ndarray


def make_scene(images: np.ndarray, labels: np.ndarray, key: Sequence[int], size: int) -> Scene:
    """Composes a scene; the same arguments give the same one anywhere.

    Up to five digits lie apart from each other, each light, stretched to between a quarter and a half of the scene's
    side and turned by up to 15 degrees. Beneath are patches, strokes, pieces of digits that are as light as the
    digits, and over all there is noise.

    Args:
        images: The digits to draw from, uint8 ``(K, 8, 8)`` in 0..255.
        labels: Which digits they are, int ``(K,)``.
        key: Numbers of at least 0 that seed the scene.
        size: S, its side in pixels.
    """
    rng = np.random.default_rng(key)
    canvas = _background(rng, images, size)
    drawn: list[int] = []
    masks: list[np.ndarray] = []
    taken = np.zeros((size, size), dtype=bool)
    wanted = rng.integers(2, 6)
    for _ in range(20):  # tries; a scene where little fits gets fewer
        row = rng.integers(len(images))
        alpha = _stamp(rng, images[row], size)
        window = _place(rng, alpha, size)
        if not taken[window].any():
            _paint(rng, canvas[window], alpha)
            taken[window] = True
            drawn.append(int(labels[row]))
            masks.append(np.zeros((size, size), dtype=bool))
            masks[-1][window] = alpha > 0.5
        if len(drawn) == wanted:
            break
    canvas += rng.normal(0, 6, canvas.shape)
    return Scene(np.clip(canvas, 0, 255).astype(np.uint8), drawn, np.stack(masks))


def _background(rng: np.random.Generator, images: np.ndarray, size: int) -> np.ndarray:
    """Patches of dark colours, strokes, and pieces of digits, which are no digits; float64 ``(S, S, 3)``."""
    canvas = cv2.resize(rng.uniform(0, 130, (3, 3, 3)), (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(rng.integers(3, 7)):
        start, end = rng.integers(0, size, (2, 2)).tolist()
        cv2.line(canvas, start, end, rng.uniform(0, 190, 3).tolist(), int(rng.integers(1, 4)))
    for _ in range(rng.integers(1, 4)):
        picture = images[rng.integers(len(images))]
        piece = (picture[:3], picture[5:], picture[:, :3], picture[:, 5:])[rng.integers(4)]
        alpha = _stamp(rng, piece, size)
        _paint(rng, canvas[_place(rng, alpha, size)], alpha)
    return canvas


def _stamp(rng: np.random.Generator, picture: np.ndarray, size: int) -> np.ndarray:
    """How opaque a digit is at each pixel, stretched, turned and cut to what shows; float64 ``(h, w)`` in 0..1."""
    scale = rng.uniform(size / 4, size / 2) / 8
    height, width = (round(side * scale) for side in picture.shape)
    alpha = cv2.resize(picture / 255, (width, height), interpolation=cv2.INTER_CUBIC)
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), rng.uniform(-15, 15), 1)
    alpha = np.clip(cv2.warpAffine(alpha, turn, (width, height)) * 1.5, 0, 1)
    rows, columns = (np.flatnonzero(alpha.max(axis=axis, initial=0) > 0.5) for axis in (1, 0))
    # a piece of a digit may be empty
    return alpha[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if len(rows) else np.zeros((1, 1))


def _place(rng: np.random.Generator, alpha: np.ndarray, size: int) -> tuple[slice, slice]:
    """Where in the scene it goes."""
    height, width = alpha.shape
    y, x = rng.integers(0, (size - height + 1, size - width + 1))
    return slice(y, y + height), slice(x, x + width)


def _paint(rng: np.random.Generator, below: np.ndarray, alpha: np.ndarray) -> None:
    """Paints a light colour over ``(h, w, 3)`` in place."""
    below += alpha[..., None] * (rng.uniform(140, 255, 3) - below)


def run_lengths(mask: np.ndarray) -> list[int]:
    """COCO's uncompressed run-length code of a mask: lengths of alternate runs of 0 and 1, column by column.

    Args:
        mask: bool ``(H, W)``.

    Returns:
        At least one number, the first for 0, which may be of no length; their sum is ``H * W``.
    """
    flat = mask.ravel(order='F')
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    ends = np.concatenate([[0] if flat[0] else [], changes, [flat.size]])
    return np.diff(ends, prepend=0).astype(int).tolist()


class _Scenes(BaseDataset):
    """What both tasks have: scenes of scikit-learn's digits, composed once and kept in memory.

    Scene ``i`` of a split depends on the split, the seed, its number and the digits to draw from, on nothing else. The
    training split draws from the 1,000 pictures that ``Digits`` has for training, the validation split from the other
    797, so that no handwriting is in both.
    """

    def __init__(
        self,
        n: int,
        split: str = 'train',
        size: int = 64,
        digits: Sequence[int] = range(10),
        seed: int = 0,
        metainfo: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self.n = n
        self.split = split
        self.size = size
        self.digits = list(digits)
        self.seed = seed
        if n < 1 or size < SMALLEST or seed < 0 or not self.digits or not {*self.digits} <= {*range(10)}:
            raise MTKDError(
                f'{type(self).__name__}: n={n} must be at least 1, size={size} at least {SMALLEST}, seed={seed} at '
                f'least 0, and digits={self.digits} some of 0 to 9'
            )
        super().__init__(metainfo={'classes': self._classes(), **(metainfo or {})}, **kwargs)

    def _classes(self) -> tuple[str, ...]:
        return tuple(map(str, self.digits))

    def _scenes(self) -> list[Scene]:
        samples = Digits(split=self.split, digits=self.digits, lazy_init=True).load_data_list()
        images = np.stack([sample['img'][..., 0] for sample in samples])
        labels = np.array([self.digits.index(sample['gt_label']) for sample in samples])
        part = ('train', 'val').index(self.split)
        return [make_scene(images, labels, (self.seed, part, number), self.size) for number in range(self.n)]


@DATASETS.register_module()
class DetectionScenes(_Scenes):
    """Scenes of handwritten digits with boxes and masks, for mmdet.

    The pipeline begins with mmdet's ``LoadImageFromNDArray`` and ``LoadAnnotations``; nothing is read from a disk.
    ``CocoMetric`` needs no annotation file where ``PackDetInputs`` keeps ``instances`` among its ``meta_keys``.

    Args:
        n: Number of scenes; the first of them are those of any smaller number.
        split: ``train`` or ``val``.
        size: S, the scenes' side in pixels, at least 32.
        digits: Only these are drawn, and they are the classes, in this order.
        seed: At least 0; another seed composes other scenes.
        metainfo: As for mmengine's ``BaseDataset``.
        **kwargs: Those of mmengine's ``BaseDataset``, such as ``pipeline``.

    Raises:
        MTKDError: A number is out of its range, the split is unknown, or scikit-learn is not installed.
    """

    def load_data_list(self) -> list[dict[str, Any]]:
        """The samples before the pipeline.

        Returns:
            For each scene ``img``, uint8 ``(S, S, 3)`` in BGR order; ``img_id``, int; ``height`` and ``width``, S; and
            ``instances``, for each digit ``bbox``, ``[x1, y1, x2, y2]`` in pixels, just around the mask;
            ``bbox_label``, int; ``mask``, a run-length code; and ``ignore_flag``, 0.
        """
        return [
            {
                'img': scene.img,
                'img_id': number,
                'height': self.size,
                'width': self.size,
                'instances': [_instance(label, mask) for label, mask in zip(scene.labels, scene.masks)],
            }
            for number, scene in enumerate(self._scenes())
        ]


@DATASETS.register_module()
class SegmentationScenes(_Scenes):
    """Scenes of handwritten digits with a label for each pixel, for mmseg.

    Class 0 is the background, then come the digits. The pipeline begins with mmseg's ``LoadImageFromNDArray``; the
    label map is there already.

    Args:
        n: Number of scenes; the first of them are those of any smaller number.
        split: ``train`` or ``val``.
        size: S, the scenes' side in pixels, at least 32.
        digits: Only these are drawn, and they are the classes after ``background``, in this order.
        seed: At least 0; another seed composes other scenes.
        metainfo: As for mmengine's ``BaseDataset``.
        **kwargs: Those of mmengine's ``BaseDataset``, such as ``pipeline``.

    Raises:
        MTKDError: A number is out of its range, the split is unknown, or scikit-learn is not installed.
    """

    METAINFO = {'reduce_zero_label': False}

    def _classes(self) -> tuple[str, ...]:
        return ('background', *super()._classes())

    def load_data_list(self) -> list[dict[str, Any]]:
        """The samples before the pipeline.

        Returns:
            For each scene ``img``, uint8 ``(S, S, 3)`` in BGR order; ``gt_seg_map``, uint8 ``(S, S)``; ``seg_fields``,
            which names it for mmseg's transforms; and ``reduce_zero_label``, which is off.
        """
        return [
            {
                'img': scene.img,
                'gt_seg_map': _label_map(scene),
                'seg_fields': ['gt_seg_map'],
                'reduce_zero_label': False,
            }
            for scene in self._scenes()
        ]


def _instance(label: int, mask: np.ndarray) -> dict[str, Any]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    box = [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    code = {'size': list(mask.shape), 'counts': run_lengths(mask)}
    return {'bbox': [float(side) for side in box], 'bbox_label': label, 'mask': code, 'ignore_flag': 0}


def _label_map(scene: Scene) -> np.ndarray:
    labels = np.array(scene.labels, dtype=np.uint8)[:, None, None] + 1
    return (scene.masks * labels).sum(axis=0, dtype=np.uint8)
