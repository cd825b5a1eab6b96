"""Self-learning: challenging versions of a batch, the student's own better knowledge of it, and what it is good for.

The student is shown degraded versions of its samples and is to say of them what it says of the clean ones, or rather
what a running average of itself says, and what the clean sources and labels say. How much each sample is degraded is a
severity a kind of degradation; the agent chooses it in the same action as the teachers' weights, else it is random.

What a severity was good for is the progress that learning from the sample makes on a batch set aside from the training
data, clean and degraded. Writing ``L_i`` for the loss on degraded sample i and ``G`` for the direction of steepest
descent of the loss on what was set aside, a small step on sample i makes the progress ``-<grad L_i, G>``, which is the
derivative of ``-L_i`` along G, for all samples at once by two more forward passes:

    p_i = (L_i(theta - epsilon G) - L_i(theta + epsilon G)) / (2 epsilon)

So trivial samples (no gradient) and impossible ones (a gradient that helps nowhere else) are worth nothing.
"""

import copy
import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.dist import get_rank
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError, candidates, check_number
from mtkd_rl.self_learning.set_aside import SetAside
from mtkd_rl.tasks.base import Task, total
from mtkd_rl.tasks.undisturbed import steady
from mtkd_rl.types import Batch

STEP = 3e-4
"""Length of the step along G, as a share of the length of all parameters."""


class SelfLesson(NamedTuple):
    """What came of one batch.

    Attributes:
        loss: Scalar with graph, to be added to the student's own.
        severity: What was done to each sample, ``(B, K)`` in [0, 1].
        progress: What learning from each is worth, ``(B,)``, with a mean square of 1 over the batch; ``None`` where
            nobody wants to know.
    """

    loss: Tensor
    severity: Tensor
    progress: Tensor | None


class SelfLearner:
    """Makes challenging versions, and keeps the running average of the student.

    Args:
        weight: Factor of the loss.
        severity: Range of all severities, within [0, 1].
        momentum: How much of the running average a step replaces, in (0, 1].
        held_out: Samples that are set aside from the training data.
        every: Iterations for which a direction is kept.

    Raises:
        MTKDError: A value out of its range.
    """

    def __init__(
        self,
        weight: float = 1.0,
        severity: tuple[float, float] = (0.0, 1.0),
        momentum: float = 0.01,
        held_out: int = 16,
        every: int = 4,
    ) -> None:
        check_number('self_learning', 'weight', weight)
        check_number('self_learning', 'held_out', held_out, 1, whole=True)
        check_number('self_learning', 'every', every, 1, whole=True)
        if not (isinstance(severity, list | tuple) and len(severity) == 2 and 0 <= severity[0] <= severity[1] <= 1):
            raise MTKDError(f'self_learning: severity is {severity}; give a range (low, high) within [0, 1]')
        if not 0 < momentum <= 1:
            raise MTKDError(f'self_learning: momentum is {momentum}; give a number above 0 and at most 1')
        self.weight = weight
        self.severity = severity
        self.momentum = momentum
        self.held_out = held_out
        self.every = every

    def prepare(self, student: nn.Module, task: Task, seed: int) -> None:
        """Copies the student as it is before training.

        Args:
            student: The bare student, on its device, without hooks.
            task: What its outputs mean.
            seed: Of all that is drawn.
        """
        self.student: Any = student
        self.task = task
        self.kinds = task.degradations.kinds
        self.average: Any = copy.deepcopy(student).requires_grad_(False)
        self.parameters = [p for p in student.parameters() if p.requires_grad]
        self.seed = seed
        self.count = 0
        self.direction: list[Tensor] | None = None
        self._said: dict[str, Tensor] = {}
        self.set_aside: SetAside | None = None

    def take(self, aside: SetAside) -> None:
        """What progress is measured on, with severities of its own that stay the same."""
        self.set_aside = aside
        generator = torch.Generator().manual_seed(self.seed)
        self._challenging = self.task.degradations(aside.inputs, self._drawn(aside.inputs, generator), generator)

    def lesson(self, batch: Batch, severity: Tensor | None, wants_progress: bool = True) -> SelfLesson:
        """The loss on a challenging version of a batch.

        Args:
            batch: What the student was given.
            severity: What the strategy decided, ``(B, K)``; ``None`` for uniformly random ones.
            wants_progress: Whether to find out what learning from each sample is worth.
        """
        # counted, not carried on, so that a resumed run draws the same
        generator = torch.Generator().manual_seed((self.seed + 7919 * self.count + get_rank()) % 2**63)
        if severity is None:
            severity = self._drawn(batch.inputs, generator)
        degraded = self.task.degradations(batch.inputs, severity, generator)
        if wants_progress and self.count % self.every == 0:
            self._look()
        self.count += 1
        with steady(self.average), torch.no_grad():
            wanted = self.task.answer(self.average, batch.inputs)
        losses = self._losses(degraded, wanted, batch.inputs, batch.samples)
        progress = self._progress(degraded, wanted, batch) if wants_progress else None
        self._said['self/loss'] = losses.detach().mean()
        return SelfLesson(self.weight * losses.mean(), severity, progress)

    def scalars(self) -> dict[str, Tensor]:
        """What is worth a curve: the loss, and those on the batch set aside."""
        return dict(self._said)

    @torch.no_grad()
    def after_step(self) -> None:
        """Moves the running average to the student."""
        pairs = zip(self.average.state_dict().values(), self.student.state_dict().values())
        for mean, value in pairs:
            if mean.dtype.is_floating_point:
                mean.lerp_(value.to(mean), self.momentum)
            else:
                mean.copy_(value)

    def state_dict(self) -> dict[str, Any]:
        """All that changes."""
        return {'average': self.average.state_dict(), 'count': self.count, 'direction': self.direction}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where ``state_dict`` was taken; after ``prepare``."""
        self.average.load_state_dict(state['average'])
        self.count = state['count']
        saved = state['direction']
        self.direction = None if saved is None else [x.to(p.device) for x, p in zip(saved, self.parameters)]

    def _drawn(self, inputs: Tensor, generator: torch.Generator) -> Tensor:
        """Uniformly random severities for a batch, ``(B, K)``."""
        low, high = self.severity
        drawn = torch.rand(len(inputs), len(self.kinds), generator=generator).to(inputs.device)
        return low + (high - low) * drawn

    def _losses(self, degraded: Tensor, wanted: Sequence[Tensor], inputs: Tensor, samples: Sequence[Any]) -> Tensor:
        """The loss of every sample, ``(B,)``, with graph where gradients are on."""
        with steady(self.student):
            answer = self.task.answer(self.student, degraded)
        with torch.autocast(degraded.device.type, enabled=False):
            return self.task.self_loss(answer, wanted, inputs, samples)

    def _look(self) -> None:
        """The direction of steepest descent of the losses on what was set aside, of length 1."""
        if self.set_aside is None:
            return
        inputs, samples = self.set_aside
        with torch.enable_grad(), steady(self.student):
            clean = total(self.student.loss(inputs, self.task.keep(samples)))
            with torch.no_grad():
                wanted = self.task.answer(self.student, inputs)
            degraded = self._losses(self._challenging, wanted, inputs, samples).mean()
            found = torch.autograd.grad(clean + degraded, self.parameters, allow_unused=True)
        gradients = [torch.zeros_like(p) if g is None else g for g, p in zip(found, self.parameters)]
        length = torch.stack([g.float().square().sum() for g in gradients]).sum().sqrt()
        self.direction = [-g / (length + 1e-12) for g in gradients]
        self._said |= {'self/clean': clean.detach(), 'self/degraded': degraded.detach()}

    @torch.no_grad()
    def _progress(self, degraded: Tensor, wanted: Sequence[Tensor], batch: Batch) -> Tensor | None:
        if self.direction is None:
            return None
        size = torch.stack([p.float().square().sum() for p in self.parameters]).sum().sqrt()
        losses = []
        with torch.autocast(degraded.device.type, enabled=False):  # half precision would drown the difference
            for step in (-STEP * size, STEP * size):
                with _moved(self.parameters, self.direction, step):
                    losses.append(self._losses(degraded, wanted, batch.inputs, batch.samples))
        progress = losses[0] - losses[1]
        return progress / (progress.square().mean().sqrt() + 1e-12)


def build_self_learner(options: Any) -> SelfLearner:
    """The self-learner of the hook's ``self_learning``.

    Raises:
        MTKDError: It is no dict, or has an option that there is not.
    """
    known = list(inspect.signature(SelfLearner).parameters)
    if not isinstance(options, Mapping):
        raise MTKDError(f'self_learning: {options!r} is no dict of options; there are: {", ".join(known)}')
    for name in options:
        if name not in known:
            raise MTKDError(f'self_learning: there is no option {name!r}; did you mean: {candidates(name, known)}')
    return SelfLearner(**options)


@contextmanager
def _moved(parameters: Sequence[nn.Parameter], direction: Sequence[Tensor], step: Tensor) -> Iterator[None]:
    """Parameters a step further, and afterwards as they were, bit by bit; graphs that hold them stay valid."""
    before = [p.detach().clone() for p in parameters]
    try:
        for p, d in zip(parameters, direction):
            p.data.add_(d * step)
        yield
    finally:
        for p, old in zip(parameters, before):
            p.data.copy_(old)
