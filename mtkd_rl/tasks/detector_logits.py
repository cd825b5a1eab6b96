"""Where a detector's class scores have rows that correspond to another detector's: on a grid, or on regions."""

from collections.abc import Hashable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtkd_rl.taps import Tap
from mtkd_rl.tasks.dense import Said
from mtkd_rl.types import Batch


class Grid(NamedTuple):
    """The scores of a dense head: at each cell of each level, for each anchor.

    Attributes:
        head: Name of the head.
        classes: Scores of an anchor, with one for the background where it is a softmax.
        sigmoid: Whether they are scores of sigmoids.
        cells: What makes cells correspond: strides, anchors of each level, and their shapes where there are several.
    """

    head: str
    classes: int
    sigmoid: bool
    cells: Hashable

    def meaning(self) -> Hashable:
        """Equal where rows correspond."""
        return self.sigmoid, self.cells

    def taps(self) -> dict[str, Tap]:
        """Taps for ``said``."""
        return {'scores': Tap(self.head)}

    def places(self, records: dict[str, Any]) -> int | None:
        """How many anchors a picture has; ``None`` where the head says something else."""
        levels = first(records.get('scores'))
        if not isinstance(levels, list | tuple) or any(x.dim() != 4 for x in levels):
            return None
        return sum(x.shape[1] // self.classes * x.shape[2] * x.shape[3] for x in levels)

    def said(self, records: dict[str, Any], size: int) -> Said | None:
        """Scores of all anchors, ``(B, P, C)``; ``None`` where the head says something else."""
        levels = first(records.get('scores'))
        if not isinstance(levels, list | tuple) or any(x.dim() != 4 or x.shape[1] % self.classes for x in levels):
            return None
        rows = [x.permute(0, 2, 3, 1).reshape(len(x), -1, self.classes) for x in levels]
        return Said(torch.cat(rows, dim=1), tuple(levels))


class Regions(NamedTuple):
    """The scores of a second stage, for each region (RoI), which the student's first stage proposes to all.

    Attributes:
        extractor: Name of what cuts features out for a region.
        head: Name of the head.
        classes: Scores of a region.
        sigmoid: Whether they are scores of sigmoids.
    """

    extractor: str
    head: str
    classes: int
    sigmoid: bool

    def meaning(self) -> Hashable:
        """Equal where rows correspond."""
        return 'regions', self.sigmoid

    def taps(self) -> dict[str, Tap]:
        """Taps for ``said``."""
        return {'scores': Tap(self.head), 'regions': Tap(self.extractor, 'inputs')}

    def said(self, records: dict[str, Any], size: int) -> Said | None:
        """Scores of all regions, ``(B, P, C)`` with zeros where a picture has fewer regions than another."""
        scores, regions = first(records.get('scores')), records.get('regions')
        if not isinstance(scores, Tensor) or regions is None or len(scores) != len(regions[1]):
            return None
        images = regions[1][:, 0].long()
        return Said(by_image(scores, images, size), (scores,), images)


def grid_of(model: Any) -> Grid | None:
    """The grid of a one-stage detector; ``None`` where there is none that could correspond to another's."""
    head = getattr(model, 'bbox_head', None)
    priors = getattr(head, 'prior_generator', None)
    classes = getattr(head, 'cls_out_channels', None)
    activated = getattr(getattr(head, 'loss_cls', None), 'activated', False)
    # scores beside an objectness (YOLOX, AutoAssign) are trained where there is an object, and mean nothing elsewhere
    conditional = hasattr(head, 'loss_obj') or hasattr(head, 'center_prior')
    if not isinstance(head, nn.Module) or priors is None or not classes or activated or conditional:
        return None
    anchors = tuple(priors.num_base_priors)
    shapes: Hashable = None
    if max(anchors) > 1:
        if not hasattr(priors, 'base_anchors'):
            return None
        shapes = tuple(tuple(x.round(decimals=2).flatten().tolist()) for x in priors.base_anchors)
    strides = tuple(
        tuple(stride) if isinstance(stride, list | tuple) else (stride, stride) for stride in priors.strides
    )
    return Grid('bbox_head', classes, bool(getattr(head, 'use_sigmoid_cls', True)), (strides, anchors, shapes))


def regions_of(model: Any) -> Regions | None:
    """The regions of a two-stage detector, of a cascade those of its first stage; ``None`` where it has others."""
    from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead

    roi_head = getattr(model, 'roi_head', None)
    plain = (StandardRoIHead._bbox_forward, CascadeRoIHead._bbox_forward)
    if roi_head is None or getattr(type(roi_head), '_bbox_forward', None) not in plain:
        return None
    stage = '.0' if isinstance(roi_head.bbox_head, nn.ModuleList) else ''
    head = roi_head.bbox_head[0] if stage else roi_head.bbox_head
    sigmoid = bool(getattr(head.loss_cls, 'use_sigmoid', False))
    if not head.with_cls or getattr(head, 'custom_cls_channels', False):
        return None
    classes = head.num_classes if sigmoid else head.num_classes + 1
    return Regions(f'roi_head.bbox_roi_extractor{stage}', f'roi_head.bbox_head{stage}', classes, sigmoid)


def on_regions(model: Any, features: Any, batch: Batch) -> Tensor:
    """What a two-stage detector says of the student's regions, ``(B, P, C)``."""
    assert batch.rois is not None
    roi_head = model.roi_head
    stage = (0,) if isinstance(roi_head.bbox_head, nn.ModuleList) else ()
    scores = roi_head._bbox_forward(*stage, features, batch.rois)['cls_score']
    return by_image(scores, batch.rois[:, 0].long(), len(batch.inputs))


def by_image(rows: Tensor, images: Tensor, size: int) -> Tensor:
    """Rows ``(R, C)`` of several pictures, in their order, as ``(B, P, C)`` with zeros after a picture's last one.

    Args:
        rows: What is said of each region.
        images: Number of the picture of each row, not falling.
        size: B.
    """
    counts = torch.bincount(images, minlength=size)
    starts = counts.cumsum(0) - counts
    places = torch.arange(len(images), device=images.device) - starts[images]
    empty = rows.new_zeros(size, int(counts.max()), rows.shape[1])
    return empty.index_put((images, places), rows)


def first(said: Any) -> Any:
    """The first of what a head says, where it says several things."""
    return said[0] if isinstance(said, list | tuple) and said else said
