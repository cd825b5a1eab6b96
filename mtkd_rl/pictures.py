"""Pictures of what detectors and segmenters see, beside the ground truth."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope
from torchvision.ops import nms

from mtkd_rl import tooling

SURE = 0.3
"""Boxes with a lower score are not drawn."""
_TWENTY = colormaps['tab20'].colors  # type: ignore[attr-defined]
CLASS_COLOURS = (*_TWENTY[::2], *_TWENTY[1::2])


class Boxes(NamedTuple):
    """Boxes of one picture.

    Attributes:
        corners: ``x1, y1, x2, y2`` in pixels, float ``(N, 4)``.
        labels: Their classes, int ``(N,)``.
        scores: How sure, 0..1, float ``(N,)``; 1 for the truth.
    """

    corners: np.ndarray
    labels: np.ndarray
    scores: np.ndarray


class Seen(NamedTuple):
    """Validation pictures, what is in them and what a model sees there, each a list of one entry a picture.

    Attributes:
        pictures: uint8 ``(H, W, 3)``, RGB.
        truth: `Boxes` for a detector, a label map, int ``(H, W)``, for a segmenter.
        found: Likewise.
        classes: Names of the classes.
    """

    pictures: list[np.ndarray]
    truth: list[Any]
    found: list[Any]
    classes: tuple[str, ...]


def look(cfg: Config, checkpoint: str, n: int) -> Seen:
    """Shows a trained model the first pictures of its validation set.

    Args:
        cfg: Config of a detector or segmenter.
        checkpoint: A file that its training wrote.
        n: Number of pictures.

    Raises:
        MTKDError: The checkpoint is not there, may run code, or does not fit the model.
    """
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model).eval()
        data = DATASETS.build({**cfg.val_dataloader.dataset, 'indices': n})
    saved = tooling.check_checkpoint(checkpoint)
    assert saved is not None
    tooling.check_fit(model, saved, checkpoint)
    items = [data[i] for i in range(n)]
    with torch.no_grad():
        samples = model.test_step(pseudo_collate(items))
    read = _boxes if 'gt_instances' in samples[0] else _label_maps
    truth, found = zip(*map(read, samples))
    pictures = [item['inputs'].numpy()[::-1].transpose(1, 2, 0) for item in items]
    return Seen(pictures, list(truth), list(found), tuple(data.metainfo['classes']))


def draw(
    path: Path | str,
    pictures: Sequence[np.ndarray],
    rows: Mapping[str, Sequence[Any]],
    classes: Sequence[str],
    width: float = 1.6,
) -> None:
    """Draws a grid: a column for each picture, a row for the truth and for each model.

    Args:
        path: The file to write.
        pictures: uint8 ``(H, W, 3)``, RGB.
        rows: Name to what is seen in each picture: `Boxes`, or label maps, int ``(H, W)``, where class 0 is the
            background. Label maps get a row with the pictures on top.
        classes: Names of the classes, at most twenty and the background.
        width: Of a picture, in inches.
    """
    boxes = isinstance(next(iter(rows.values()))[0], Boxes)
    shown = rows if boxes else {'picture': [None] * len(pictures), **rows}
    paint: Callable[[Axes, Any, Sequence[str]], None] = _paint_boxes if boxes else _paint_labels
    height = 0.02 + width * max(len(each) / len(each[0]) for each in pictures)
    figure = Figure(
        figsize=(width * len(pictures) + 0.4, height * len(shown) + 0.5), layout='constrained', facecolor='white'
    )
    grid = figure.subplots(len(shown), len(pictures), squeeze=False)
    for axes_of_row, (name, seen) in zip(grid, shown.items()):
        axes_of_row[0].set_ylabel(name, weight='bold')
        for axes, picture, what in zip(axes_of_row, pictures, seen):
            axes.imshow(picture)
            if what is not None:
                paint(axes, what, classes)
            axes.set(xticks=[], yticks=[])
            axes.spines[:].set_visible(False)
    named = [(name, colour) for name, colour in zip(classes if boxes else classes[1:], CLASS_COLOURS)]
    figure.legend(
        handles=[Patch(color=colour, label=name) for name, colour in named],
        loc='outside lower center',
        ncols=min(len(named), max(3, int(1.2 * width * len(pictures)))),
        frameon=False,
        handlelength=0.8,
        columnspacing=1.2,
    )
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def _paint_boxes(axes: Axes, boxes: Boxes, classes: Sequence[str]) -> None:
    # at one place a detector may see several classes: the surest is shown
    kept = nms(torch.from_numpy(boxes.corners).float(), torch.from_numpy(boxes.scores).float(), iou_threshold=0.5)
    for i in kept.tolist():
        (x1, y1, x2, y2), label, score = boxes.corners[i], boxes.labels[i], boxes.scores[i]
        if score < SURE:
            continue
        colour = CLASS_COLOURS[label % len(CLASS_COLOURS)]
        axes.add_patch(Rectangle((x1 - 0.5, y1 - 0.5), x2 - x1, y2 - y1, fill=False, ec=colour, lw=1.6))
        text = classes[label] if score == 1 else f'{classes[label]} {100 * score:.0f}'
        box = dict(facecolor=colour, edgecolor='none', pad=0.8)
        axes.text(x1, max(y1, 4), text, size=6, color='white', va='bottom', bbox=box, clip_on=True)


def _paint_labels(axes: Axes, labels: np.ndarray, classes: Sequence[str]) -> None:
    colours = ListedColormap([(0.12, 0.12, 0.12), *CLASS_COLOURS])
    axes.imshow(labels, cmap=colours, vmin=0, vmax=len(CLASS_COLOURS), interpolation='nearest')


def _boxes(sample: Any) -> tuple[Boxes, Boxes]:
    """The truth and what was found in a sample of mmdet."""
    truth, found = sample.gt_instances.numpy(), sample.pred_instances.numpy()
    corners = truth.bboxes
    corners = getattr(corners, 'tensor', corners)
    return (
        Boxes(np.asarray(corners), truth.labels, np.ones(len(truth.labels))),
        Boxes(found.bboxes, found.labels, found.scores),
    )


def _label_maps(sample: Any) -> tuple[np.ndarray, np.ndarray]:
    """The truth and what was found in a sample of mmseg."""
    return sample.gt_sem_seg.data[0].numpy(), sample.pred_sem_seg.data[0].numpy()
