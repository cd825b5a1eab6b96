"""Made pictures in the folders and files of real detection and segmentation data, to try a config without its data.

Each function writes one data set below a folder, where the configs look for it with ``MTKD_DATA_ROOT`` set to that
folder. The pictures are noise, the labels rectangles: shapes, names and types are those of the real data, and there is
nothing to learn.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mtkd_rl.errors import MTKDError

SPLITS = ('train', 'val')
VOID = 255


def write_coco(
    root: Path, classes: Sequence[str], n: int = 4, size: tuple[int, int] = (64, 96), boxes: int = 3, seed: int = 0
) -> Path:
    """Write pictures and boxes in the layout of COCO-2017.

    Args:
        root: The folder that gets ``coco/``.
        classes: Names of the categories, in the order of their ids, which count from 1.
        n: Pictures of each split.
        size: Height and width of the pictures, each at least 32, below which mmdet passes a picture over.
        boxes: Boxes a picture, at least 8 pixels on a side; their masks are the boxes.
        seed: At least 0; another seed makes other pictures and boxes.

    Returns:
        The folder ``coco`` with ``train2017/``, ``val2017/`` and ``annotations/instances_*2017.json``.

    Raises:
        MTKDError: There are no pictures, no classes, or the pictures are too small.
    """
    _check(n, size, len(classes), smallest=32)
    folder = root / 'coco'
    (folder / 'annotations').mkdir(parents=True, exist_ok=True)
    for split, rng, numbers in _splits(n, seed):
        images: list[dict[str, Any]] = []
        annotations: list[dict[str, Any]] = []
        for i in numbers:
            name = f'{i:012d}.jpg'
            _save(folder / f'{split}2017' / name, _noise(rng, size))
            images.append({'id': i, 'file_name': name, 'height': size[0], 'width': size[1]})
            for _ in range(boxes):
                x, y, w, h = _rectangle(rng, size)
                annotations.append(
                    {
                        'id': len(annotations) + 1,
                        'image_id': i,
                        'category_id': int(rng.integers(len(classes))) + 1,
                        'bbox': [x, y, w, h],
                        'area': w * h,
                        'iscrowd': 0,
                        'segmentation': [[x, y, x + w, y, x + w, y + h, x, y + h]],
                    }
                )
        categories = [{'id': k, 'name': name} for k, name in enumerate(classes, 1)]
        content = {'images': images, 'annotations': annotations, 'categories': categories}
        (folder / 'annotations' / f'instances_{split}2017.json').write_text(json.dumps(content))
    return folder


def write_cityscapes(root: Path, n: int = 4, size: tuple[int, int] = (64, 128), seed: int = 0) -> Path:
    """Write pictures and label maps in the layout of Cityscapes, with the 19 classes that are trained on.

    Args:
        root: The folder that gets ``cityscapes/``.
        n: Pictures of each split.
        size: Height and width of the pictures.
        seed: At least 0.

    Returns:
        The folder ``cityscapes`` with ``leftImg8bit/SPLIT/CITY/*_leftImg8bit.png`` and
        ``gtFine/SPLIT/CITY/*_gtFine_labelTrainIds.png``, uint8 with 255 for void.

    Raises:
        MTKDError: There are no pictures, or they are too small.
    """
    folder = root / 'cityscapes'
    return write_maps(
        folder,
        lambda split, i: (
            f'leftImg8bit/{split}/made/made_000000_{i:06d}_leftImg8bit.png',
            f'gtFine/{split}/made/made_000000_{i:06d}_gtFine_labelTrainIds.png',
        ),
        ids=(*range(19), VOID),
        n=n,
        size=size,
        seed=seed,
    )


def write_ade20k(root: Path, n: int = 4, size: tuple[int, int] = (64, 96), seed: int = 0) -> Path:
    """Write pictures and label maps in the layout of ADE20K.

    Args:
        root: The folder that gets ``ade/``.
        n: Pictures of each split.
        size: Height and width of the pictures.
        seed: At least 0.

    Returns:
        The folder ``ade/ADEChallengeData2016`` with ``images/{training,validation}/*.jpg`` and
        ``annotations/{training,validation}/*.png``, uint8 with the classes 1 to 150 and 0 for void.

    Raises:
        MTKDError: There are no pictures, or they are too small.
    """
    folder = root / 'ade' / 'ADEChallengeData2016'
    names = {'train': 'training', 'val': 'validation'}
    return write_maps(
        folder,
        lambda split, i: (
            f'images/{names[split]}/ADE_{split}_{i:08d}.jpg',
            f'annotations/{names[split]}/ADE_{split}_{i:08d}.png',
        ),
        ids=range(151),
        n=n,
        size=size,
        seed=seed,
    )


def write_coco_stuff164k(root: Path, n: int = 4, size: tuple[int, int] = (64, 96), seed: int = 0) -> Path:
    """Write pictures and label maps in the layout of COCO-Stuff-164K, with the 171 classes that are trained on.

    Args:
        root: The folder that gets ``coco_stuff164k/``.
        n: Pictures of each split.
        size: Height and width of the pictures.
        seed: At least 0.

    Returns:
        The folder ``coco_stuff164k`` with ``images/{train,val}2017/*.jpg`` and
        ``annotations/{train,val}2017/*_labelTrainIds.png``, uint8 with 255 for void.

    Raises:
        MTKDError: There are no pictures, or they are too small.
    """
    folder = root / 'coco_stuff164k'
    return write_maps(
        folder,
        lambda split, i: (f'images/{split}2017/{i:012d}.jpg', f'annotations/{split}2017/{i:012d}_labelTrainIds.png'),
        ids=(*range(171), VOID),
        n=n,
        size=size,
        seed=seed,
    )


def write_maps(
    folder: Path,
    names: Callable[[str, int], tuple[str, str]],
    ids: Sequence[int],
    n: int = 4,
    size: tuple[int, int] = (64, 96),
    seed: int = 0,
) -> Path:
    """Write pictures and label maps of rectangles on a ground.

    Args:
        folder: Where they go.
        names: Makes of a split, ``train`` or ``val``, and a picture's number the paths of picture and label map, whose
            endings say the format.
        ids: The label ids to draw with, in 0..255.
        n: Pictures of each split.
        size: Height and width of the pictures, each at least 8.
        seed: At least 0; another seed makes other pictures and labels.

    Returns:
        The folder.

    Raises:
        MTKDError: There are no pictures, no ids, or the pictures are too small.
    """
    _check(n, size, len(ids), smallest=8)
    for split, rng, numbers in _splits(n, seed):
        for i in numbers:
            picture, labels = names(split, i)
            drawn = rng.permutation(ids).astype(np.uint8)
            ground = np.full(size, drawn[0])
            for label in drawn[1:6]:
                x, y, w, h = _rectangle(rng, size)
                ground[y : y + h, x : x + w] = label
            _save(folder / picture, _noise(rng, size))
            _save(folder / labels, ground)
    return folder


def _splits(n: int, seed: int) -> Iterator[tuple[str, np.random.Generator, range]]:
    """Each split with its random numbers and the numbers of its pictures, which no other split has."""
    for k, split in enumerate(SPLITS):
        yield split, np.random.default_rng((seed, k)), range(k * n + 1, k * n + n + 1)


def _check(n: int, size: tuple[int, int], classes: int, smallest: int) -> None:
    if min(n, classes) < 1 or min(size) < smallest:
        raise MTKDError(
            f'made data: n={n} and the number of classes, {classes}, must be at least 1, the sides of size={size} at '
            f'least {smallest}'
        )


def _noise(rng: np.random.Generator, size: tuple[int, int]) -> np.ndarray:
    return rng.integers(256, size=(*size, 3), dtype=np.uint8)


def _rectangle(rng: np.random.Generator, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Left, top, width and height of a rectangle inside the picture, at least 8 pixels on a side."""
    height, width = size
    x, y = int(rng.integers(width - 7)), int(rng.integers(height - 7))
    return x, y, int(rng.integers(8, width - x + 1)), int(rng.integers(8, height - y + 1))


def _save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
