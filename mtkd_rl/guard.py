"""Do no harm: what keeps one bad teacher, or a loss of another scale, from spoiling the student.

Everything is decided on the device from sums over all processes, so no step waits, and every process decides the same.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from mmengine.dist import all_reduce, get_world_size
from torch import Tensor

from mtkd_rl.errors import check_number, from_options
from mtkd_rl.parallel import global_mean
from mtkd_rl.types import Credit, Decision, Knowledge, Outputs, State
from mtkd_rl.weighting.base import leave_out

MEMORY = 0.95
"""What an iteration leaves of the running mean of the pulls: they tell of about the last twenty iterations."""

LEARNT = 0.05
"""Mean need below which the student has learnt its training pictures, and no pull tells who is right."""


class Findings(NamedTuple):
    """What the guard has found and done so far, as plain values, by teachers' names.

    Attributes:
        dropped: Teachers that are left out for good.
        undecided: Samples on which the strategy decided something that is not finite.
        turned_down: Kind of knowledge to the teachers that are turned down now.
        turned_down_for: Kind of knowledge to teacher to the iterations that it has been turned down.
        pull: Kind of knowledge to teacher to its running pull, see ``pull``.
        balance: Kind of knowledge to the factor on its losses, for kinds without a weight of the user's.
    """

    dropped: list[str]
    undecided: int
    turned_down: dict[str, list[str]]
    turned_down_for: dict[str, dict[str, int]]
    pull: dict[str, dict[str, float]]
    balance: dict[str, float]

    def scalars(self) -> dict[str, float]:
        """What of it is worth a curve."""
        pulls = {f'pull_{kind}/{name}': value for kind, row in self.pull.items() for name, value in row.items()}
        return {**pulls, **{f'balance/{kind}': factor for kind, factor in self.balance.items()}}


class Guard:
    """Leaves out teachers that break, turns down teachers that pull the wrong way, and balances the losses.

    (a) A teacher with an output that is not finite is left out of the batch, and after ``drop_after`` such batches in
    a row for good. (b) A kind of knowledge that the user gave no weight is scaled down where needed, so that over the
    first ``calibrate`` iterations in which it teaches its mean loss is not above the task's; the factor is held from
    then on, as a weight of the user's would be. It is never above 1: the losses of a student that is nearly its teacher
    are small, and right so. (c) A teacher is turned down, that is, its weight goes to the others, once its running
    ``pull`` falls below ``-limit``, and until it is above 0 again. A pool in which all are turned down leaves the
    student alone.

    Args:
        drop_after: Batches in a row, at least 1.
        limit: How hard a teacher may pull against the task, see ``pull``.
        calibrate: Iterations, at least 1.

    Raises:
        MTKDError: A value out of its range.
    """

    def __init__(self, drop_after: int = 20, limit: float = 0.2, calibrate: int = 50) -> None:
        check_number('guard', 'drop_after', drop_after, 1, whole=True)
        check_number('guard', 'calibrate', calibrate, 1, whole=True)
        check_number('guard', 'limit', limit)
        self.drop_after = drop_after
        self.limit = limit
        self.calibrate = calibrate

    def prepare(
        self, teachers: Sequence[str], kinds: Sequence[str], balanced: Sequence[str], device: torch.device
    ) -> None:
        """Called once, before the first batch.

        Args:
            teachers: Names, in the order of the pool.
            kinds: The kinds of knowledge that are switched on.
            balanced: Those of them that have no weight of the user's.
            device: The student's.
        """
        self.teachers = teachers
        self.kinds = kinds
        self.balanced = balanced
        self.device = device
        self.reset()

    def reset(self) -> None:
        """Forgets all."""
        device = self.device
        shape = len(self.kinds), len(self.teachers)
        self._broken = torch.zeros(shape[1], dtype=torch.long, device=device)
        self._dropped = torch.zeros(shape[1], dtype=torch.bool, device=device)
        self._pull = torch.zeros(shape, device=device)
        self._down = torch.zeros(shape, dtype=torch.bool, device=device)
        self._down_for = torch.zeros(shape, dtype=torch.long, device=device)
        self._task = torch.zeros(shape[0], device=device)
        self._loss = torch.zeros(shape[0], device=device)
        self._undecided = torch.zeros((), device=device)
        self._seen = torch.zeros(shape[0], dtype=torch.long, device=device)
        self.gone: frozenset[str] = frozenset()
        """Those dropped that were known when the guard was last read: nobody needs to ask them."""

    @torch.no_grad()
    def admit(self, answers: Sequence[Outputs]) -> tuple[tuple[Outputs, ...], Tensor]:
        """Who teaches this batch.

        Args:
            answers: Every teacher's outputs.

        Returns:
            The outputs, zeros in place of those that are left out, and who is not, bool ``(M,)``.
        """
        finite = torch.stack(
            [torch.stack([torch.isfinite(x).all() for x in outputs.tensors()]).all() for outputs in answers]
        )
        if get_world_size() > 1:
            everywhere = finite.long()
            all_reduce(everywhere, op='min')
            finite = everywhere.bool()
        self._broken = torch.where(finite & ~self._dropped, 0, self._broken + 1).clamp(max=self.drop_after)
        self._dropped |= self._broken >= self.drop_after
        present = finite & ~self._dropped
        admitted = (outputs.map(partial(_where, here)) for here, outputs in zip(present.unbind(), answers))
        return tuple(admitted), present

    def rule(
        self, state: State, decision: Decision, knowledge: Knowledge, credit: Mapping[str, Credit]
    ) -> tuple[Decision, Knowledge, dict[str, Tensor]]:
        """What may be done of a decision.

        Finite outputs can have a loss that is not, and 0 times infinity is no 0, so such a loss is taken out too.

        Args:
            state: What was decided on.
            decision: The strategy's.
            knowledge: The unreduced losses, with their graph.
            credit: Of every kind that is switched on.

        Returns:
            The decision without samples on which it is not finite, absent teachers and those who are turned down; the
            losses; and a factor ``()`` for each kind of knowledge.
        """
        said = [x for x in decision if x is not None]
        finite = torch.stack([x.isfinite().reshape(len(x), -1).all(dim=1) for x in said]).all(dim=0)
        decision = decision.map(lambda x: torch.where(finite.view(-1, *[1] * (x.dim() - 1)), x, 0.0))
        decision = leave_out(decision, state.teaching('logit'), state.teaching('feature'))
        knowledge = Knowledge(*(None if x is None else torch.where(x.isfinite(), x, 0.0) for x in knowledge))
        decision, factors = self._judge(state, decision, knowledge, credit, (~finite).sum().float())
        return decision, knowledge, factors

    @torch.no_grad()
    def _judge(
        self,
        state: State,
        decision: Decision,
        knowledge: Knowledge,
        credit: Mapping[str, Credit],
        undecided: Tensor,
    ) -> tuple[Decision, dict[str, Tensor]]:
        """Turns teachers down, and weighs the kinds of knowledge against the task."""
        need = need_of(state, self._typical())
        weights = [getattr(decision, kind) for kind in self.kinds]
        pulls = [pull(w, need, credit[kind].alignment) for w, kind in zip(weights, self.kinds)]
        losses = [
            (decision.strength * (w * getattr(knowledge, kind)).sum(dim=1)).mean()
            for w, kind in zip(weights, self.kinds)
        ]
        means = torch.stack([undecided, need.mean(), state.student.task_loss.mean(), *losses])
        said = global_mean(torch.cat([means, *(torch.cat(each) for each in pulls)]))
        n = len(self.kinds)
        self._undecided += get_world_size() * said[0]
        self._balance(said[2], said[3 : 3 + n])
        self._watch(said[1], *said[3 + n :].view(n, 2, -1).unbind(dim=1))
        for k, kind in enumerate(self.kinds):
            kept = leave_out(decision, ~self._down[k], ~self._down[k])
            decision = decision._replace(**{kind: getattr(kept, kind)})
        return decision, dict(zip(self.kinds, self._factors().unbind()))

    def _typical(self) -> Tensor:
        """The task's mean loss over the iterations of the calibration so far; 1 before the first."""
        mean = (self._task / self._seen.clamp(min=1)).max()
        return torch.where(mean > 0, mean, 1.0)

    def _balance(self, task: Tensor, losses: Tensor) -> None:
        counts = torch.isfinite(task) & torch.isfinite(losses) & (losses > 0) & (self._seen < self.calibrate)
        self._task += torch.where(counts, task, 0.0)
        self._loss += torch.where(counts, losses, 0.0)
        self._seen += counts

    def _factors(self) -> Tensor:
        return torch.where(self._loss > self._task, self._task / self._loss, 1.0)

    def _watch(self, need: Tensor, numerators: Tensor, denominators: Tensor) -> None:
        now = numerators / denominators
        tells = torch.isfinite(now) & (need > LEARNT)
        self._pull = torch.where(tells, MEMORY * self._pull + (1 - MEMORY) * now, self._pull)
        self._down = (self._pull < -self.limit) | (self._down & (self._pull <= 0))
        self._down_for += self._down

    def read(self) -> Findings:
        """What was done; the one place that waits for the device."""
        k = len(self.kinds)
        one = torch.stack([self._dropped, self._undecided.expand_as(self._dropped)])
        rows = torch.cat([one, self._down, self._down_for, self._pull]).double().tolist()
        (dropped, (undecided, *_)), rows = rows[:2], rows[2:]
        down, down_for, pulls = rows[:k], rows[k : 2 * k], rows[2 * k :]
        factors = self._factors().tolist()
        self.gone = frozenset(name for name, yes in zip(self.teachers, dropped) if yes)
        return Findings(
            dropped=sorted(self.gone),
            undecided=int(undecided),
            turned_down={
                kind: [name for name, yes in zip(self.teachers, row) if yes] for kind, row in zip(self.kinds, down)
            },
            turned_down_for={kind: dict(zip(self.teachers, map(int, row))) for kind, row in zip(self.kinds, down_for)},
            pull={kind: dict(zip(self.teachers, row)) for kind, row in zip(self.kinds, pulls)},
            balance={kind: factor for kind, factor in zip(self.kinds, factors) if kind in self.balanced},
        )

    def forgive(self) -> None:
        """Forgets who broke and who pulled the wrong way, as teachers that were repaired must be heard again."""
        for what in (self._broken, self._dropped, self._pull, self._down):
            what.zero_()
        self.gone = frozenset()

    def state_dict(self) -> dict[str, Any]:
        """All that it remembers, to be saved."""
        return {
            'kinds': list(self.kinds),
            'broken': self._broken.cpu().clone(),
            'dropped': self._dropped.cpu().clone(),
            'undecided': self._undecided.cpu().clone(),
            'pull': self._pull.cpu().clone(),
            'down': self._down.cpu().clone(),
            'down_for': self._down_for.cpu().clone(),
            'task': self._task.cpu().clone(),
            'loss': self._loss.cpu().clone(),
            'seen': self._seen.cpu().clone(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on where ``state_dict`` was taken; after ``prepare``. With other kinds of knowledge it starts anew."""
        if state['kinds'] != list(self.kinds):
            return
        self._broken = state['broken'].to(self.device)
        self._dropped = state['dropped'].to(self.device)
        self._undecided = state['undecided'].to(self.device)
        self._pull = state['pull'].to(self.device)
        self._down = state['down'].to(self.device)
        self._down_for = state['down_for'].to(self.device)
        self._task = state['task'].to(self.device)
        self._loss = state['loss'].to(self.device)
        self._seen = state['seen'].to(self.device)


def news(before: Findings | None, now: Findings, absent: Mapping[str, int], guard: Guard) -> list[str]:
    """What to warn of since the guard was last read, a line each.

    Args:
        before: What it had done then.
        now: What it has done now.
        absent: Teacher to the batches since then that it was left out of.
        guard: Whose findings they are.
    """
    dropped = set(now.dropped) - set(before.dropped if before else ())
    lines = [
        f'teacher {name} is dropped: its outputs were not finite in {guard.drop_after} batches in a row; look at its '
        'checkpoint and its normalisation'
        for name in sorted(dropped)
    ]
    lines += [
        f'teacher {name} was left out of {count} batches because its outputs were not finite; look at its checkpoint '
        'and its normalisation'
        for name, count in absent.items()
        if count and name not in now.dropped
    ]
    undecided = now.undecided - (before.undecided if before else 0)
    if undecided:
        lines.append(
            f'the strategy decided something that is not finite on {undecided} samples, which were left to the task '
            'alone'
        )
    for kind, names in now.turned_down.items():
        was = before.turned_down[kind] if before else []
        lines += [
            f'teacher {name} is turned down in its {kind} losses: it pulls against the task '
            f'({now.pull[kind][name]:+.2f}); perhaps its classes or its normalisation are wrong: of classifiers '
            'tools/doctor.py tells'
            for name in names
            if name not in was
        ]
        lines += [f'teacher {name} is heard again in its {kind} losses' for name in was if name not in names]
    return lines


def in_short(findings: Findings, left_out: Mapping[str, int]) -> str:
    """What the guard did over a run, in one line."""
    said = [f'dropped {name}' for name in findings.dropped]
    said += [f'left {findings.undecided} undecided samples to the task'] if findings.undecided else []
    said += [f'left {name} out of {count} batches' for name, count in left_out.items() if count]
    said += [
        f'turned {name} down in its {kind} losses for {count} iterations'
        for kind, row in findings.turned_down_for.items()
        for name, count in row.items()
        if count
    ]
    said += [f'{kind} losses times {factor:.3g} balance the task' for kind, factor in findings.balance.items()]
    return f'the guard: {"; ".join(said) or "had nothing to do"}'


def build_guard(options: Any) -> Guard:
    """The guard of the hook's ``guard``.

    Raises:
        MTKDError: It is no dict, or has an option that there is not.
    """
    return from_options(Guard, 'guard', options, ', or None for no guard')


def need_of(state: State, typical: Tensor) -> Tensor:
    """How much a student has yet to learn of each sample.

    Of one label a picture, the length of the task's gradient on its logits, in [0, sqrt(2)]; else ``1 - exp(-loss /
    typical)``, in [0, 1): losses of detectors are sums of many and have no scale of their own.

    Args:
        state: The state of B samples.
        typical: Mean loss when distillation began, above 0, scalar.

    Returns:
        ``(B,)``.
    """
    if state.target is None:
        return 1 - torch.exp(-state.student.task_loss / typical)
    return (torch.softmax(state.student.logits, dim=1) - state.target).norm(dim=1)


def _where(here: Tensor, x: Tensor) -> Tensor:
    return torch.where(here, x, torch.zeros((), dtype=x.dtype, device=x.device))


def pull(weights: Tensor, need: Tensor, alignment: Tensor) -> tuple[Tensor, Tensor]:
    """How each teacher, as it is weighed, pulls on what the student has yet to learn.

    The pull of teacher m is ``sum_i w_im n_i cos_im / sum_i w_im n_i``, in [-1, 1], where the need ``n_i`` of a sample
    is given by ``need_of``, and the cosine is that of the task's and the teacher's
    gradients. Samples that the student knows have no need: there every teacher that is softer than the label pulls away
    from it, which is what distillation is for and no reason to turn it down. Weighed by the decision, a teacher that is
    followed only where it is right pulls well.

    Args:
        weights: ``(B, M)``.
        need: ``(B,)``, not negative.
        alignment: ``(B, M)`` in [-1, 1].

    Returns:
        Numerator and denominator, ``(M,)`` each.
    """
    weights = weights * need.unsqueeze(1)
    return (weights * alignment).sum(dim=0), weights.sum(dim=0)
