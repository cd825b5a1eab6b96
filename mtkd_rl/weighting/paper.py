"""The official code's agent and its update, for reproduction."""

import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from mtkd_rl.errors import check_number
from mtkd_rl.parallel import global_mean
from mtkd_rl.registry import STRATEGIES
from mtkd_rl.rl.reward import PaperReward
from mtkd_rl.rl.state import ENCODINGS
from mtkd_rl.rng import isolated
from mtkd_rl.types import Decision, Feedback, State
from mtkd_rl.weighting.base import Setting, everywhere

WIDTH = 128


class PaperAgent(nn.Module):
    """``relu(W x)`` of 128 units, a softmax head over teachers for logits and one for features, and the mixture.

    Args:
        observation: Width of x.
        teachers: M.
        dynamic: Learn the mixture; else its three parts count the same.
    """

    def __init__(self, observation: int, teachers: int, dynamic: bool) -> None:
        super().__init__()
        self.stem = nn.Linear(observation, WIDTH, bias=False)
        self.heads = nn.ModuleList([nn.Linear(WIDTH, teachers) for _ in range(2)])
        self.mixture = nn.Parameter(torch.ones(2, 3), requires_grad=dynamic)

    def forward(self, observation: Tensor, parts: Tensor) -> list[Tensor]:
        """Weights of logits and of features.

        Args:
            observation: ``(B, observation)``.
            parts: The heuristics of each kind that are mixed in, ``(B, 2, 2, M)``.

        Returns:
            Two of ``(B, M)``, on the simplex.
        """
        hidden = self.stem(observation).relu()
        weights = []
        for kind, head in enumerate(self.heads):
            learnt = head(hidden).softmax(dim=1)
            share = self.mixture[kind].softmax(dim=0)
            weights.append(share[0] * learnt + share[1] * parts[:, kind, 0] + share[2] * parts[:, kind, 1])
        return weights


@STRATEGIES.register_module()
class PaperWeighting:
    """The official code of MTKD-RL (winycg/MTKD-RL; Yang et al. 2025), as it is, to reproduce it and to compare with.

    Weights are a mixture of what the agent says, of ``(1 - softmax_m(CE)) / (M - 1)`` and of ``softmax_m(KL)`` for
    logits, ``softmax_m(cos)`` for features. Every so many iterations the agent takes, batch by batch, a step of SGD
    down ``mean_i r_i BCE(w_i, 1)`` with `PaperReward`'s r: it pushes all weights up, more on samples with less loss.
    Nothing is explored, and there is no critic. In the first iterations all weights are 1. So many batches of
    embeddings and logits are kept on the device, and go into checkpoints.

    Departure: the official code also updates with what is left at the end of an epoch, of which a strategy is not told.

    Args:
        every: Iterations between two updates.
        ones: Iterations at the beginning in which all weights are 1; there an epoch, 782 batches of 64.
        dynamic: Learn the mixture (the official code's ``--dynamic``).
        learning_rate: Of SGD.

    Raises:
        MTKDError: A number is out of its range.
    """

    wants_credit = False

    def __init__(self, every: int = 1000, ones: int = 782, dynamic: bool = False, learning_rate: float = 0.1) -> None:
        check_number('PaperWeighting', 'every', every, low=1, whole=True)
        check_number('PaperWeighting', 'ones', ones, whole=True)
        check_number('PaperWeighting', 'learning_rate', learning_rate)
        self.every, self.ones, self.dynamic, self.learning_rate = every, ones, dynamic, learning_rate
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # whoever asks for this strategy asks for this reward
            self.reward = PaperReward()
        self.agent: PaperAgent | None = None
        self.seen = 0
        self._memory: list[tuple[Tensor, Tensor, Tensor]] = []
        self._pending: tuple[Tensor, Tensor] | None = None
        self._saved: dict[str, Any] | None = None

    def prepare(self, setting: Setting) -> None:
        """Keeps seed and device; the agent is built when the width of an observation is known."""
        self.setting = setting

    def decide(self, state: State) -> Decision:
        """Weights on the simplex, all 1 at the beginning, ``(B, M)``."""
        observation = torch.nan_to_num(ENCODINGS['paper'](state), posinf=0.0, neginf=0.0)
        parts = heuristics(state)
        if self.agent is None:
            self.agent = self._build(observation.shape[1], len(state.teachers))
        self._pending = observation, parts
        if self.seen < self.ones:
            return everywhere(torch.ones_like(state.divergence))
        with torch.no_grad():
            logit, feature = self.agent(observation, parts)
        return Decision(logit, feature, torch.ones_like(logit[:, 0]))

    def learn(self, feedback: Feedback) -> dict[str, Tensor | float]:
        """Keeps the batch with its reward, and updates the agent when there are enough."""
        if self._pending is None or self.agent is None:
            return {}
        reward = torch.nan_to_num(self.reward(feedback))
        self._memory.append((*self._pending, reward))
        self._pending = None
        self.seen += 1
        if len(self._memory) >= self.every:
            for kept in self._memory:
                self._step(*kept)
            self._memory = []
        return {'reward/mean': reward.mean(), 'reward/std': reward.std(unbiased=False)}

    def state_dict(self) -> dict[str, Any]:
        """Agent, optimizer, the batches that wait for an update, and how many were seen."""
        if self.agent is None:
            return self._saved or {}
        return {
            'agent': self.agent.state_dict(),
            'optimizer': self.optimizer.state_dict(),
            'memory': [[x.cpu() for x in kept] for kept in self._memory],
            'seen': self.seen,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes what was saved; the agent is built at the next decision."""
        self._saved = dict(state) if state else None
        self.seen = state.get('seen', 0)
        device = self.setting.device
        self._memory = [(a.to(device), b.to(device), c.to(device)) for a, b, c in state.get('memory', [])]

    def _build(self, observation: int, teachers: int) -> PaperAgent:
        with isolated(self.setting.seed):
            agent = PaperAgent(observation, teachers, self.dynamic).to(self.setting.device)
        self.optimizer = torch.optim.SGD(agent.parameters(), lr=self.learning_rate)
        if self._saved is not None:
            agent.load_state_dict(self._saved['agent'])
            self.optimizer.load_state_dict(self._saved['optimizer'])
            self._saved = None
        return agent

    def _step(self, observation: Tensor, parts: Tensor, reward: Tensor) -> None:
        assert self.agent is not None
        with torch.enable_grad():
            loss = torch.stack([upwards(weights, reward) for weights in self.agent(observation, parts)]).sum()
            self.optimizer.zero_grad()
            loss.backward()
        for parameter in self.agent.parameters():
            if parameter.grad is not None:
                parameter.grad.copy_(global_mean(parameter.grad))
        self.optimizer.step()


def heuristics(state: State) -> Tensor:
    """What is mixed with the agent's weights: of logits and of features two each, ``(B, 2, 2, M)``, on the simplex."""
    count = len(state.teachers)
    right = (
        (1 - state.teacher_loss.softmax(dim=1)) / max(1, count - 1) if count > 1 else torch.ones_like(state.divergence)
    )
    far, near = state.divergence.softmax(dim=1), state.similarity.softmax(dim=1)
    return torch.stack([torch.stack([right, far], dim=1), torch.stack([right, near], dim=1)], dim=1)


def upwards(weights: Tensor, reward: Tensor) -> Tensor:
    """``mean_im r_i (-log w_im)``: binary cross entropy with the label 1 everywhere.

    Args:
        weights: ``(B, M)`` in (0, 1].
        reward: ``(B,)``.
    """
    return functional.binary_cross_entropy(
        weights.clamp(0.0, 1.0), torch.ones_like(weights), weight=reward.unsqueeze(1).expand_as(weights)
    )
