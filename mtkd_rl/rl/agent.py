"""The agent: stable-baselines3's PPO with decide, remember and update apart, since the Runner owns the loop.

Every sample is an episode of one step: a contextual bandit. So the discount is 0 and the advantage is the reward
minus the critic's value, and samples of different batches, also of a short last one, fill the same rollout.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from gymnasium import spaces
from mmengine.dist import broadcast, get_world_size
from stable_baselines3 import PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.logger import Logger
from torch import Tensor
from torch.distributions import Distribution

from mtkd_rl.errors import MTKDError
from mtkd_rl.parallel import global_batch, own_share
from mtkd_rl.rl.action import ActionLayout
from mtkd_rl.rl.policy import SharedTeacherPolicy
from mtkd_rl.rng import isolated, random_state, set_random_state


class Sampled(NamedTuple):
    """A sampled action with what PPO has to remember of it: ``(B, width)``, ``(B,)``, ``(B,)``."""

    action: Tensor
    value: Tensor
    log_prob: Tensor


class SampleRollout(RolloutBuffer):
    """A rollout of one-step episodes, filled by whole batches instead of by steps of a fixed number of environments."""

    def fill(self, observations: Tensor, sampled: Sampled, rewards: Tensor) -> None:
        """Takes exactly ``buffer_size`` samples."""
        self.reset()
        self.observations[:, 0] = observations.cpu().numpy()
        self.actions[:, 0] = sampled.action.cpu().numpy()
        self.values[:, 0] = sampled.value.cpu().numpy()
        self.log_probs[:, 0] = sampled.log_prob.cpu().numpy()
        self.rewards[:, 0] = rewards.cpu().numpy()
        # gamma = 0: what SB3's backward loop over the steps would give, at once
        self.returns[:] = self.rewards
        self.advantages[:] = self.rewards - self.values
        self.pos, self.full = self.buffer_size, True


class Agent:
    """PPO over observations of samples.

    Args:
        observation_width: Scalars of an observation; with the shared encoder, of all teachers together.
        layout: What its actions mean.
        shared_encoder: ``SharedTeacherPolicy`` for observations that are a row of scalars a teacher; otherwise SB3's
            ``MlpPolicy`` with one hidden layer of 128, as in the paper.
        rollout: Samples of one PPO update.
        seed: Of the first parameters and of the exploration noise.
        device: Where the policy runs; the student's, so that no step waits for a copy.
        **ppo: Further arguments of SB3's PPO, of ``OPTIONS``.
    """

    def __init__(
        self,
        observation_width: int,
        layout: ActionLayout,
        *,
        shared_encoder: bool = True,
        rollout: int = 1024,
        seed: int = 0,
        device: torch.device | str = 'cpu',
        **ppo: Any,
    ) -> None:
        self.layout = layout
        self.shared_encoder = shared_encoder
        self.rollout = rollout
        self.device = torch.device(device)
        self.observation_width = observation_width
        options = {**DEFAULTS, **ppo}
        alike = {'layout': layout, 'width': 32}
        own: dict[str, Any] = alike if shared_encoder else {'net_arch': [128], 'activation_fn': torch.nn.ReLU}
        own['log_std_init'] = options.pop('log_std_init')
        with isolated(seed):
            self.ppo = PPO(
                SharedTeacherPolicy if shared_encoder else 'MlpPolicy',
                None,  # type: ignore[arg-type]  # as PPO.load does: the spaces are all it takes of an environment
                n_steps=rollout,
                gamma=0.0,
                rollout_buffer_class=SampleRollout,
                policy_kwargs={**own, **(options.pop('policy_kwargs', None) or {})},
                device=self.device,
                _init_setup_model=False,
                **options,
            )
            self.ppo.observation_space = spaces.Box(-np.inf, np.inf, (observation_width,), np.float32)
            self.ppo.action_space = spaces.Box(-1.0, 1.0, (layout.width,), np.float32)
            self.ppo.n_envs = 1
            self.ppo._setup_model()
            self.ppo.set_logger(Logger(None, []))
            # the stream of numbers that update() goes on with
            self._random = random_state()
        self.noise = torch.Generator(self.device).manual_seed(seed)
        self._memory: list[Tensor] = []

    @torch.no_grad()
    def act(self, observation: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Sampled]:
        """Actions for a batch of samples.

        The noise of a sample depends on its place in the global batch, so that several processes explore as one would.

        Args:
            observation: ``(B, observation_width)``.
            noise: Standard normal ``(B, width)``; drawn when not given.

        Returns:
            The policy's mean action, ``(B, width)``, and a sampled one; neither is clipped.
        """
        policy = self.ppo.policy
        policy.set_training_mode(False)
        if noise is None:
            noise = own_share(self._draw, len(observation))
        with _unvalidated():
            distribution: Any = policy.get_distribution(observation).distribution
            action = distribution.mean + distribution.stddev * noise
            log_prob = distribution.log_prob(action).sum(dim=1)
        value = policy.predict_values(observation).flatten()
        return distribution.mean, Sampled(action, value, log_prob)

    def _draw(self, samples: int) -> Tensor:
        return torch.randn(samples, self.layout.width, generator=self.noise, device=self.device)

    def remember(self, observation: Tensor, sampled: Sampled, reward: Tensor) -> None:
        """Keeps a batch of decisions and their rewards, of all processes, on the device, until the rollout is full.

        Every process keeps the global batch, in the order in which one process would have seen it, so all hold the
        same rollout, and the first one's is enough to save.
        """
        sampled = Sampled(*(x.reshape(len(reward), -1) for x in sampled))
        rows = torch.cat([observation, sampled.action, sampled.value, sampled.log_prob, reward.unsqueeze(1)], dim=1)
        self._memory.append(global_batch(rows))

    def full(self) -> bool:
        """Whether there are enough samples for an update."""
        return sum(map(len, self._memory)) >= self.rollout

    def update(self) -> dict[str, float]:
        """One PPO update on the first ``rollout`` samples; what is left over begins the next rollout.

        Every process takes the same steps on the same rollout with the same random numbers; what devices round
        differently is put right by the first one's parameters.

        Returns:
            SB3's diagnostics, such as ``approx_kl``, ``clip_fraction``, ``explained_variance``, ``entropy_loss``,
            ``std``.
        """
        memory = torch.cat(self._memory)
        used, left = memory[: self.rollout], memory[self.rollout :]
        self._memory = [left] if len(left) else []
        observations, actions, values, log_probs, rewards = used.split(
            [self.observation_width, self.layout.width, 1, 1, 1], dim=1
        )
        buffer = self.ppo.rollout_buffer
        assert isinstance(buffer, SampleRollout)
        buffer.fill(observations, Sampled(actions, values.flatten(), log_probs.flatten()), rewards.flatten())
        self.ppo._current_progress_remaining = 1.0
        with isolated():
            set_random_state(self._random)
            self.ppo.train()
            if get_world_size() > 1:
                for parameter in self.ppo.policy.parameters():
                    broadcast(parameter.data)
            self._random = random_state()
        buffer.reset()
        said = {name.removeprefix('train/'): value for name, value in self.ppo.logger.name_to_value.items()}
        return {name: float(said[name]) for name in DIAGNOSTICS if name in said}

    def state_dict(self) -> dict[str, Any]:
        """All that learns, as tensors and plain containers: policy, optimizer, part-filled rollout, random states."""
        return {
            'policy': self.policy_state(),
            'optimizer': self.ppo.policy.optimizer.state_dict(),
            'n_updates': self.ppo._n_updates,
            'memory': [rows.cpu() for rows in self._memory],
            'noise': self.noise.get_state(),
            'random': self._random,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on exactly where ``state_dict`` was taken."""
        self.load_policy(state['policy'])
        self.ppo.policy.optimizer.load_state_dict(state['optimizer'])
        self.ppo._n_updates = state['n_updates']
        self._memory = [rows.to(self.device) for rows in state['memory']]
        self.noise.set_state(state['noise'])
        self._random = state['random']

    def policy_state(self) -> dict[str, Any]:
        """What another run needs: the policy's parameters, and what its observations and actions mean."""
        return {
            'parameters': {name: value.cpu() for name, value in self.ppo.policy.state_dict().items()},
            **self._meaning(),
        }

    def _meaning(self) -> dict[str, Any]:
        """What observations and actions mean; an agent is of no use where they mean something else."""
        return {
            'observation': 'compact' if self.shared_encoder else 'paper',
            'kinds': list(self.layout.kinds),
            'strength': list(self.layout.strength) if self.layout.strength else None,
            'scale': self.layout.scale,
            'severities': self.layout.severities,
        }

    def load_policy(self, state: dict[str, Any]) -> None:
        """Takes the parameters of an agent, perhaps of another run and, with the shared encoder, of another pool.

        Raises:
            MTKDError: It weighs other kinds of knowledge, or has other shapes.
        """
        for key, value in self._meaning().items():
            if state.get(key, 0 if key == 'severities' else None) != value:  # which older files do not name
                raise MTKDError(
                    f'the saved agent has {key} {state.get(key)}, this run {value}; give this run the same settings'
                )
        try:
            self.ppo.policy.load_state_dict(state['parameters'])
        except RuntimeError as error:
            reason = ' '.join(str(error).split())[:200]
            raise MTKDError(
                f'the saved agent does not fit this pool ({reason}); '
                "only one with observation='compact' carries over to other pools"
            ) from None


DEFAULTS: dict[str, Any] = {
    'learning_rate': 1e-3,
    'n_epochs': 4,
    'batch_size': 256,
    'log_std_init': -0.7,
}
OPTIONS = (
    'learning_rate',
    'batch_size',
    'n_epochs',
    'clip_range',
    'clip_range_vf',
    'normalize_advantage',
    'ent_coef',
    'vf_coef',
    'max_grad_norm',
    'target_kl',
    'log_std_init',
    'policy_kwargs',
)
"""What a config may set of SB3's PPO; the rest follows from every sample being an episode of one step."""

DIAGNOSTICS = (
    'approx_kl',
    'clip_fraction',
    'entropy_loss',
    'explained_variance',
    'policy_gradient_loss',
    'std',
    'value_loss',
)


def read_policy(path: str) -> dict[str, Any]:
    """The policy of an agent file, as ``MTKDHook`` writes it, or of a training checkpoint.

    Raises:
        MTKDError: The file is not there or cannot be read, or holds no agent.
    """
    from mtkd_rl.teachers.checkpoint import read_checkpoint

    try:
        saved: Any = read_checkpoint(
            path, hint='an agent file holds nothing but tensors; get it from whoever trained it'
        )
    except MTKDError as error:
        raise MTKDError(f'agent: {error}') from error
    for key in ('mtkd_rl', 'distiller', 'strategy', 'agent', 'policy'):
        saved = saved.get(key, saved) if isinstance(saved, dict) else saved
    if not isinstance(saved, dict) or 'parameters' not in saved:
        raise MTKDError(
            f'{path}: there is no agent in it; give the agent.pth or a checkpoint of a run with PPOWeighting'
        )
    return saved


def write_policy(policy: dict[str, Any], path: str | Path) -> None:
    """Writes a policy to a file that ``read_policy`` reads."""
    torch.save({'policy': policy}, path)


@contextmanager
def _unvalidated() -> Iterator[None]:
    """Keeps torch from checking the arguments of distributions: each check waits for the device."""
    before = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)
