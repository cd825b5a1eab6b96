"""Classes in common, by name: what a teacher with other classes, or the same in another order, can tell a student."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from mmengine.logging import print_log
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError


class Common(NamedTuple):
    """The classes that a student and a teacher both have.

    Attributes:
        student: Their columns in the student's logits.
        teacher: Their columns in the teacher's logits, in the same order.
    """

    student: tuple[int, ...]
    teacher: tuple[int, ...]


def columns_by_name(student: Sequence[str] | None, teacher: Sequence[str] | None) -> list[int] | None:
    """A teacher's column of each of the student's classes.

    Args:
        student: Names of the student's classes; ``None`` where they are not known.
        teacher: Likewise of the teacher's.

    Returns:
        The columns; ``None`` where the names do not tell, or the order is the same.

    Example:
        >>> columns_by_name(['cat', 'dog'], ['bird', 'dog', 'cat'])
        [2, 1]
    """
    if student is None or teacher is None:
        return None
    ours, theirs = keys_of(student, teacher)
    if ours == theirs or not set(ours) <= set(theirs):
        return None
    return [theirs.index(name) for name in ours]


def classes_in_common(
    name: str, student: Sequence[str] | None, teacher: Sequence[str] | None, counts: tuple[int, int]
) -> Common | None:
    """The classes that a student and a teacher share, where they do not have the same ones in the same order.

    Args:
        name: The teacher's.
        student: Names of the student's classes; ``None`` where they are not known.
        teacher: Likewise of the teacher's.
        counts: How many classes each of the two models tells apart.

    Returns:
        ``None`` where both have the same classes in the same order, as they are taken to where names do not tell.

    Raises:
        MTKDError: They have none in common, differ in number where names do not tell which are which, or have a name
            twice.
    """
    if student is None or teacher is None or len(student) != counts[0] or len(teacher) != counts[1]:
        if counts[0] == counts[1]:
            return None
        raise MTKDError(
            f'teacher {name} has {counts[1]} classes, the student {counts[0]}, and which are which is not known; give '
            f"the teacher's entry their names with classes=[...], and the data set its own with metainfo"
        )
    ours, theirs = keys_of(student, teacher)
    if ours == theirs:
        return None
    shared = [each for each in ours if each in theirs]
    twice = [each for each in shared if ours.count(each) > 1 or theirs.count(each) > 1]
    if twice:
        raise MTKDError(
            f'teacher {name}: the class {twice[0]} is there twice, so which is which is not known; give the '
            "teacher's entry distinct names with classes=[...], and the data set its own with metainfo"
        )
    if not shared:
        raise MTKDError(
            f'teacher {name} has no class in common with the student: the teacher has {_told(teacher)}, the student '
            f"{_told(student)}; where only the names differ, give the teacher's entry the student's with classes=[...]"
        )
    lacking = [each for each, key in zip(student, ours) if key not in theirs]
    if lacking:
        print_log(
            f"mtkd_rl: teacher {name} knows {len(shared)} of the student's {len(student)} classes; it lacks "
            f'{_told(lacking)} (where only names differ, give its entry the names with classes=[...])',
            logger='current',
        )
    return Common(tuple(map(ours.index, shared)), tuple(map(theirs.index, shared)))


def keys_of(*several: Sequence[str]) -> list[list[str]]:
    """Names as they are compared: without case, '_' and '-' as blanks; as they are if that makes two of them equal."""
    folded = [[' '.join(re.split(r'[\s_-]+', name.casefold().strip())) for name in names] for names in several]
    alike = any(len(set(keys)) < len(keys) for keys in folded)
    return [list(names) for names in several] if alike else folded


def relabelled(labels: Tensor, common: Common, n_student: int, missing: int) -> Tensor:
    """A student's labels as the teacher's.

    Args:
        labels: Integers of any shape; those outside ``0 .. n_student - 1`` stay what they are.
        common: The classes in common.
        n_student: How many classes the student has.
        missing: What stands for a class that the teacher lacks.
    """
    table = labels.new_full((n_student,), missing)
    table[list(common.student)] = labels.new_tensor(common.teacher)
    known = (labels >= 0) & (labels < n_student)
    return table[labels.clamp(0, n_student - 1).long()].where(known, labels)


def count_classes(model: nn.Module) -> int | None:
    """How many classes a detector or segmenter tells apart: what its last head says that is no proposal network."""
    found = [
        module.num_classes
        for name, module in model.named_modules()
        if isinstance(getattr(module, 'num_classes', None), int)
        and not name.startswith(('rpn_head', 'backbone', 'neck', 'auxiliary_head', 'data_preprocessor'))
        and name
    ]
    return found[0] if found else None


def _told(classes: Sequence[str]) -> str:
    shown = ', '.join(classes[:12])
    return f'{shown}, … ({len(classes)})' if len(classes) > 12 else shown
