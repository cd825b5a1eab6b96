"""What is seen while it trains: means over an interval, gathered on the device and read only when they are shown."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mtkd_rl.types import Feedback

LATELY = 0.99
"""What an iteration leaves of the counts of leading teachers: they tell of about the last hundred iterations."""


class Monitor:
    """Statistics of the decisions, one set a teacher's name.

    Args:
        teachers: Names, in the order of the columns.
        kinds: The kinds of knowledge that are switched on.
    """

    def __init__(self, teachers: Sequence[str], kinds: Sequence[str]) -> None:
        self.teachers = teachers
        self.kinds = kinds
        self.left_out = dict.fromkeys(teachers, 0)
        self.leads: Tensor | None = None
        self._absent: Tensor | None = None
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._totals: dict[str, float] = {}
        self._shown: dict[str, int] = {}

    @torch.no_grad()
    def watch(self, feedback: Feedback, told: Mapping[str, Tensor | float], n_groups: int) -> None:
        """Takes one iteration in.

        Args:
            feedback: What came of the decision.
            told: What the strategy said of its learning.
            n_groups: How many groups (classes) of samples there are.
        """
        absent = (~feedback.state.present).long()
        self._absent = absent if self._absent is None else self._absent + absent
        for name, value in {**decision_scalars(feedback, self.teachers, self.kinds), **told}.items():
            value = torch.as_tensor(value, dtype=torch.float32, device=absent.device)
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1
        weights = getattr(feedback.decision, self.kinds[0])
        if self.leads is None:
            self.leads = torch.zeros(n_groups, len(self.teachers), device=absent.device)
        most = (weights == weights.amax(dim=1, keepdim=True)) & (weights > 0)
        leading = most / most.sum(dim=1, keepdim=True).clamp(min=1)  # equals share it, and nobody leads by nothing
        self.leads = LATELY * self.leads.index_add(0, feedback.state.group, leading)

    def read(self) -> tuple[dict[str, float], dict[str, int]]:
        """Means since the last call, and how often each teacher was left out since then; the one place that waits.

        Returns:
            Name to mean, and teacher's name to count.
        """
        if not self._sums:
            return {}, dict.fromkeys(self.teachers, 0)
        values = torch.stack(list(self._sums.values())).tolist()
        means = {name: value / self._counts[name] for name, value in zip(self._sums, values)}
        # such as a variance that is explained where there is none: it would hide the run's mean for good
        means = {name: mean for name, mean in means.items() if math.isfinite(mean)}
        absent = (
            dict.fromkeys(self.teachers, 0) if self._absent is None else dict(zip(self.teachers, self._absent.tolist()))
        )
        for name, count in absent.items():
            self.left_out[name] += count
        for name, mean in means.items():
            self._totals[name] = self._totals.get(name, 0.0) + mean * self._counts[name]
            self._shown[name] = self._shown.get(name, 0) + self._counts[name]
        self._sums, self._counts, self._absent = {}, {}, None
        return means, absent

    def state_dict(self) -> dict[str, Any]:
        """All that it has seen, to be saved, so that the summary of a resumed run tells of the whole."""
        return {
            'left_out': dict(self.left_out),
            'leads': self.leads,
            'absent': self._absent,
            'sums': dict(self._sums),
            'counts': dict(self._counts),
            'totals': dict(self._totals),
            'shown': dict(self._shown),
        }

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Goes on where ``state_dict`` was taken."""
        self.left_out = dict(state['left_out'])
        self.leads = None if state['leads'] is None else state['leads'].to(device)
        self._absent = None if state['absent'] is None else state['absent'].to(device)
        self._sums = {name: value.to(device) for name, value in state['sums'].items()}
        self._counts = dict(state['counts'])
        self._totals = dict(state['totals'])
        self._shown = dict(state['shown'])

    def summary(self) -> dict[str, Any]:
        """The run in short, as plain values: means over the run, teachers left out, and who leads where lately."""
        leads = None
        if self.leads is not None:
            share = self.leads / self.leads.sum(dim=1, keepdim=True).clamp(min=1e-12)
            leads = [[round(x, 4) for x in row] for row in share.tolist()]
        return {
            'teachers': list(self.teachers),
            'mean': {name: round(total / self._shown[name], 6) for name, total in self._totals.items()},
            'left_out': self.left_out,
            'leads': leads,
        }


def decision_scalars(feedback: Feedback, teachers: Sequence[str], kinds: Sequence[str]) -> dict[str, Tensor]:
    """The scalars of one iteration; ``docs/scalars.md`` says what each means.

    Args:
        feedback: What came of the decision.
        teachers: Names, in the order of the columns.
        kinds: The kinds of knowledge that are switched on.

    Returns:
        Name to scalar tensor on the device.
    """
    scalars: dict[str, Tensor] = {}
    for kind in kinds:
        weights: Tensor = getattr(feedback.decision, kind)
        means, stds = weights.mean(dim=0), weights.std(dim=0, unbiased=False)
        losses = getattr(feedback.knowledge, kind).mean(dim=0)
        for m, name in enumerate(teachers):
            scalars[f'weight_{kind}/{name}/mean'] = means[m]
            scalars[f'weight_{kind}/{name}/std'] = stds[m]
            scalars[f'loss_{kind}/{name}'] = losses[m]
        scalars[f'entropy/{kind}'] = entropy(weights).mean()
        if kind in feedback.credit:
            for m, name in enumerate(teachers):
                scalars[f'alignment_{kind}/{name}'] = feedback.credit[kind].alignment[:, m].mean()
    scalars['strength/mean'] = feedback.decision.strength.mean()
    return scalars


def entropy(weights: Tensor) -> Tensor:
    """Entropy of weights as a share of its maximum ``log M``: 1 for equal weights, 0 for one teacher alone.

    Args:
        weights: ``(B, M)``, not negative; normalised here.

    Returns:
        ``(B,)`` in [0, 1].
    """
    p = weights / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)
    return -torch.special.xlogy(p, p).sum(dim=1) / math.log(max(2, weights.shape[1]))
