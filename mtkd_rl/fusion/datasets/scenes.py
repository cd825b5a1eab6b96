"""Pairs of scenes of handwritten digits, in which each modality shows what the other hides; no download."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from mmengine.dataset import BaseDataset

from mtkd_rl.datasets.digits import Digits
from mtkd_rl.datasets.scenes import SMALLEST, _place, _stamp
from mtkd_rl.errors import MTKDError, check_number
from mtkd_rl.registry import DATASETS


class PairScene(NamedTuple):
    """One scene as three would see it.

    Attributes:
        infrared: What the infrared camera gives, uint8 ``(S, S)``.
        visible: What the visible camera gives, uint8 ``(S, S, 3)`` in RGB order.
        ideal: Luma of what is there, uint8 ``(S, S)``: the surface in good light and the hot digits on it, sharp and
            without noise. No method reaches it, as some of it is in neither picture.
    """

    infrared: np.ndarray
    visible: np.ndarray
    ideal: np.ndarray


def make_pair_scene(images: np.ndarray, key: Sequence[int], size: int) -> PairScene:
    """Composes a pair; the same arguments give the same one anywhere.

    A coloured surface with stripes and strokes carries one or two printed digits, light or dark, of which the infrared
    shows next to nothing. One or two hot digits are bright in the infrared and next to nothing in the visible. Digits
    lie apart. A shadow, a glare or smoke around one of the digits then hides a part of the visible; the infrared sees
    through. The infrared is blurred, and both are noisy.

    Args:
        images: The digits to draw from, uint8 ``(K, 8, 8)`` in 0..255.
        key: Numbers of at least 0 that seed the scene.
        size: S, the side of the scene in pixels.
    """
    rng = np.random.default_rng(key)
    surface = _surface(rng, size)
    printed, hot = _digits(rng, images, size)
    for alpha in printed:
        colour = rng.uniform(190, 255, 3) if rng.random() < 0.5 else rng.uniform(0, 35, 3)
        surface = _over(surface, alpha, colour)
    warmth = rng.uniform(20, 70) + 0.2 * cv2.GaussianBlur(_luma(surface), (0, 0), size / 32)
    ideal = _luma(surface)
    visible = surface
    for alpha in hot:
        heat = rng.uniform(180, 250)
        warmth, ideal = _over(warmth, alpha, heat), _over(ideal, alpha, heat)
        visible = _over(visible, 0.08 * alpha, heat)
    visible = _trouble(rng, visible, [*printed, *hot])
    infrared = cv2.GaussianBlur(warmth, (0, 0), size / 64)
    return PairScene(
        _as_picture(infrared + rng.normal(0, 3, infrared.shape)),
        _as_picture(visible + rng.normal(0, 3, visible.shape)),
        _as_picture(ideal),
    )


def _surface(rng: np.random.Generator, size: int) -> np.ndarray:
    """Smooth colours, two patches of stripes, and strokes; float64 ``(S, S, 3)``."""
    colours = rng.uniform(40, 150, (3, 3, 1)) + rng.uniform(-40, 40, (3, 3, 3))
    canvas = cv2.resize(colours, (size, size), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:size, :size]
    for _ in range(2):
        angle, period = rng.uniform(0, np.pi), rng.uniform(3, 7) * size / 64
        stripes = np.sin(2 * np.pi * (np.cos(angle) * x + np.sin(angle) * y) / period)
        canvas = canvas + (rng.uniform(15, 35) * stripes * _blob(rng.uniform(0, size, 2), size / 3, size))[..., None]
    for _ in range(rng.integers(2, 5)):
        start, end = rng.integers(0, size, (2, 2)).tolist()
        cv2.line(canvas, start, end, rng.uniform(0, 200, 3).tolist(), max(1, size // 64))
    return np.clip(canvas, 0, 255)


def _digits(rng: np.random.Generator, images: np.ndarray, size: int) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """How opaque printed and hot digits are at each pixel, each float64 ``(S, S)`` in 0..1, at least one of a kind."""
    stamps: list[np.ndarray] = []
    taken = np.zeros((size, size), dtype=bool)
    wanted = rng.integers(2, 5)
    for attempt in range(100):  # tries; the 20 that are enough for most may leave one kind without a digit
        stamp = _stamp(rng, images[rng.integers(len(images))], size)
        window = _place(rng, stamp, size)
        if not taken[window].any():
            taken[window] = True
            stamps.append(np.zeros((size, size)))
            stamps[-1][window] = stamp
        if len(stamps) == wanted or (attempt >= 20 and len(stamps) >= 2):
            break
    return stamps[0::2], stamps[1::2]


def _trouble(rng: np.random.Generator, visible: np.ndarray, digits: list[np.ndarray]) -> np.ndarray:
    """What hides a part of the visible, around one of the digits: a shadow, a glare or smoke."""
    size = len(visible)
    centre = np.argwhere(digits[rng.integers(len(digits))] > 0.5).mean(axis=0)
    where = _blob(centre, size * rng.uniform(0.2, 0.35), size)[..., None]
    kind = rng.integers(3)
    if kind == 0:
        return visible * (1 - 0.92 * np.minimum(1, 2 * where))
    if kind == 1:
        return np.minimum(visible + 330 * where**2, 255)  # squared, it reaches less far than the others
    smoke = 0.85 * np.minimum(1, 1.5 * where)
    return visible + smoke * (rng.uniform(150, 200) - visible)


def _blob(centre: np.ndarray, radius: float, size: int) -> np.ndarray:
    """A Gaussian of height 1 around (row, column); float64 ``(S, S)``."""
    y, x = np.mgrid[:size, :size]
    return np.exp(-((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * radius**2))


def _over(below: np.ndarray, alpha: np.ndarray, value: np.ndarray | float) -> np.ndarray:
    """``(S, S)`` or ``(S, S, 3)`` with a colour painted over it."""
    alpha = alpha.reshape(alpha.shape + (1,) * (below.ndim - 2))
    return below + alpha * (value - below)


def _luma(picture: np.ndarray) -> np.ndarray:
    return picture @ np.array([0.299, 0.587, 0.114])


def _as_picture(picture: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)


@DATASETS.register_module()
class FusionScenes(BaseDataset):
    """Pairs made from scikit-learn's digits, composed once and kept in memory.

    Pair ``i`` of a split depends on the split, the seed, its number and the size, on nothing else. The two splits draw
    from different handwriting, as ``Digits`` has it. The pipeline needs no ``LoadPair``.

    Args:
        n: Number of pairs; the first of them are those of any smaller number.
        split: ``train`` or ``val``.
        size: S, the side in pixels, at least 32.
        seed: At least 0; another seed composes other pairs.
        **kwargs: Those of mmengine's ``BaseDataset``, such as ``pipeline``.

    Raises:
        MTKDError: A number is out of its range, the split is unknown, or scikit-learn is not installed.
    """

    def __init__(self, n: int, split: str = 'train', size: int = 64, seed: int = 0, **kwargs: Any) -> None:
        for name, value, low in (('n', n, 1), ('size', size, SMALLEST), ('seed', seed, 0)):
            check_number('FusionScenes', name, value, low=low, whole=True)
        if split not in ('train', 'val'):
            raise MTKDError(f"FusionScenes: no split {split!r}; use 'train' or 'val'")
        self.n, self.split, self.size, self.seed = n, split, size, seed
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """The samples before the pipeline.

        Returns:
            For each pair ``infrared``, ``visible`` and ``ideal`` as in `PairScene`; ``ori_shape``, (S, S); ``name``.
        """
        samples = Digits(split=self.split, lazy_init=True).load_data_list()
        images = np.stack([sample['img'][..., 0] for sample in samples])
        part = ('train', 'val').index(self.split)
        scenes = (make_pair_scene(images, (self.seed, part, number), self.size) for number in range(self.n))
        return [
            {**scene._asdict(), 'ori_shape': (self.size, self.size), 'name': f'{self.split}_{number:05d}'}
            for number, scene in enumerate(scenes)
        ]
