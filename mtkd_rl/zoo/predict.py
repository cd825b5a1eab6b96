"""What a published student says of a picture."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import DefaultScope
from PIL import Image, UnidentifiedImageError
from torch import nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.transforms import PackPair
from mtkd_rl.fusion.transforms.loading import read_pair
from mtkd_rl.pictures import SURE, Boxes, draw
from mtkd_rl.zoo.load import Student

BEST = 3
"""Classes that are named."""


def classify(student: Student, pictures: Sequence[Path], out: Path) -> str:
    """The likeliest classes, one a line."""
    sample = asked(student, only(pictures))
    scores, order = sample.pred_score.sort(descending=True)
    shown = zip(order[:BEST].tolist(), scores[:BEST].tolist())
    return '\n'.join(f'{100 * score:5.1f}%  {named(student, number)}' for number, score in shown)


def detect(student: Student, pictures: Sequence[Path], out: Path) -> str:
    """Draws the boxes."""
    picture, found = opened(only(pictures)), asked(student, only(pictures)).pred_instances.cpu().numpy()
    draw(out, [picture], {'found': [Boxes(found.bboxes, found.labels, found.scores)]}, student.classes, width=6.4)
    return f'{out}: {int((found.scores >= SURE).sum())} objects with a score of at least {SURE}'


def segment(student: Student, pictures: Sequence[Path], out: Path) -> str:
    """Draws the map of classes."""
    found = asked(student, only(pictures)).pred_sem_seg.data[0].cpu().numpy()
    # class 0 is no background here: every class has a colour of its own
    draw(out, [opened(only(pictures))], {'found': [found + 1]}, ('', *student.classes), width=6.4)
    numbers, counts = np.unique(found, return_counts=True)
    most = sorted(zip(counts.tolist(), numbers.tolist()), reverse=True)[:BEST]
    return f'{out}: {", ".join(f"{named(student, number)} {100 * count / found.size:.0f}%" for count, number in most)}'


def fuse(student: Student, pictures: Sequence[Path], out: Path) -> str:
    """Writes the fused picture.

    Raises:
        MTKDError: There are not two pictures.
    """
    if len(pictures) != 2:
        raise MTKDError(f'{student.entry.name} fuses an infrared and a visible picture; give both, in this order')
    infrared, visible = read_pair(*pictures)
    item: Any = PackPair().transform({'infrared': infrared, 'visible': visible})
    model: Any = student.model
    with torch.no_grad():
        (sample,) = model.test_step({key: [value] for key, value in item.items()})
    planes = sample.fused.cpu().numpy()
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0)).save(out)
    return f'{out}: {infrared.shape[1]}x{infrared.shape[0]}'


PREDICT: dict[str, Callable[[Student, Sequence[Path], Path], str]] = {
    'classification': classify,
    'detection': detect,
    'segmentation': segment,
    'fusion': fuse,
}


def asked(student: Student, path: Path) -> Any:
    """The data sample of a picture, after the student's own test pipeline, without annotations."""
    model: Any = student.model
    grey = next(each for each in model.modules() if isinstance(each, nn.Conv2d)).in_channels == 1
    picture = opened(path)
    colours = picture if student.recipe.get('order') == 'rgb' else picture[..., ::-1].copy()
    image = np.array(Image.fromarray(picture).convert('L'))[..., None] if grey else colours
    given = {
        'img': image,
        'img_shape': image.shape[:2],
        'ori_shape': image.shape[:2],
        'img_path': str(path),
        'img_id': 0,
    }
    steps = [step for step in student.recipe['pipeline'] if not str(step['type']).rpartition('.')[2].startswith('Load')]
    with DefaultScope.overwrite_default_scope(student.recipe['default_scope']):
        item = Compose(steps)(given)
    with torch.no_grad():
        (sample,) = model.test_step(pseudo_collate([item]))
    return sample


def opened(path: Path) -> np.ndarray:
    """A picture, uint8 ``(H, W, 3)`` in RGB order.

    Raises:
        MTKDError: It cannot be read.
    """
    try:
        return np.array(Image.open(path).convert('RGB'))
    except (OSError, UnidentifiedImageError) as error:
        raise MTKDError(f'{path}: cannot be read as a picture ({" ".join(str(error).split())})') from None


def only(pictures: Sequence[Path]) -> Path:
    """The one picture.

    Raises:
        MTKDError: There are more.
    """
    if len(pictures) != 1:
        raise MTKDError(f'{len(pictures)} pictures: give one')
    return pictures[0]


def named(student: Student, number: int) -> str:
    """The name of a class, its number where it has none."""
    return student.classes[number] if number < len(student.classes) else str(number)
