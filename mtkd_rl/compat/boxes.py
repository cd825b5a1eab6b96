"""mmcv's operators on boxes, ``(x1, y1, x2, y2)`` in pixels; with an ``offset`` of 1 a box is a pixel wider and higher.

No gradient passes any of them.
"""

import torch
from torch import Tensor

from mtkd_rl.compat.missing import torchvision_operators
from mtkd_rl.compat.precision import wide


def nms(boxes: Tensor, scores: Tensor, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes (N, 4) that no box of a higher score (N,) overlaps by more than the threshold.

    Returns:
        (K,) int64, by falling score.
    """
    grown = wide(boxes) + boxes.new_tensor([0, 0, offset, offset])
    return torchvision_operators('nms').nms(grown, wide(scores), iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Lower the scores of boxes that one of a higher score overlaps, instead of removing them.

    Args:
        boxes: (N, 4) on the CPU.
        scores: (N,), likewise.
        dets: (N, 5), likewise; its first K rows are set to boxes and new scores, by falling score.
        iou_threshold: From which overlap on methods 0 and 1 change a score.
        sigma: Of method 2.
        min_score: A box whose score falls below is left out.
        method: What a score is multiplied by: 0 by 0, 1 by ``1 - iou``, 2 by ``exp(-iou^2 / sigma)``.
        offset: 0 or 1.

    Returns:
        (K,) int64, the boxes' indices.
    """
    scores = scores.clone()
    left = torch.arange(len(boxes))
    kept: list[Tensor] = []
    while len(left):
        best = int(scores[left].argmax())
        index = left[best]
        dets[len(kept), :4], dets[len(kept), 4] = boxes[index], scores[index]
        kept.append(index)
        left = torch.cat([left[:best], left[best + 1 :]])
        iou = overlaps(boxes[index], boxes[left], offset)
        if method == 2:
            factor = torch.exp(-(iou**2) / sigma)
        else:
            factor = torch.where(iou >= iou_threshold, (1 - iou) * method, 1.0)
        scores[left] *= factor
        left = left[scores[left] >= min_score]
    return torch.stack(kept) if kept else left


def nms_match(dets: Tensor, iou_threshold: float) -> list[list[int]]:
    """Group boxes with the one that suppresses them.

    Args:
        dets: (N, 5), boxes and scores, on the CPU.
        iou_threshold: From which overlap on a box is suppressed.

    Returns:
        For each box that is kept, by falling score: its index and those of the boxes it suppresses, by falling score.
    """
    left = dets[:, 4].argsort(descending=True)
    groups = []
    while len(left):
        best, left = left[0], left[1:]
        suppressed = overlaps(dets[best, :4], dets[left, :4], 0) >= iou_threshold
        groups.append([int(best), *left[suppressed].tolist()])
        left = left[~suppressed]
    return groups


def bbox_overlaps(bboxes1: Tensor, bboxes2: Tensor, ious: Tensor, mode: int, aligned: bool, offset: int) -> None:
    """Set ``ious`` to the overlaps of boxes (N, 4) and others.

    Args:
        bboxes1: (N, 4).
        bboxes2: (M, 4), or (N, 4) where aligned.
        ious: Set, (N, M), or (N,) where aligned; in [0, 1].
        mode: What the intersection is divided by: 0 for the union, 1 for the first box.
        aligned: Compare each box with the other in the same row, not with every other.
        offset: 0 or 1.
    """
    boxes = bboxes1 if aligned else bboxes1[:, None]
    ious.copy_(overlaps(boxes, bboxes2, offset, of_first=mode == 1))


def overlaps(boxes: Tensor, others: Tensor, offset: int, of_first: bool = False) -> Tensor:
    """Intersection over union, or over the first box's area, of boxes (..., 4) that broadcast; in [0, 1]."""
    sides = torch.minimum(boxes[..., 2:], others[..., 2:]) - torch.maximum(boxes[..., :2], others[..., :2]) + offset
    inter = sides.clamp(min=0).prod(-1)
    area = (boxes[..., 2:] - boxes[..., :2] + offset).prod(-1)
    if of_first:
        return inter / area
    return inter / (area + (others[..., 2:] - others[..., :2] + offset).prod(-1) - inter)
