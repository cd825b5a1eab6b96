"""The Protocol of a task, and how the right one is found for a student."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from mtkd_rl.degradations import Degradations
from mtkd_rl.errors import MTKDError
from mtkd_rl.losses import Says
from mtkd_rl.registry import TASKS, build
from mtkd_rl.taps import Taps
from mtkd_rl.teachers import Teacher
from mtkd_rl.types import Batch, Comparison, Outputs, Points


class Task(Protocol):
    """What the distiller asks about models of one task. A new task is one registered class with these members.

    Attributes:
        temperature: Of the logit losses, where neither the hook nor a teacher's entry gives one.
        says: What its models say, and so what logit losses may compare: scores of ``'classes'``, with places also
            ``'maps'`` of these, or fused ``'pictures'``. The first is what they are called.
        logit_loss: Config of the logit loss, where the hook gives none.
        reward: Config of the agent's reward, where the strategy gives none: what served students of this task best.
        degradations: What makes challenging versions of its models' inputs, for self-learning.
        groups: How many groups ``Batch.group`` tells apart; known after ``meet``.
    """

    temperature: ClassVar[float]
    says: ClassVar[tuple[Says, ...]]
    logit_loss: ClassVar[dict[str, Any]]
    reward: ClassVar[dict[str, Any]]
    degradations: ClassVar[Degradations]
    groups: int

    @staticmethod
    def accepts(student: nn.Module) -> bool:
        """Whether this task can distil into such a student."""

    def meet(self, student: nn.Module, teachers: Sequence[Teacher], classes: Sequence[str] | None) -> list[str | None]:
        """Looks at student and pool once, before the first batch.

        Args:
            student: The student.
            teachers: The pool.
            classes: Names of the student's classes, in the order of its logits; ``None`` where they are not known.

        Returns:
            Of each teacher why its logits do not correspond to the student's; ``None`` where they do.

        Raises:
            MTKDError: A teacher cannot teach this student at all, such as one without a class in common.
        """

    def listen(self, model: nn.Module, layer: str | None, owner: str) -> Taps:
        """Taps on a model for all that ``outputs`` and ``ask`` need.

        Args:
            model: A student, or a teacher of any library.
            layer: The name of the module whose output is the feature; ``None`` finds it.
            owner: Whose model it is, for error messages.
        """

    def asks(self, teacher: Teacher) -> str:
        """What of the student decides what a teacher says, beside the pictures: what a cache must not confuse."""

    def keep(self, samples: Sequence[Any]) -> Sequence[Any]:
        """The annotations as they are before the student's forward pass, which may change them."""

    def read(self, inputs: Tensor, samples: Sequence[Any], records: dict[str, Any]) -> Batch:
        """The batch, with its labels as the task wants them, on the student's device.

        Args:
            inputs: As the student was given them, ``(B, C, H, W)``.
            samples: The annotations, as the student's ``loss`` gets them.
            records: What the student's taps recorded on this batch.
        """

    def run(self, model: nn.Module, inputs: Tensor) -> Any:
        """A plain forward pass of a teacher, to see what its modules say."""

    def ask(self, teacher: Teacher, taps: Taps, inputs: Tensor, batch: Batch) -> Outputs:
        """A teacher's outputs.

        Args:
            teacher: Whom to ask.
            taps: On its model.
            inputs: The student's, converted to its contract.
            batch: What the student was given.

        Raises:
            MTKDError: They do not fit the labels, such as another number of classes.
        """

    def outputs(
        self, student: nn.Module, records: dict[str, Any], batch: Batch, losses: dict[str, Any]
    ) -> tuple[Outputs, Points]:
        """The student's outputs with their graph, and where gradients are compared.

        Args:
            student: The student, after its forward pass.
            records: What its taps recorded.
            batch: What it was given.
            losses: What its forward pass returned.

        Raises:
            MTKDError: They do not fit the labels.
        """

    def compare(
        self, student: Outputs, teachers: Sequence[Outputs], present: Tensor, batch: Batch
    ) -> tuple[Comparison | None, ...]:
        """Each teacher's logits beside the student's, which keep their graph.

        Args:
            student: The student's outputs.
            teachers: The pool's.
            present: Whose are to be looked at, bool ``(M,)``.
            batch: What the student was given.

        Returns:
            ``None`` where ``meet`` said that they do not correspond.
        """

    def answer(self, model: Any, inputs: Tensor) -> tuple[Tensor, ...]:
        """What a student, or the running average of one, says of pictures, with graph where gradients are on.

        The forward hooks of the model itself are passed by; those of its modules are not.
        """

    def self_loss(
        self, answer: Sequence[Tensor], wanted: Sequence[Tensor], inputs: Tensor, samples: Sequence[Any]
    ) -> Tensor:
        """How far what a student says of challenging versions is from what it should say, float32 ``(B,)``.

        Args:
            answer: Of the challenging versions.
            wanted: Of the clean pictures, without graph.
            inputs: The clean pictures, ``(B, C, H, W)``.
            samples: Their annotations.
        """


def find_task(student: nn.Module) -> Task:
    """The first registered task that accepts the student.

    Raises:
        MTKDError: None does.
    """
    TASKS.import_from_location()
    for name, task in TASKS.module_dict.items():
        if task.accepts(student):
            return build(TASKS, {'type': name}, 'task')
    raise MTKDError(
        f'the student ({type(student).__name__}) is of no task that mtkd_rl knows ({", ".join(TASKS.module_dict)}): '
        'use a classifier of mmpretrain, a detector of mmdet, a segmenter of mmseg or a FusionModel, or register a '
        'task for it in mtkd_rl.registry.TASKS'
    )


def total(losses: dict[str, Any]) -> Tensor:
    """The sum of all losses of a model, as mmengine adds them up.

    Args:
        losses: Name to tensor or list of tensors; those whose name has no ``loss`` in it do not count.

    Returns:
        A scalar.
    """
    parts = [value for name, value in losses.items() if 'loss' in name]
    flat = [each.mean() for part in parts for each in (part if isinstance(part, list | tuple) else [part])]
    return torch.stack([each.float() for each in flat]).sum()


def of_toolbox(model: nn.Module, toolbox: str) -> bool:
    """Whether a model's class, or one that it inherits from, is a toolbox's; it imports nothing."""
    return any(cls.__module__.split('.')[0] == toolbox for cls in type(model).__mro__)


@contextmanager
def told_as(message: str) -> Iterator[None]:
    """Turns whatever goes wrong in somebody's model into one line.

    Args:
        message: With ``{reason}`` where the error's own words go.

    Raises:
        MTKDError: The block raised an error; one for lack of memory passes.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MTKDError):
        raise
    except Exception as error:
        reason = ' '.join(f'{type(error).__name__}: {error}'.split())[:200]
        raise MTKDError(message.replace('{reason}', reason)) from error


def names_the_teacher(owner: str, inputs: Tensor) -> AbstractContextManager[None]:
    """Says whose model failed, and on what.

    Args:
        owner: Whose model runs, such as ``teacher r50``.
        inputs: What it is given.
    """
    return told_as(
        f'{owner}: it cannot take the pictures {tuple(inputs.shape)} ({{reason}}); '
        "if it wants them of one size, set input_size in its entry, or for a detector Resize and Pad in the student's "
        'pipeline'
    )
