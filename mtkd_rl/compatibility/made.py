"""Made pictures with made annotations of all kinds, of the sizes and classes that a config asks for."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

SMALL_SIDES = {'mmpretrain': (96,), 'mmdet': (128, 256), 'mmseg': (128,)}
"""Sides of the pictures that are tried before the config's own, smallest first."""
LARGE = 384
LARGEST = 640
"""A side that a config's pipeline names is tried up to here; one that its model names always."""
SIDE_KEYS = ('crop_size', 'scale', 'img_scale', 'size', 'pad_size')


def find(node: Any, *keys: str, outside: tuple[str, ...] = ()) -> Iterator[Any]:
    """All values of some keys, at any depth of a config.

    Args:
        node: The config, or a part of it.
        *keys: What to look for.
        outside: Keys below which nothing is looked for.
    """
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key in keys:
                yield value
            if key not in outside:
                yield from find(value, *keys, outside=outside)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from find(value, *keys, outside=outside)


class Size(NamedTuple):
    """How large the pictures are.

    Attributes:
        side: Of a square, in pixels.
        fit: Whether the backbone's ``img_size`` is set to that.
    """

    side: int
    fit: bool = False


def sizes(toolbox: str, cfg: Mapping[str, Any]) -> list[Size]:
    """Sizes of pictures to be tried, in order: small ones, then what the config says its model wants.

    A backbone that wants pictures above `LARGE` is first tried as one that wants small ones: attention over so many
    patches takes more memory than there may be.

    Args:
        toolbox: One of the three toolboxes.
        cfg: The whole config.

    Returns:
        At most five, each once.
    """
    small = SMALL_SIDES[toolbox]
    wanted = _side((cfg['model'].get('backbone') or {}).get('img_size'))
    model_sides = [_side(value) for value in find(cfg['model'], 'img_size', 'input_size')]
    pipeline_sides = [_side(value) for value in find(_pipeline(cfg), *SIDE_KEYS)]
    own = [side for side in model_sides if side] + sorted({side for side in pipeline_sides if 0 < side <= LARGEST})[:1]
    tried = [Size(side) for side in small] + [Size(small[-1], True)] * (wanted > LARGE) + [Size(side) for side in own]
    return list(dict.fromkeys(tried))[:5]


def batch(toolbox: str, cfg: Mapping[str, Any], side: int, pictures: int = 2) -> list[dict[str, Any]]:
    """Made samples as the toolbox's data sets give them to its loader, the same in every process.

    Args:
        toolbox: One of the three toolboxes.
        cfg: The whole config.
        side: Of the square pictures.
        pictures: How many.

    Returns:
        ``inputs``, a uint8 picture ``(C, side, side)``, and ``data_samples``, its annotations.
    """
    rng = np.random.default_rng(7)
    annotate = {'mmpretrain': _classified, 'mmdet': _detected, 'mmseg': _segmented}[toolbox]
    return [_sample(rng, annotate, cfg, side, number) for number in range(pictures)]


def _sample(rng: np.random.Generator, annotate: Any, cfg: Mapping[str, Any], side: int, number: int) -> dict[str, Any]:
    boxes = _boxes(rng, side)
    picture = rng.integers(0, 120, (_channels(cfg), side, side))
    for x1, y1, x2, y2 in boxes.astype(int):
        picture[:, y1:y2, x1:x2] += rng.integers(20, 130, (len(picture), 1, 1))
    return {
        'inputs': torch.from_numpy(picture.astype(np.uint8)),
        'data_samples': annotate(rng, cfg, boxes, side, number),
    }


def _classified(rng: np.random.Generator, cfg: Mapping[str, Any], boxes: np.ndarray, side: int, number: int) -> Any:
    from mmpretrain.structures import DataSample

    classes = min(_numbers(find(cfg['model'], 'num_classes')), default=1000)
    sample = DataSample(metainfo=dict(img_shape=(side, side), ori_shape=(side, side), sample_idx=number))
    return sample.set_gt_label((3 * number + 1) % classes)


def _detected(rng: np.random.Generator, cfg: Mapping[str, Any], boxes: np.ndarray, side: int, number: int) -> Any:
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks
    from mmengine.structures import InstanceData, PixelData

    model = cfg['model']
    counts = find(model, 'num_classes', 'num_things_classes', outside=('rpn_head', 'semantic_head'))
    labels = rng.integers(0, min(_numbers(counts), default=1), len(boxes))
    masks = np.stack([_ellipse(box, side) for box in boxes])
    sample = DetDataSample(
        metainfo=dict(
            img_id=number,
            img_path=f'{number}.jpg',
            img_shape=(side, side),
            ori_shape=(side, side),
            scale_factor=(1.0, 1.0),
            flip=False,
            flip_direction=None,
        )
    )
    sample.gt_instances = InstanceData(bboxes=torch.from_numpy(boxes).float(), labels=torch.from_numpy(labels))
    sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
    if any(find(_pipeline(cfg), 'with_mask')):
        sample.gt_instances.masks = BitmapMasks(masks, side, side)
        sample.ignored_instances.masks = BitmapMasks(np.zeros((0, side, side), dtype=np.uint8), side, side)
    proposals = np.clip(np.concatenate([boxes, boxes + rng.integers(-8, 8, boxes.shape), _boxes(rng, side)]), 0, side)
    sample.proposals = InstanceData(
        bboxes=torch.from_numpy(proposals).float(), scores=torch.linspace(1, 0.1, len(proposals))
    )
    stuff = _stuff(model)
    if stuff > 0:
        first = max(_numbers(find(model, 'num_things_classes')), default=0)
        whole = _map(rng, boxes, np.full(len(boxes), 255), first, first + stuff, side)
        for mask, label in zip(masks.astype(bool), labels):
            whole[mask] = label
        sample.gt_sem_seg = PixelData(sem_seg=torch.from_numpy(whole)[None])
    return sample


def _segmented(rng: np.random.Generator, cfg: Mapping[str, Any], boxes: np.ndarray, side: int, number: int) -> Any:
    from mmengine.structures import PixelData
    from mmseg.structures import SegDataSample

    classes = min(_numbers(find(cfg['model'], 'num_classes', outside=('backbone',))), default=2)
    labels = rng.integers(0, classes, len(boxes))
    whole = _map(rng, boxes, labels, 0, classes, side)
    whole[: max(1, side // 16)] = 255
    edges = np.zeros_like(whole)
    edges[:, 1:] |= whole[:, 1:] != whole[:, :-1]
    edges[1:] |= whole[1:] != whole[:-1]
    shape = (side, side)
    sample = SegDataSample(metainfo=dict(img_shape=shape, ori_shape=shape, pad_shape=shape, img_path=f'{number}.jpg'))
    sample.gt_sem_seg = PixelData(data=torch.from_numpy(whole)[None])
    sample.gt_edge_map = PixelData(data=torch.from_numpy(edges)[None])
    return sample


def _stuff(model: Mapping[str, Any]) -> int:
    """How many classes of stuff a panoptic or semantic head of a detector has."""
    semantic = _numbers(find(list(find(model, 'semantic_head')), 'num_classes'))
    return max([*_numbers(find(model, 'num_stuff_classes')), *semantic], default=0)


def _map(
    rng: np.random.Generator, boxes: np.ndarray, labels: np.ndarray, first: int, end: int, side: int
) -> np.ndarray:
    """A map of classes, int64 ``(side, side)``: four fields of random classes, and on them the boxes."""
    whole = rng.integers(first, end, (2, 2)).repeat((side + 1) // 2, axis=0).repeat((side + 1) // 2, axis=1)
    whole = np.ascontiguousarray(whole[:side, :side])
    for (x1, y1, x2, y2), label in zip(boxes.astype(int), labels):
        whole[y1:y2, x1:x2] = label
    return whole


def _boxes(rng: np.random.Generator, side: int) -> np.ndarray:
    """Three boxes, float32 ``(3, 4)``, within the picture, from a fifth to two thirds of its side."""
    sizes = rng.uniform(0.2, 0.65, (3, 2)) * side
    corners = rng.uniform(0, 1, (3, 2)) * (side - sizes)
    return np.concatenate([corners, corners + sizes], axis=1).round().astype(np.float32)


def _ellipse(box: np.ndarray, side: int) -> np.ndarray:
    """The mask of an object, uint8 ``(side, side)``."""
    x1, y1, x2, y2 = box
    y, x = np.mgrid[:side, :side] + 0.5
    return (((2 * x - x1 - x2) / (x2 - x1)) ** 2 + ((2 * y - y1 - y2) / (y2 - y1)) ** 2 <= 1).astype(np.uint8)


def _channels(cfg: Mapping[str, Any]) -> int:
    """Of the pictures that the config's preprocessor normalises; 3 where it does not say."""
    model_cfg = cfg['model'].get('data_preprocessor') or cfg.get('data_preprocessor') or {}
    mean = model_cfg.get('mean')
    return len(mean) if mean else 3


def _pipeline(cfg: Mapping[str, Any]) -> Any:
    return [cfg.get('train_pipeline'), cfg.get('train_dataloader'), cfg.get('test_pipeline')]


def _side(value: Any) -> int:
    """A side in pixels from what configs write for it: a number, a pair of numbers, or something else (0)."""
    numbers = _numbers([value] if isinstance(value, int) else value if isinstance(value, list | tuple) else [])
    return min(numbers, default=0)


def _numbers(values: Any) -> list[int]:
    return [value for value in values if isinstance(value, int) and not isinstance(value, bool) and value > 0]


def tensors(node: Any) -> list[Tensor]:
    """All tensors in what a model returned, in order, on the CPU."""
    if isinstance(node, Tensor):
        return [node.detach().cpu()]
    if isinstance(node, Mapping):
        return [tensor for value in node.values() for tensor in tensors(value)]
    if isinstance(node, list | tuple):
        return [tensor for value in node for tensor in tensors(value)]
    if not hasattr(node, 'all_items'):
        return []
    said = sorted(node.all_items())  # it keeps them in a set, which each process orders in its own way
    return tensors([value for name, value in said if not name.startswith('gt_')])
