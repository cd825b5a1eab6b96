"""The Protocol of a task, and how the right one is found for a student."""

from collections.abc import Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import TASKS, build
from mtkd_rl.taps import Taps
from mtkd_rl.types import Outputs


class Task(Protocol):
    """What the distiller asks about models of one task. A new task is one registered class with these methods."""

    @staticmethod
    def accepts(student: nn.Module) -> bool:
        """Whether this task can distil into such a student."""

    def listen(self, model: nn.Module, layer: str | None, owner: str) -> Taps:
        """Taps on a model for all that ``outputs`` needs.

        Args:
            model: A student, or a teacher of any library.
            layer: The name of the module whose output is the feature; ``None`` finds it.
            owner: Whose model it is, for error messages.
        """

    def target(self, data_samples: Sequence[Any], records: dict[str, Any]) -> Tensor:
        """The labels of a batch as the task's losses want them, on the student's device.

        Args:
            data_samples: The annotations, as the student's ``loss`` gets them.
            records: What the student's taps recorded on this batch.
        """

    def ask(self, teacher: nn.Module, inputs: Tensor) -> None:
        """Runs a teacher, with its taps on, on inputs that were converted to its contract."""

    def outputs(self, records: dict[str, Any], target: Tensor, owner: str) -> Outputs:
        """Makes outputs of what a model's taps recorded.

        Raises:
            MTKDError: They do not fit the target, such as another number of classes.
        """

    def group(self, target: Tensor) -> Tensor:
        """The group of each sample, int64 ``(B,)``, for the statistics on which teacher leads where."""


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
        'use a single-label classifier of mmpretrain, or register a task for it in mtkd_rl.registry.TASKS'
    )
