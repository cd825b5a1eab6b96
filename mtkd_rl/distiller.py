"""One student, its pool, adapters and losses: tensors in, losses and feedback out. Knows nothing of the Runner."""

import logging
import math
import zlib
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from mtkd_rl.cache import TeacherCache
from mtkd_rl.errors import MTKDError
from mtkd_rl.guard import Guard
from mtkd_rl.losses import FeatureLoss, LogitLoss
from mtkd_rl.losses.adapters import build_adapter
from mtkd_rl.losses.functional import pool, relational_similarity
from mtkd_rl.rl.credit import CreditAssigner
from mtkd_rl.rng import isolated
from mtkd_rl.self_learning.learner import SelfLearner
from mtkd_rl.taps import Taps, deepest_feature
from mtkd_rl.tasks import Task
from mtkd_rl.tasks.base import names_the_teacher
from mtkd_rl.teachers import InputContract, Teacher, convert
from mtkd_rl.teachers.live import Live
from mtkd_rl.types import Batch, Compared, Comparison, Credit, Decision, Feedback, Knowledge, Outputs, State
from mtkd_rl.weighting.base import Setting, Strategy, leave_out

KINDS = ('logit', 'feature')
"""The kinds of knowledge, in the order of ``Knowledge``."""


class Observed(NamedTuple):
    """What is known of one batch before the decision.

    Attributes:
        state: What the strategy may look at.
        knowledge: Unreduced losses, with their graph.
        credit: Credit of each kind of knowledge; empty where neither the strategy nor a guard wants it.
        batch: What the student was given.
    """

    state: State
    knowledge: Knowledge
    credit: dict[str, Credit]
    batch: Batch


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
        classes: Names of the student's classes, in the order of its logits; ``None`` where they are not known.
        seed: Of adapters and agent.
        guard: What keeps the student from harm; ``None`` for nothing: a weight that is ``None`` is then 1.
        self_learner: With which the student teaches itself; ``None`` if it does not.
        cache: Of what teachers said; ``None`` for none.
        live: How teachers run; ``None`` for the defaults.
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
        classes: Sequence[str] | None = None,
        guard: Guard | None = None,
        self_learner: SelfLearner | None = None,
        cache: TeacherCache | None = None,
        live: Live | None = None,
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
        self.cache = cache
        self.live = live or Live()
        self._prepared: set[str] = set()  # who has run, and runs as fast as it can
        self.seed = seed
        self.device = next(student.parameters()).device
        self.incomparable = dict(zip((each.name for each in teachers), task.meet(student, teachers, classes)))
        """Teacher to why its logits do not correspond to the student's; ``None`` where they do."""
        self._comparable = torch.tensor([reason is None for reason in self.incomparable.values()], device=self.device)
        self.kinds = self._kinds()
        # Made of the first batch, which shows the shapes; a ModuleList only so that it saves, moves and lists as one.
        self.adapters: nn.ModuleList | None = None
        self._levels: list[list[tuple[int, int]]] | None = None  # which an adapter is for; sizes may change, these not
        self._saved_adapters: dict[str, Any] | None = None
        self.credit = CreditAssigner()
        self.self_learner = self_learner
        if self_learner is not None:
            self_learner.prepare(student, task, seed)
        self._shapes: dict[str, Outputs] = {}
        self.student_taps = task.listen(student, student_layer, 'student')
        self.teacher_taps: list[Taps | None] = [self._listen(teacher) for teacher in teachers]
        names = tuple(teacher.name for teacher in teachers)
        setting = Setting(names, self.kinds, seed, self.device, reward=task.reward)
        if self_learner is not None:
            setting = setting._replace(degradations=self_learner.kinds, severity=self_learner.severity)
        strategy.prepare(setting)
        if guard is not None:
            guard.prepare(names, self.kinds, [kind for kind in self.kinds if self.weights[kind] is None], self.device)

    def _kinds(self) -> tuple[str, ...]:
        """The kinds of knowledge that can be taught.

        Raises:
            MTKDError: Logits are all there is to compare, and they correspond for no teacher.
        """
        wanted = [kind for kind, loss in zip(KINDS, (self.logit_loss, self.feature_loss)) if loss is not None]
        reasons = {name: reason for name, reason in self.incomparable.items() if reason is not None}
        if 'logit' not in wanted or not reasons:
            return tuple(wanted)
        told = '; '.join(f'{name}: {reason}' for name, reason in reasons.items())
        if len(reasons) == len(self.incomparable):
            if wanted == ['logit']:
                raise MTKDError(f'no logits correspond ({told}), and feature_loss is None; set a feature_loss')
            wanted.remove('logit')
        print_log(f'mtkd_rl: logits are not compared with {told}', logger='current')
        return tuple(wanted)

    def lesson(self, inputs: Tensor, data_samples: Sequence[Any], losses: dict[str, Any], factor: float) -> Lesson:
        """Everything between the student's forward pass and the Runner's backward pass.

        Args:
            inputs: What the student was given, ``(B, C, H, W)``, normalised and augmented.
            data_samples: Its labels.
            losses: What its forward pass returned.
            factor: Of the distillation in the total, from the schedule; above 0.

        Returns:
            The lesson.
        """
        observed = self.observe(inputs, data_samples, losses, self.strategy.wants_credit)
        with torch.autocast(self.device.type, enabled=False):
            decision = self.strategy.decide(observed.state)
            check_decision(decision, observed.state.divergence.shape, type(self.strategy).__name__)
            lesson = self.teach(observed, decision, factor)
        if self.self_learner is None:
            return lesson
        severity = lesson.feedback.decision.severity
        own = self.self_learner.lesson(observed.batch, severity, wants_progress=self.strategy.wants_credit)
        feedback = lesson.feedback._replace(progress=own.progress)
        return Lesson({**lesson.losses, 'loss_self': factor * own.loss}, feedback)

    def observe(
        self, inputs: Tensor, data_samples: Sequence[Any], losses: dict[str, Any], wants_credit: bool
    ) -> Observed:
        """Asks the teachers, and compares them with what the taps recorded of the student.

        Teachers run in the student's precision, mixed or not; all that is made of their answers is float32.
        """
        records = self.student_taps.take()
        batch = self.task.read(inputs, data_samples, records)
        teachers, present = self.admit(self.ask_teachers(batch))
        student, points = self.task.outputs(self.student, records, batch, losses)
        with torch.autocast(self.device.type, enabled=False):
            compared = self.task.compare(student, teachers, present, batch)
            pairs = self._pairs(student, teachers)
            columns = self._losses(compared, pairs, len(inputs))
            knowledge = Knowledge(*(torch.stack(columns[kind], 1) if kind in columns else None for kind in KINDS))
            guarded = self.guard is not None
            wanted = wants_credit or guarded
            credit = self.credit(student, points, batch.target, columns, effects=wants_credit) if wanted else {}
            state = _state(student, teachers, pairs, compared, present, self._comparable, batch)._replace(credit=credit)
            return Observed(state, knowledge, credit, batch)

    def admit(self, answers: tuple[Outputs, ...]) -> tuple[tuple[Outputs, ...], Tensor]:
        """The teachers' outputs with zeros for those whom the guard leaves out, and who is present, bool ``(M,)``."""
        if self.guard is None:
            return answers, torch.ones(len(answers), dtype=torch.bool, device=self.device)
        return self.guard.admit(answers)

    def teach(self, observed: Observed, decision: Decision, factor: float) -> Lesson:
        """The weighted losses of a decision, without those whom the guard leaves out or turns down."""
        state, knowledge, credit, _ = observed
        scales: dict[str, Tensor] = {}
        if self.guard is None:
            decision = leave_out(decision, state.teaching('logit'), state.teaching('feature'))
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
    def ask_teachers(self, batch: Batch) -> tuple[Outputs, ...]:
        """Every teacher's outputs; zeros of one that is dropped, which does not run any more."""
        gone: frozenset[str] = frozenset() if self.guard is None else self.guard.gone
        converted: dict[InputContract, Tensor] = {}
        answers = []
        for i, teacher in enumerate(self.teachers):
            if teacher.name in gone and teacher.name in self._shapes:
                answers.append(self._shapes[teacher.name].map(lambda x: x.new_zeros(len(batch.inputs), *x.shape[1:])))
                continue
            outputs = None if self.cache is None else self.cache.read(teacher, batch, self.task.asks)
            if outputs is None:
                if teacher.contract not in converted:
                    converted[teacher.contract] = convert(batch.inputs, self.source, teacher.contract)
                with self.live.present(teacher.model, self.device):
                    outputs = self._ask_one(i, teacher, converted[teacher.contract], batch)
                outputs = outputs if self.cache is None else self.cache.keep(teacher, batch, outputs)
            self._shapes[teacher.name] = outputs.map(lambda x: x.new_empty(0, *x.shape[1:]))
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
            'levels': self._levels,
            'strategy': self.strategy.state_dict(),
            'credit': self.credit.state_dict(),
            'guard': None if self.guard is None else self.guard.state_dict(),
            'self_learner': None if self.self_learner is None else self.self_learner.state_dict(),
            'live': self.live.state_dict(),
            'cache': None if self.cache is None else self.cache.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any], same_teachers: bool = True) -> None:
        """Goes on where ``state_dict`` was taken; adapters follow with the first batch.

        Args:
            state: What it was.
            same_teachers: Whether what was found about the teachers' networks holds still.
        """
        self._saved_adapters = state['adapters']
        self._levels = state['levels']
        self.strategy.load_state_dict(state['strategy'])
        self.credit.load_state_dict(state['credit'], self.device)
        if self.guard is not None and state['guard'] is not None:
            self.guard.load_state_dict(state['guard'])
        if self.self_learner is not None and state.get('self_learner') is not None:
            self.self_learner.load_state_dict(state['self_learner'])
        if same_teachers and state.get('live') is not None:
            self.live.load_state_dict(state['live'])
        if self.cache is not None and same_teachers and state.get('cache') is not None:
            self.cache.load_state_dict(state['cache'])

    def build_adapters(self, student: Outputs, teachers: Sequence[Outputs]) -> nn.ModuleList:
        """An adapter a teacher on whatever the feature loss compares; none without a feature loss."""
        side = None if self.feature_loss is None else self.feature_loss.on
        if side is not None and not any(level.requires_grad for level in levels(student, side)):
            print_log(
                f"mtkd_rl: the student's {side} has no gradient, so the feature loss teaches it nothing: its layers "
                'are frozen, or it lies inside activation checkpointing; name another student_layer, or set '
                'feature_loss=None',
                logger='current',
                level=logging.WARNING,
            )
        several = [] if side is None else [(levels(student, side), levels(outputs, side)) for outputs in teachers]
        matched = self._levels
        if matched is None:
            matched = [match_levels(ours, theirs) for ours, theirs in several]
        try:
            adapters = []
            for teacher, (ours, theirs), pairs in zip(self.teachers, several, matched):
                # by name, so that the other teachers of a pool do not change where this one's adapters start
                with isolated(self.seed + zlib.crc32(teacher.name.encode())):
                    adapters.append(nn.ModuleList([build_adapter(ours[i].detach(), theirs[j]) for i, j in pairs]))
            built = nn.ModuleList(adapters).to(self.device)
            if self._saved_adapters is not None:
                built.load_state_dict(self._saved_adapters)
        except (RuntimeError, IndexError):
            if self._saved_adapters is None:
                raise
            raise MTKDError(
                'the checkpoint was trained with another feature_loss, student_layer or layer of a teacher; '
                'give the same ones to resume, or start from it with load_from'
            ) from None
        self._levels, self._saved_adapters = matched, None
        return built

    def _listen(self, teacher: Teacher) -> Taps | None:
        """Taps on a teacher; ``None`` if the feature has to be found by running it first."""
        needs_search = teacher.layer is None and not hasattr(teacher.model, 'backbone')
        return None if needs_search else self.task.listen(teacher.model, teacher.layer, f'teacher {teacher.name}')

    def _ask_one(self, i: int, teacher: Teacher, inputs: Tensor, batch: Batch) -> Outputs:
        taps = self.teacher_taps[i]
        if taps is None:
            owner = f'teacher {teacher.name}'
            with names_the_teacher(owner, inputs):
                layer = deepest_feature(teacher.model, lambda: self.task.run(teacher.model, inputs))
            taps = self.teacher_taps[i] = self.task.listen(teacher.model, layer, owner)
        ask = partial(self.task.ask, teacher, taps, batch=batch)
        if teacher.name not in self._prepared:
            self._prepared.add(teacher.name)
            return self.live.prepare(teacher.name, teacher.model, inputs, ask)
        with self.live.running(teacher.name, inputs) as given:
            return ask(given)

    def _pairs(self, student: Outputs, teachers: Sequence[Outputs]) -> list[list[tuple[Tensor, Tensor]]]:
        """What the feature loss compares: of each teacher a pair of equal shape a level; empty without such a loss."""
        if self.adapters is None:
            self.adapters = self.build_adapters(student, teachers)
        if self.feature_loss is None:
            return []
        side = self.feature_loss.on
        assert self._levels is not None
        return [
            [
                adapter(levels(student, side)[i], levels(outputs, side)[j])
                for adapter, (i, j) in zip(cast(Any, adapters), matched)
            ]
            for adapters, outputs, matched in zip(self.adapters, teachers, self._levels)
        ]

    def _losses(
        self, compared: Sequence[Comparison | None], pairs: list[list[tuple[Tensor, Tensor]]], rows: int
    ) -> dict[str, list[Tensor]]:
        """Each teacher's unreduced losses ``(B,)``, of each kind that is switched on."""
        columns = {}
        if 'logit' in self.kinds:
            assert self.logit_loss is not None
            columns['logit'] = [
                logit_losses(self.logit_loss, each, teacher.temperature, rows, self.device)
                for teacher, each in zip(self.teachers, compared)
            ]
            check_losses(columns['logit'], rows, self.logit_loss)
        if self.feature_loss is not None:
            columns['feature'] = []
            for of_levels in pairs:
                losses = [self.feature_loss(*pair) for pair in of_levels]
                check_losses(losses, rows, self.feature_loss)
                columns['feature'].append(torch.stack(losses).mean(dim=0))
        return columns


def levels(outputs: Outputs, side: str) -> tuple[Tensor, ...]:
    """What a feature loss compares of a model: its embedding, or the levels of its feature."""
    return outputs.feature if side == 'feature' else (outputs.embedding,)


def match_levels(student: Sequence[Tensor], teacher: Sequence[Tensor]) -> list[tuple[int, int]]:
    """The levels of two features that are compared: those that are each other's nearest in size.

    Args:
        student: Maps ``(B, D, H, W)``, tokens or vectors, fine to coarse.
        teacher: Likewise, perhaps with other levels.

    Returns:
        Pairs of indices; levels of equal size, or of none, are told apart by their
        number from the last one.

    Example:
        >>> maps = [torch.zeros(1, 1, n, n) for n in (64, 32, 16, 8)]
        >>> match_levels(maps[1:], maps[:3])
        [(0, 1), (1, 2)]
    """
    pooled = any(all(math.prod(level.shape[2:]) == 1 for level in side) for side in (student, teacher))

    def distance(i: int, j: int) -> tuple[float, int]:
        sizes = math.prod(student[i].shape[2:]), math.prod(teacher[j].shape[2:])
        apart = 0.0 if pooled else abs(math.log(sizes[0] / sizes[1]))
        return apart, abs((len(student) - i) - (len(teacher) - j))

    nearest = [min(range(len(teacher)), key=lambda j: distance(i, j)) for i in range(len(student))]
    back = [min(range(len(student)), key=lambda i: distance(i, j)) for j in range(len(teacher))]
    return [(i, j) for i, j in enumerate(nearest) if back[j] == i]


def logit_losses(
    loss: LogitLoss, compared: Comparison | None, temperature: float, rows: int, device: torch.device
) -> Tensor:
    """A logit loss of every sample, ``(B,)``: of its places, weighed; 0 where no logits correspond.

    Raises:
        MTKDError: The loss needs labels, and the rows have none.
    """
    if compared is None:
        return torch.zeros(rows, device=device)
    if getattr(loss, 'of', 'classes') == 'maps':
        student, teacher, weight = cast(Compared, compared).maps()
        losses = loss(student, teacher, weight, temperature)
        check_losses([losses], rows, loss)
        return losses
    student, teacher, target = compared.rows()
    if target is None:
        if getattr(loss, 'wants_target', False):
            raise MTKDError(
                f'logit_loss: {type(loss).__name__} needs a label for every row of logits; a detector has none: use KD'
            )
        target = torch.zeros_like(student)
    losses = loss(student, teacher, target, temperature)
    check_losses([losses], len(student), loss)
    return compared.by_sample(losses)


def check_decision(decision: Any, shape: torch.Size, strategy: str) -> None:
    """Refuses a decision that is no ``Decision`` on ``(B, M)``; it costs no look at a value.

    Raises:
        MTKDError: It is another thing, or of another shape.
    """
    wanted = (shape, shape, shape[:1])
    if not isinstance(decision, Decision) or tuple(x.shape for x in decision[:3]) != wanted:
        shapes = ', '.join(str(tuple(x.shape)) for x in decision[:3]) if isinstance(decision, Decision) else ''
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
    pairs: list[list[tuple[Tensor, Tensor]]],
    compared: tuple[Comparison | None, ...],
    present: Tensor,
    comparable: Tensor,
    batch: Batch,
) -> State:
    """Similarity is taken between the adapted features where there are adapters, else between the batch's relations."""
    student = student.map(torch.Tensor.detach)
    compared = tuple(None if each is None else each.detached() for each in compared)
    if pairs:
        similarity = [
            torch.stack(
                [torch.cosine_similarity(pool(ours).float(), pool(theirs).float(), dim=1) for ours, theirs in of]
            ).mean(dim=0)
            for of in pairs
        ]
    else:
        similarity = [relational_similarity(student.embedding, outputs.embedding) for outputs in teachers]
    divergence = [torch.zeros_like(student.task_loss) if each is None else each.divergence() for each in compared]
    return State(
        student,
        teachers,
        torch.stack(similarity, dim=1),
        torch.stack(divergence, dim=1),
        present,
        batch.target,
        compared,
        comparable,
        batch.group,
    )


def _detached(knowledge: Knowledge) -> Knowledge:
    return Knowledge(*(None if losses is None else losses.detach() for losses in knowledge))
