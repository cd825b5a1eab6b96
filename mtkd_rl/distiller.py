"""One student, its pool, adapters and losses: tensors in, losses and feedback out. Knows nothing of the Runner."""

import logging
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.guard import Guard
from mtkd_rl.losses import FeatureLoss, LogitLoss
from mtkd_rl.losses.adapters import build_adapter
from mtkd_rl.losses.functional import kl_divergence, pool, relational_similarity
from mtkd_rl.rl.credit import CreditAssigner
from mtkd_rl.rng import isolated
from mtkd_rl.taps import Taps, deepest_feature
from mtkd_rl.tasks import Task
from mtkd_rl.teachers import InputContract, Teacher, convert
from mtkd_rl.types import Credit, Decision, Feedback, Knowledge, Outputs, State
from mtkd_rl.weighting.base import Setting, Strategy, leave_out

KINDS = ('logit', 'feature')
"""The kinds of knowledge, in the order of ``Knowledge``."""


class Observed(NamedTuple):
    """What is known of one batch before the decision.

    Attributes:
        state: What the strategy may look at.
        knowledge: Unreduced losses, with their graph.
        credit: Credit of each kind of knowledge; empty where neither the strategy nor a guard wants it.
    """

    state: State
    knowledge: Knowledge
    credit: dict[str, Credit]


class Lesson(NamedTuple):
    """What came of one batch.

    Attributes:
        losses: ``loss_kd_logit`` and ``loss_kd_feature``, scalars with graph, to be added to the student's own.
        feedback: What the strategy is told after the step.
    """

    losses: dict[str, Tensor]
    feedback: Feedback


class Distiller:
    """Teaches one student.

    Args:
        student: The bare student, not its DDP wrapper.
        teachers: The pool.
        task: What the models' outputs mean.
        source: How the student's inputs are normalised.
        strategy: Who sets the weights.
        logit_loss: Loss on logits, or ``None``.
        feature_loss: Loss on features, or ``None``.
        logit_weight: Factor of all logit losses (the paper's alpha); ``None`` for the guard's balance.
        feature_weight: Factor of all feature losses (the paper's beta); ``None`` likewise.
        student_layer: Name of the student's tapped layer; ``None`` finds it.
        seed: Of adapters and agent.
        guard: What keeps the student from harm; ``None`` for nothing: a weight that is ``None`` is then 1.
    """

    def __init__(
        self,
        student: nn.Module,
        teachers: Sequence[Teacher],
        task: Task,
        source: InputContract,
        strategy: Strategy,
        *,
        logit_loss: LogitLoss | None,
        feature_loss: FeatureLoss | None,
        logit_weight: float | None,
        feature_weight: float | None,
        student_layer: str | None,
        seed: int,
        guard: Guard | None = None,
    ) -> None:
        self.student = student
        self.teachers = teachers
        self.task = task
        self.source = source
        self.strategy = strategy
        self.logit_loss = logit_loss
        self.feature_loss = feature_loss
        self.weights = dict(zip(KINDS, (logit_weight, feature_weight)))
        self.guard = guard
        self.seed = seed
        self.kinds = tuple(kind for kind, loss in zip(KINDS, (logit_loss, feature_loss)) if loss is not None)
        # Made of the first batch, which shows the shapes; a ModuleList only so that it saves, moves and lists as one.
        self.adapters: nn.ModuleList | None = None
        self._saved_adapters: dict[str, Any] | None = None
        self.credit = CreditAssigner()
        self.device = next(student.parameters()).device
        self._shapes: dict[str, Outputs] = {}
        self.student_taps = task.listen(student, student_layer, 'student')
        self.teacher_taps: list[Taps | None] = [self._listen(teacher) for teacher in teachers]
        names = tuple(teacher.name for teacher in teachers)
        strategy.prepare(Setting(teachers=names, kinds=self.kinds, seed=seed, device=self.device))
        if guard is not None:
            guard.prepare(names, self.kinds, [kind for kind in self.kinds if self.weights[kind] is None], self.device)

    def lesson(self, inputs: Tensor, data_samples: Sequence[Any], factor: float) -> Lesson:
        """Everything between the student's forward pass and the Runner's backward pass.

        Args:
            inputs: What the student was given, ``(B, C, H, W)``, normalised and augmented.
            data_samples: Its labels.
            factor: Of the distillation in the total, from the schedule; above 0.

        Returns:
            The lesson.
        """
        observed = self.observe(inputs, data_samples, self.strategy.wants_credit)
        with torch.autocast(self.device.type, enabled=False):
            decision = self.strategy.decide(observed.state)
            check_decision(decision, observed.state.divergence.shape, type(self.strategy).__name__)
            return self.teach(observed, decision, factor)

    def observe(self, inputs: Tensor, data_samples: Sequence[Any], wants_credit: bool) -> Observed:
        """Asks the teachers, and compares them with what the taps recorded of the student.

        Teachers run in the student's precision, mixed or not; all that is made of their answers is float32.
        """
        records = self.student_taps.take()
        target = self.task.target(data_samples, records)
        teachers, present = self.admit(self.ask_teachers(inputs, target))
        with torch.autocast(self.device.type, enabled=False):
            student = self.task.outputs(records, target, 'student')
            pairs = self._pairs(student, teachers)
            columns = self._losses(student, teachers, pairs, target)
            knowledge = Knowledge(*(torch.stack(columns[kind], 1) if kind in columns else None for kind in KINDS))
            guarded = self.guard is not None
            credit = self.credit(student, target, columns, effects=wants_credit) if wants_credit or guarded else {}
            return Observed(_state(student, teachers, pairs, present, target), knowledge, credit)

    def admit(self, answers: tuple[Outputs, ...]) -> tuple[tuple[Outputs, ...], Tensor]:
        """The teachers' outputs with zeros for those whom the guard leaves out, and who is present, bool ``(M,)``."""
        if self.guard is None:
            return answers, torch.ones(len(answers), dtype=torch.bool, device=self.device)
        return self.guard.admit(answers)

    def teach(self, observed: Observed, decision: Decision, factor: float) -> Lesson:
        """The weighted losses of a decision, without those whom the guard leaves out or turns down."""
        state, knowledge, credit = observed
        scales: dict[str, Tensor] = {}
        if self.guard is None:
            decision = leave_out(decision, state.present)
        else:
            decision, knowledge, scales = self.guard.rule(state, decision, knowledge, credit)
        losses = {}
        for kind in self.kinds:
            weighted = decision.strength * (getattr(decision, kind) * getattr(knowledge, kind)).sum(dim=1)
            weight = self.weights[kind]
            scale = scales.get(kind, 1.0) if weight is None else weight
            losses[f'loss_kd_{kind}'] = scale * factor * weighted.mean()
        return Lesson(losses, Feedback(state, decision, _detached(knowledge), credit))

    @torch.no_grad()
    def ask_teachers(self, inputs: Tensor, target: Tensor) -> tuple[Outputs, ...]:
        """Every teacher's outputs; zeros of one that is dropped, which does not run any more."""
        gone: frozenset[str] = frozenset() if self.guard is None else self.guard.gone
        converted: dict[InputContract, Tensor] = {}
        answers = []
        for i, teacher in enumerate(self.teachers):
            if teacher.name in gone and teacher.name in self._shapes:
                answers.append(Outputs(*(x.new_zeros(len(inputs), *x.shape[1:]) for x in self._shapes[teacher.name])))
                continue
            if teacher.contract not in converted:
                converted[teacher.contract] = convert(inputs, self.source, teacher.contract)
            outputs = self._ask_one(i, teacher, converted[teacher.contract], target)
            self._shapes[teacher.name] = Outputs(*(x.new_empty(0, *x.shape[1:]) for x in outputs))
            answers.append(outputs)
        return tuple(answers)

    def close(self) -> None:
        """Takes every hook off student and teachers."""
        for taps in (self.student_taps, *self.teacher_taps):
            if taps is not None:
                taps.close()

    def state_dict(self) -> dict[str, Any]:
        """All that learns: adapters, strategy, and what credit is computed with."""
        adapters = self._saved_adapters if self.adapters is None else self.adapters.state_dict()
        return {
            'adapters': None if adapters is None else {name: value.cpu() for name, value in adapters.items()},
            'strategy': self.strategy.state_dict(),
            'credit': self.credit.state_dict(),
            'guard': None if self.guard is None else self.guard.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where ``state_dict`` was taken; adapters follow with the first batch."""
        self._saved_adapters = state['adapters']
        self.strategy.load_state_dict(state['strategy'])
        self.credit.load_state_dict(state['credit'], self.device)
        if self.guard is not None and state['guard'] is not None:
            self.guard.load_state_dict(state['guard'])

    def build_adapters(self, student: Outputs, teachers: Sequence[Outputs]) -> nn.ModuleList:
        """An adapter a teacher on whatever the feature loss compares; none without a feature loss."""
        side = None if self.feature_loss is None else self.feature_loss.on
        if side is not None and not getattr(student, side).requires_grad:
            print_log(
                f"mtkd_rl: the student's {side} has no gradient, so the feature loss teaches it nothing: its layers "
                'are frozen, or it lies inside activation checkpointing; name another student_layer, or set '
                'feature_loss=None',
                logger='current',
                level=logging.WARNING,
            )
        adapters = []
        for teacher, outputs in zip(self.teachers, teachers):
            if side is None:
                break
            # by name, so that the other teachers of a pool do not change where this one's adapter starts
            with isolated(self.seed + zlib.crc32(teacher.name.encode())):
                adapters.append(build_adapter(getattr(student, side).detach(), getattr(outputs, side)))
        built = nn.ModuleList(adapters).to(self.device)
        if self._saved_adapters is not None:
            try:
                built.load_state_dict(self._saved_adapters)
            except RuntimeError:
                raise MTKDError(
                    'the checkpoint was trained with another feature_loss, student_layer or layer of a teacher; '
                    'give the same ones to resume, or start from it with load_from'
                ) from None
            self._saved_adapters = None
        return built

    def _listen(self, teacher: Teacher) -> Taps | None:
        """Taps on a teacher; ``None`` if the feature has to be found by running it first."""
        needs_search = teacher.layer is None and not hasattr(teacher.model, 'backbone')
        return None if needs_search else self.task.listen(teacher.model, teacher.layer, f'teacher {teacher.name}')

    def _ask_one(self, i: int, teacher: Teacher, inputs: Tensor, target: Tensor) -> Outputs:
        owner = f'teacher {teacher.name}'
        taps = self.teacher_taps[i]
        if taps is None:
            layer = deepest_feature(teacher.model, lambda: self._run(teacher, inputs))
            taps = self.teacher_taps[i] = self.task.listen(teacher.model, layer, owner)
        taps.start()
        self._run(teacher, inputs)
        return self.task.outputs(taps.take(), target, owner)

    def _run(self, teacher: Teacher, inputs: Tensor) -> None:
        try:
            self.task.ask(teacher.model, inputs)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:
            reason = ' '.join(f'{type(error).__name__}: {error}'.split())[:200]
            raise MTKDError(
                f'teacher {teacher.name}: it cannot take the pictures {tuple(inputs.shape)} ({reason}); '
                'if it wants them of one size, set input_size in its entry'
            ) from error

    def _pairs(self, student: Outputs, teachers: Sequence[Outputs]) -> list[tuple[Tensor, Tensor]]:
        """What the feature loss compares, a pair of equal shape a teacher; empty without a feature loss."""
        if self.adapters is None:
            self.adapters = self.build_adapters(student, teachers)
        if self.feature_loss is None:
            return []
        side = self.feature_loss.on
        return [
            adapter(getattr(student, side), getattr(outputs, side)) for adapter, outputs in zip(self.adapters, teachers)
        ]

    def _losses(
        self, student: Outputs, teachers: Sequence[Outputs], pairs: list[tuple[Tensor, Tensor]], target: Tensor
    ) -> dict[str, list[Tensor]]:
        """Each teacher's unreduced losses ``(B,)``, of each kind that is switched on."""
        columns = {}
        if self.logit_loss is not None:
            columns['logit'] = [
                self.logit_loss(student.logits, outputs.logits, target, teacher.temperature)
                for teacher, outputs in zip(self.teachers, teachers)
            ]
            check_losses(columns['logit'], len(target), self.logit_loss)
        if self.feature_loss is not None:
            columns['feature'] = [self.feature_loss(*pair) for pair in pairs]
            check_losses(columns['feature'], len(target), self.feature_loss)
        return columns


def check_decision(decision: Any, shape: torch.Size, strategy: str) -> None:
    """Refuses a decision that is no ``Decision`` on ``(B, M)``; it costs no look at a value.

    Raises:
        MTKDError: It is another thing, or of another shape.
    """
    wanted = (shape, shape, shape[:1])
    if not isinstance(decision, Decision) or tuple(x.shape for x in decision) != wanted:
        shapes = ', '.join(str(tuple(x.shape)) for x in decision) if isinstance(decision, Decision) else ''
        got = shapes or type(decision).__name__
        raise MTKDError(
            f'strategy {strategy}: decide returned {got}; it must be a Decision with weights (B, M) = {tuple(shape)} '
            'twice and a strength (B,) (mtkd_rl.weighting.base.everywhere makes one)'
        )


def check_losses(columns: list[Tensor], rows: int, loss: object) -> None:
    """Refuses a loss that is not unreduced.

    Raises:
        MTKDError: It does not have one value a sample.
    """
    for column in columns:
        if column.shape != (rows,):
            raise MTKDError(
                f'loss {type(loss).__name__}: it returned {tuple(column.shape)}; return one value a sample, ({rows},)'
            )


@torch.no_grad()
def _state(
    student: Outputs,
    teachers: tuple[Outputs, ...],
    pairs: list[tuple[Tensor, Tensor]],
    present: Tensor,
    target: Tensor,
) -> State:
    """Similarity is taken between the adapted features where there are adapters, else between the batch's relations."""
    student = Outputs(*(x.detach() for x in student))
    if pairs:
        similarity = [
            torch.cosine_similarity(pool(ours).float(), pool(theirs).float(), dim=1) for ours, theirs in pairs
        ]
    else:
        similarity = [relational_similarity(student.embedding, outputs.embedding) for outputs in teachers]
    divergence = [kl_divergence(student.logits, outputs.logits) for outputs in teachers]
    return State(student, teachers, torch.stack(similarity, dim=1), torch.stack(divergence, dim=1), present, target)


def _detached(knowledge: Knowledge) -> Knowledge:
    return Knowledge(*(None if losses is None else losses.detach() for losses in knowledge))
