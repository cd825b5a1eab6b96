"""Weights from the PPO agent."""

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mtkd_rl.errors import MTKDError, candidates, check_number
from mtkd_rl.registry import REWARDS, STRATEGIES, build
from mtkd_rl.rl.action import ActionLayout
from mtkd_rl.rl.agent import OPTIONS, Agent, Sampled, read_policy, write_policy
from mtkd_rl.rl.reward import Reward
from mtkd_rl.rl.state import ENCODINGS
from mtkd_rl.types import Decision, Feedback, State
from mtkd_rl.weighting.base import Setting, leave_out


@STRATEGIES.register_module()
class PPOWeighting:
    """MTKD-RL: a PPO agent looks at every sample and sets the weight of each teacher on it.

    Three things apart, as in stable-baselines3: ``decide`` acts, ``learn`` puts the batch and its reward into the
    rollout, and once the rollout is full one PPO update is made.

    The student is taught by the policy's mean action, and exploration is only scored: a reward is a function of the
    batch and of any weights, used or not, so the agent learns from a sampled action without the student suffering it.
    Severities of self-learning are the exception: they are sampled, as what one is worth has to be tried.

    Args:
        observation: ``compact`` (a few scalars a teacher, an encoder shared by all teachers, carries over to other
            pools) or ``paper`` (embeddings, logits, losses, similarities and divergences concatenated).
        reward: Config of a reward; ``None`` for the task's (``CombinedReward`` where a picture has one label, else
            ``CreditReward``).
        strength: Range of the strength of all distillation on a sample, to let the agent decide it too; ``None`` for 1.
        agent: An ``agent.pth``, or a checkpoint, of another run to start from.
        frozen: Do not learn: decide by the mean action of ``agent``, which is then required.
        scale: Scores in [-1, 1] are multiplied by it before the softmax over teachers.
        rollout: Samples of one PPO update.
        seed: Of the agent; the run's when not given.
        **ppo: Further arguments of stable-baselines3's PPO, of ``mtkd_rl.rl.agent.OPTIONS``.

    Raises:
        MTKDError: An unknown observation or option; a value out of its range; frozen without an agent.
    """

    def __init__(
        self,
        observation: str = 'compact',
        reward: dict[str, Any] | None = None,
        strength: tuple[float, float] | None = None,
        agent: str | None = None,
        frozen: bool = False,
        scale: float = 5.0,
        rollout: int = 1024,
        seed: int | None = None,
        **ppo: Any,
    ) -> None:
        for name in ppo:
            if name not in OPTIONS:
                known = [*list(inspect.signature(PPOWeighting).parameters)[:-1], *OPTIONS]
                raise MTKDError(f'PPOWeighting: there is no option {name!r}; did you mean: {candidates(name, known)}')
        if observation not in ENCODINGS:
            raise MTKDError(
                f'PPOWeighting: no observation {observation!r}; there are: {candidates(observation, ENCODINGS)}'
            )
        for name in ('scale', 'learning_rate', 'ent_coef'):
            check_number('PPOWeighting', name, {'scale': scale, **ppo}.get(name, 0.0))
        for name, low in (('rollout', 2), ('batch_size', 2), ('n_epochs', 1)):
            check_number('PPOWeighting', name, {'rollout': rollout, **ppo}.get(name, low), low, whole=True)
        ranged = isinstance(strength, list | tuple) and len(strength) == 2 and 0 <= strength[0] < strength[1]
        if strength is not None and not ranged:
            raise MTKDError(
                f'PPOWeighting: strength is {strength}; give a range (low, high) with 0 <= low < high, or None'
            )
        if frozen and agent is None:
            raise MTKDError(
                'PPOWeighting: frozen=True needs an agent that has learnt; give agent=<path of an agent.pth>'
            )
        self.observation = observation
        self.reward: Reward = build(REWARDS, 'CombinedReward' if reward is None else reward, 'reward')
        self._has_own_reward = reward is not None
        self.strength = strength
        self.start = agent
        self.frozen = frozen
        self.scale = scale
        self.rollout = rollout
        self.seed = seed
        self.ppo = ppo
        self.agent: Agent | None = None
        self._saved: dict[str, Any] | None = None
        self._pending: tuple[Tensor, Sampled] | None = None

    @property
    def wants_credit(self) -> bool:
        """Whether the reward does; a frozen agent is told nothing."""
        return self.reward.wants_credit and not self.frozen

    def prepare(self, setting: Setting) -> None:
        """Reads the agent to start from, so that a wrong path is known before the first iteration."""
        self.setting = setting
        if not self._has_own_reward:
            self.reward = build(REWARDS, setting.reward, 'reward')
        self._policy = None if self.start is None else read_policy(self.start)

    def decide(self, state: State) -> Decision:
        """The agent's weights, each kind's on the simplex, ``(B, M)``."""
        # a student that overflowed for a batch must not leave the agent broken for good
        observation = torch.nan_to_num(ENCODINGS[self.observation](state).flatten(1), posinf=0.0, neginf=0.0)
        if self.agent is None:
            self.agent = self._create(observation.shape[1])
        mean, sampled = self.agent.act(observation)
        self._pending = (observation, sampled)
        decided = self.agent.layout.decide(mean)
        if self.frozen or decided.severity is None:
            return decided
        # what a severity is worth is not known of one that nobody tried
        return decided._replace(severity=self.agent.layout.decide(sampled.action).severity)

    def learn(self, feedback: Feedback) -> dict[str, Tensor | float]:
        """Puts the batch into the rollout, and updates the agent when that is full."""
        if self.frozen or self._pending is None or self.agent is None:
            return {}
        observation, sampled = self._pending
        self._pending = None
        state = feedback.state
        explored = self.agent.layout.decide(sampled.action)
        explored = leave_out(explored, state.teaching('logit'), state.teaching('feature'))
        reward = self.reward(feedback._replace(decision=explored))
        if reward.shape != observation.shape[:1]:
            raise MTKDError(
                f'reward {type(self.reward).__name__}: it returned {tuple(reward.shape)}; return one value a sample, '
                f'({len(observation)},)'
            )
        if feedback.progress is not None:
            reward = reward + feedback.progress
        reward = torch.nan_to_num(reward, posinf=0.0, neginf=0.0)
        self.agent.remember(observation, sampled, reward)
        said: dict[str, Tensor | float] = {
            'reward/mean': reward.mean(),
            'reward/std': reward.std(unbiased=False),
            'value/mean': sampled.value.mean(),
        }
        if explored.severity is not None:
            chosen = zip(self.setting.degradations, explored.severity.mean(dim=0))
            said.update({f'severity/{name}': value for name, value in chosen})
        while self.agent.full():
            said.update({f'ppo/{name}': value for name, value in self.agent.update().items()})
        return said

    def state_dict(self) -> dict[str, Any]:
        """The agent with all it needs to go on; empty before the first decision."""
        saved = self._saved if self.agent is None else self.agent.state_dict()
        return {} if saved is None else {'agent': saved}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes a saved agent; it is built at the next decision, when the width of an observation is known."""
        self._saved = state.get('agent')

    def save_agent(self, path: Path) -> None:
        """Writes the policy for other runs (``agent=<path>``); nothing before the first decision."""
        if self.agent is not None:
            write_policy(self.agent.policy_state(), path)

    def _create(self, width: int) -> Agent:
        setting = self.setting
        layout = ActionLayout(
            setting.kinds,
            len(setting.teachers),
            self.strength,
            self.scale,
            len(setting.degradations),
            setting.severity,
        )
        agent = Agent(
            width,
            layout,
            shared_encoder=self.observation == 'compact',
            rollout=self.rollout,
            seed=self.setting.seed if self.seed is None else self.seed,
            device=self.setting.device,
            **self.ppo,
        )
        if self._policy is not None:
            agent.load_policy(self._policy)
        if self._saved is not None:
            agent.load_state_dict(self._saved)
            self._saved = None
        return agent
