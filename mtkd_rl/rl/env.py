"""The same problem as a single gymnasium environment, for anyone's own algorithm.

``MTKDHook`` needs none of this. Here a sample is shown at a time, an action sets the teachers' weights on it, and
when a batch is decided the student takes a real training step, so ``PPO('MlpPolicy', env).learn(...)`` trains a
student.
"""

import copy
import tempfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, SupportsFloat

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from mmengine.config import Config
from mmengine.optim import OptimWrapper
from mmengine.runner import Runner

from mtkd_rl.distiller import Distiller, Observed
from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import REWARDS, build
from mtkd_rl.rl.action import ActionLayout
from mtkd_rl.rl.reward import Reward
from mtkd_rl.rl.state import FEATURES, compact
from mtkd_rl.rng import isolated, random_state, set_random_state
from mtkd_rl.trust import check_files
from mtkd_rl.types import Credit, Decision, Feedback


class Data(NamedTuple):
    """Where batches come from.

    Attributes:
        dataset: Samples by index.
        collate: Samples to the batch that the student's data preprocessor takes.
        batch_size: B.
    """

    dataset: Any
    collate: Callable[[Sequence[Any]], Any]
    batch_size: int


class DistillationEnv(gymnasium.Env):
    """Distils into one student, a sample at a time.

    An observation is the compact state of one sample, ``(M * 8,)``; an action is a score in [-1, 1] for each teacher
    and kind of knowledge (``mtkd_rl.rl.action``); a reward is the task's (``mtkd_rl.rl.reward``), the value of the
    decision minus that of equal weights. An episode is a number of batches. ``reset`` puts the student back to where it
    started.

    Args:
        distiller: The student, its pool and losses; its strategy is not asked.
        optim_wrapper: The student's optimizer.
        data: The training data.
        batches: Batches an episode.
    """

    metadata = {'render_modes': []}

    def __init__(self, distiller: Distiller, optim_wrapper: OptimWrapper, data: Data, batches: int = 16) -> None:
        self.distiller = distiller
        self.student: Any = distiller.student
        self.optim_wrapper = optim_wrapper
        self.data = data
        self.batches = batches
        self.reward: Reward = build(REWARDS, distiller.task.reward, 'reward')
        self.layout = ActionLayout(distiller.kinds, len(distiller.teachers))
        width = len(distiller.teachers) * len(FEATURES)
        self.observation_space = spaces.Box(-np.inf, np.inf, (width,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (self.layout.width,), np.float32)
        self._random = random_state()
        # Adapters take their shapes from a first batch; looking at it must leave no trace in the student.
        student_start = copy.deepcopy(self.student.state_dict())
        self._draw = np.random.default_rng(0)
        self._forward()
        self.student.load_state_dict(student_start)
        adapters = distiller.adapters
        assert adapters is not None
        self.adapter_optimizer = torch.optim.Adam(adapters.parameters(), lr=1e-3) if len(adapters) else None
        self._start = (student_start, copy.deepcopy(adapters.state_dict()), copy.deepcopy(optim_wrapper.state_dict()))

    @classmethod
    def from_config(cls, config: str | Config, batches: int = 16) -> 'DistillationEnv':
        """The environment of a config with an ``MTKDHook`` entry.

        Args:
            config: A path, or a loaded config.
            batches: Batches an episode.

        Raises:
            MTKDError: The config has no ``MTKDHook``, or something in it is wrong.
        """
        from mtkd_rl.hook import MTKDHook

        cfg = Config.fromfile(config) if isinstance(config, str) else config
        cfg.work_dir = cfg.get('work_dir') or tempfile.mkdtemp()
        runner = Runner.from_cfg(cfg)
        hooks = [hook for hook in runner.hooks if isinstance(hook, MTKDHook)]
        if not hooks:
            raise MTKDError('DistillationEnv: the config has no MTKDHook; add one to its custom_hooks')
        runner.train_loop  # noqa: B018  # with it comes the check of initial weights
        check_files(runner)
        runner._init_model_weights()
        if cfg.get('load_from'):
            runner.load_checkpoint(cfg.load_from)
        hook = hooks[0]
        hook.before_train(runner)
        loader = runner.build_dataloader(cfg.train_dataloader, seed=runner.seed)
        return cls(
            hook.distiller,
            runner.build_optim_wrapper(cfg.optim_wrapper),
            Data(loader.dataset, loader.collate_fn, loader.batch_size or 1),
            batches,
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Puts student, adapters and optimizers back, and shows the first sample."""
        super().reset(seed=seed)
        student, adapters, optimizer = self._start
        self.student.load_state_dict(student)
        assert self.distiller.adapters is not None
        self.distiller.adapters.load_state_dict(adapters)
        self.optim_wrapper.load_state_dict(copy.deepcopy(optimizer))
        if self.adapter_optimizer is not None:
            self.adapter_optimizer.state.clear()
        self.distiller.credit.reference = None
        if self.distiller.guard is not None:
            self.distiller.guard.reset()
        self._draw = self.np_random
        with isolated(int(self.np_random.integers(2**31))):
            self._random = random_state()
        self._batch = 0
        self._forward()
        return self._observation(), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, SupportsFloat, bool, bool, dict[str, Any]]:
        """Decides on the sample that is shown; after the last one of a batch the student takes a step."""
        row = torch.as_tensor(np.asarray(action), dtype=torch.float32, device=self.distiller.device).unsqueeze(0)
        decision = self.layout.decide(row)
        self._decisions.append(decision)
        reward = self.reward(_row(self._observed, decision, self._sample))
        self._sample += 1
        info: dict[str, Any] = {}
        terminated = False
        if self._sample == len(self._states):
            info['loss'] = self._learn()
            self._batch += 1
            terminated = self._batch == self.batches
            self._forward()
        return self._observation(), float(reward), terminated, False, info

    def _observation(self) -> np.ndarray:
        return self._states[self._sample]

    def _forward(self) -> None:
        """Draws a batch, runs the student, and asks the teachers."""
        rows = self._draw.choice(len(self.data.dataset), self.data.batch_size, replace=False)
        with isolated():
            set_random_state(self._random)
            batch = self.student.data_preprocessor(self.data.collate([self.data.dataset[int(i)] for i in rows]), True)
            self.student.train()
            self.distiller.student_taps.start()
            samples = self.distiller.task.keep(batch['data_samples'])
            self._losses = self.student(**batch, mode='loss')
            self._observed = self.distiller.observe(batch['inputs'], samples, self._losses, wants_credit=True)
            self._random = random_state()
        self._states = compact(self._observed.state).flatten(1).cpu().numpy()
        self._sample = 0
        self._decisions: list[Decision] = []

    def _learn(self) -> float:
        """One training step of student and adapters with the decisions on the batch."""
        parts = zip(*(each[:3] for each in self._decisions))  # nobody teaches itself here
        decision = Decision(*(torch.cat(part) for part in parts))
        lesson = self.distiller.teach(self._observed, decision, 1.0)
        loss, _ = self.student.parse_losses({**self._losses, **lesson.losses})
        self.optim_wrapper.update_params(loss)
        if self.adapter_optimizer is not None:
            self.adapter_optimizer.step()
            self.adapter_optimizer.zero_grad()
        return float(loss)


def _row(observed: Observed, decision: Decision, i: int) -> Feedback:
    """The feedback on one sample, for its one-row decision."""
    credit = {
        kind: Credit(*(None if x is None else x[i : i + 1] for x in given))  # type: ignore[arg-type]
        for kind, given in observed.credit.items()
    }
    return Feedback(observed.state, decision, observed.knowledge, credit)
