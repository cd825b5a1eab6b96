"""Weights from a network that learns what helps on hard samples."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError, check_number
from mtkd_rl.parallel import global_batch, global_mean
from mtkd_rl.registry import STRATEGIES
from mtkd_rl.rl.credit import effect
from mtkd_rl.rng import isolated
from mtkd_rl.types import Compared, Decision, Feedback, State
from mtkd_rl.weighting.base import Setting, everywhere


class MetaNetwork(nn.Sequential):
    """All teachers' logits and the student's through one hidden layer of half their width, to weights on the simplex.

    Args:
        width: Of all logits together.
        teachers: M.
    """

    def __init__(self, width: int, teachers: int) -> None:
        hidden = max(1, width // 2)
        super().__init__(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, teachers), nn.Softmax(dim=1))


class Hard(NamedTuple):
    """Samples on which the student did badly, as it was when it saw them.

    Attributes:
        logits: The teachers' and, last, the student's, ``(N, M + 1, C)``.
        target: Soft labels, ``(N, C)``.
        embedding: The student's, ``(N, D)``.
        teaching: 1 for who taught the sample's batch, else 0, ``(N, M)``.
    """

    logits: Tensor
    target: Tensor
    embedding: Tensor
    teaching: Tensor


@STRATEGIES.register_module()
class MetaWeighting:
    """MMKD: a network looks at all logits, and learns the weights that lower the loss on hard samples.

    ``w_i = softmax(f(t_i1, ..., t_iM, s_i))``. After every iteration one step of Adam up

        (1 / N) sum_im w_im g_im^T G h_i,    g_im = softmax(s_i / T) - softmax(t_im / T)

    over a buffer of N hard samples, with G the gradient in the last layer's weight of the loss on that buffer: to first
    order what a step along the distillation loss of the buffer takes off its task loss. Hard are the samples of each
    batch before on which the student did worst. Zhang et al., "Adaptive multi-teacher knowledge distillation with
    meta-learning", ICME 2023.

    Departures: the paper takes trial steps of the whole student and differentiates through them, which costs three more
    passes through it; here the student's last layer alone is looked at, as it was when the sample was seen. Hard is a
    share of each batch, where the official code keeps what is misclassified and replaces at random. Features have the
    weights of the logits, where the paper has a second network for them.

    Args:
        temperature: T.
        hard: Share of a batch that is kept, in (0, 1].
        buffer: N, hard samples that are kept at a time.
        learning_rate: Of Adam.

    Raises:
        MTKDError: A number out of its range; at the first batch: samples without one label, or a teacher of other
            classes than the student's.
    """

    wants_credit = False

    def __init__(
        self, temperature: float = 4.0, hard: float = 0.25, buffer: int = 256, learning_rate: float = 1e-3
    ) -> None:
        check_number('MetaWeighting', 'temperature', temperature, low=1e-6)
        check_number('MetaWeighting', 'buffer', buffer, low=1, whole=True)
        check_number('MetaWeighting', 'learning_rate', learning_rate)
        if not (isinstance(hard, int | float) and 0 < hard <= 1):
            raise MTKDError(f'MetaWeighting: hard is {hard!r}; give a share in (0, 1]')
        self.temperature, self.hard, self.buffer, self.learning_rate = temperature, hard, buffer, learning_rate
        self.network: MetaNetwork | None = None
        self._kept: Tensor | None = None  # a row a sample, the hardest of a batch last
        self._widths: list[int] = []
        self._saved: dict[str, Any] | None = None

    def prepare(self, setting: Setting) -> None:
        """Keeps seed and device; the network is built when the width of the logits is known."""
        self.setting = setting

    def decide(self, state: State) -> Decision:
        """Weights on the simplex, ``(B, M)``."""
        logits = self._logits(state)
        if self.network is None:
            self.network = self._build(logits)
        with torch.no_grad():
            return everywhere(self.network(logits.flatten(1)))

    def learn(self, feedback: Feedback) -> dict[str, Tensor | float]:
        """Puts what was hard of this batch into the buffer, and makes one step of the network on that."""
        state = feedback.state
        if self.network is None or state.target is None:
            return {}
        logits = self._logits(state)
        teaching = state.teaching('logit').float().expand(len(logits), -1)
        parts = (logits.flatten(1), state.target, state.student.embedding, teaching)
        self._widths = [part.shape[1] for part in parts]
        rows = global_batch(torch.cat([*parts, state.student.task_loss.unsqueeze(1)], dim=1))
        worst = rows[:, -1].topk(max(1, round(self.hard * len(rows)))).indices.flip(0)
        kept = rows[worst, :-1] if self._kept is None else torch.cat([self._kept, rows[worst, :-1]])
        self._kept = kept[-self.buffer :]
        return {'meta/effect': self._step(self._hard())}

    def state_dict(self) -> dict[str, Any]:
        """Network, optimizer and the hard samples."""
        if self.network is None:
            return self._saved or {}
        kept = None if self._kept is None else self._kept.cpu()
        return {'network': self.network.state_dict(), 'optimizer': self.optimizer.state_dict(), 'kept': kept}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes what was saved; the network is built at the next decision."""
        self._saved = dict(state) if state else None
        kept = state.get('kept')
        self._kept = None if kept is None else kept.to(self.setting.device)

    def _logits(self, state: State) -> Tensor:
        """The teachers' logits and, last, the student's, ``(B, M + 1, C)``; finite."""
        student = state.student.logits
        names = zip(self.setting.teachers, state.compared)
        if state.target is None:
            raise MTKDError('MetaWeighting: it needs one label a picture; take another strategy')
        other = [name for name, each in names if not _like(each, student)]
        if other:
            raise MTKDError(
                f"MetaWeighting: {', '.join(other)}: the classes are not the student's; take another strategy, or "
                'leave out these teachers'
            )
        said = [each.teacher for each in state.compared if isinstance(each, Compared)]
        return torch.nan_to_num(torch.stack([*said, student], dim=1), posinf=0.0, neginf=0.0)

    def _build(self, logits: Tensor) -> MetaNetwork:
        with isolated(self.setting.seed):
            network = MetaNetwork(logits[0].numel(), logits.shape[1] - 1).to(self.setting.device)
        self.optimizer = torch.optim.Adam(network.parameters(), lr=self.learning_rate)
        if self._saved is not None:
            network.load_state_dict(self._saved['network'])
            self.optimizer.load_state_dict(self._saved['optimizer'])
            self._saved = None
        return network

    def _hard(self) -> Hard:
        """The buffer; a sample with a number that is not finite is all zeros, and has no effect."""
        assert self._kept is not None
        rows = torch.where(self._kept.isfinite().all(dim=1, keepdim=True), self._kept, 0.0)
        logits, target, embedding, teaching = rows.split(self._widths, dim=1)
        return Hard(logits.unflatten(1, (-1, target.shape[1])), target, embedding, teaching)

    def _step(self, hard: Hard) -> Tensor:
        """One step up the mean effect of the weights; returns what it was."""
        assert self.network is not None
        effects = effects_of(hard, self.temperature)
        # of Adam the scale makes no difference, but for what would overflow in it
        effects = torch.nan_to_num(effects / effects.square().mean().sqrt().clamp(min=1e-12), posinf=0.0, neginf=0.0)
        with torch.enable_grad():
            value = (self.network(hard.logits.flatten(1)) * effects).sum(dim=1).mean()
            self.optimizer.zero_grad()
            (-value).backward()
        for parameter in self.network.parameters():
            if parameter.grad is not None:
                parameter.grad.copy_(global_mean(parameter.grad))
        self.optimizer.step()
        return value.detach()


def effects_of(hard: Hard, temperature: float) -> Tensor:
    """What following each teacher on each sample takes off the mean loss of all, to first order, ``(N, M)``."""
    residual = hard.logits[:, -1].softmax(dim=1) - hard.target
    reference = residual.T @ hard.embedding / len(residual)
    likely = (hard.logits / temperature).softmax(dim=2)
    pulls = (likely[:, -1:] - likely[:, :-1]) * hard.teaching.unsqueeze(2)
    return effect(pulls, hard.embedding, reference)


def _like(pair: Any, student: Tensor) -> bool:
    """Whether a teacher's logits are compared, and are of all the student's classes."""
    return isinstance(pair, Compared) and pair.weight is None and pair.teacher.shape == student.shape
