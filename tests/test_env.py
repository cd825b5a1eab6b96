"""The environment is gymnasium's, and whoever learns in it trains a real student."""

import copy
import warnings

import gymnasium
import numpy as np
import pytest
import runs
from gymnasium.utils.env_checker import check_env as gymnasium_check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from mtkd_rl.errors import MTKDError
from mtkd_rl.rl import CreditReward
from mtkd_rl.rl.env import DistillationEnv
from mtkd_rl.rl.state import FEATURES
from mtkd_rl.rng import random_state


def environment(tmp_path, batches=3, batch=6, widths=(4, 8), optimizer=None, **options):
    student = runs.classifier(widths, dropout=0.2)
    cfg = runs.config(tmp_path, [runs.entry(**options)], limit=60, batch=batch, student=student, optimizer=optimizer)
    return DistillationEnv.from_config(cfg, batches)


def parameters(env):
    """Without BatchNorm's statistics: showing the first sample takes a forward pass of the student."""
    return {name: value.detach().clone() for name, value in env.student.named_parameters()}


@pytest.fixture
def env(tmp_path):
    return environment(tmp_path)


def test_it_passes_the_checker_of_gymnasium(env):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        # an observation has no bounds, and nothing can be drawn
        warnings.filterwarnings('ignore', message='.*infinity.*')
        warnings.filterwarnings('ignore', message='.*(render|spec).*')
        gymnasium_check_env(env, skip_render_check=True)


def test_it_passes_the_checker_of_stable_baselines(env):
    sb3_check_env(env)


def test_spaces_and_episodes(env):
    assert env.observation_space.shape == (2 * len(FEATURES),)
    assert env.action_space.shape == (4,)
    env.reset(seed=1)
    steps, losses, done = 0, [], False
    while not done:
        observation, reward, done, truncated, info = env.step(env.action_space.sample())
        assert env.observation_space.contains(observation)
        assert np.isfinite(reward)
        assert not truncated
        losses += info.values()
        steps += 1
    assert steps == 3 * 6
    assert len(losses) == 3


def test_reset_puts_everything_back(env):
    start, adapters = parameters(env), copy.deepcopy(env.distiller.adapters.state_dict())
    first, _ = env.reset(seed=4)
    rewards = [[env.step(np.full(4, 0.3, np.float32))[1] for _ in range(8)]]
    assert not runs.same(start, parameters(env))
    assert not runs.same(adapters, env.distiller.adapters.state_dict())
    again, _ = env.reset(seed=4)
    assert runs.same(start, parameters(env))
    assert runs.same(adapters, dict(env.distiller.adapters.state_dict()))
    np.testing.assert_array_equal(first, again)
    rewards.append([env.step(np.full(4, 0.3, np.float32))[1] for _ in range(8)])
    assert rewards[0] == rewards[1]
    other, _ = env.reset(seed=5)
    assert not np.array_equal(first, other)


def test_equal_weights_are_worth_nothing_and_the_reward_is_a_comparison(env):
    env.reward = CreditReward()  # a sum over teachers: leaning the other way is worth as much less
    env.reset(seed=0)
    assert env.step(np.zeros(4, np.float32))[1] == pytest.approx(0.0, abs=1e-6)
    rewards = []
    for action in ([1, -1, 1, -1], [-1, 1, -1, 1]):
        env.reset(seed=0)
        for _ in range(6):
            env.step(np.zeros(4, np.float32))
        rewards.append(env.step(np.array(action, np.float32))[1])
    assert rewards[0] == pytest.approx(-rewards[1], rel=1e-2)
    assert rewards[0] != 0


def test_the_global_random_states_are_left_alone(env):
    before = random_state()
    env.reset(seed=0)
    for _ in range(7):
        env.step(np.zeros(4, np.float32))
    assert runs.same(before, random_state())


def test_the_student_is_initialised_as_the_runner_would(tmp_path):
    """As ``init_cfg`` says, from the seed of the run; or by ``load_from``."""
    trained = runs.train(runs.config(tmp_path / 'a', save=True, epochs=1, student=runs.classifier(dropout=0.2)))
    still = dict(optimizer=dict(type='SGD', lr=0.0), student=runs.classifier(dropout=0.2), epochs=1)
    plain = runs.train(runs.config(tmp_path / 'b', **still))
    env = environment(tmp_path / 'c')
    assert runs.same(parameters(env), dict(plain.model.named_parameters()))
    cfg = runs.config(tmp_path / 'd', [runs.entry()], load_from=str(tmp_path / 'a' / 'epoch_1.pth'), **still)
    assert runs.same(parameters(DistillationEnv.from_config(cfg)), dict(trained.model.named_parameters()))


def test_learning_trains_a_student(tmp_path):
    """Through a hundred batches of one long episode, by an algorithm that knows nothing of students."""
    adam = dict(type='AdamW', lr=0.02)
    env = environment(tmp_path, 1000, 10, (8, 16), adam, logit_weight=0.1, feature_loss=None)
    losses = []

    class Watched(gymnasium.Wrapper):
        def step(self, action):
            told = super().step(action)
            losses.extend(told[4].values())
            return told

    before = parameters(env)
    learner = PPO('MlpPolicy', Watched(env), n_steps=100, batch_size=50, n_epochs=1, seed=0, device='cpu')
    start = {name: value.clone() for name, value in learner.policy.state_dict().items()}
    learner.learn(1000)
    assert len(losses) == 100
    assert np.mean(losses[-10:]) < 0.9 * np.mean(losses[:10])
    assert not runs.same(before, parameters(env))
    assert not runs.same(start, dict(learner.policy.state_dict()))
    env.reset()
    assert runs.same(before, parameters(env))


def test_the_configs_own_strategy_is_not_asked(tmp_path):
    env = environment(tmp_path, strategy=dict(type='FixedWeighting', weights=dict(a=1.0)))
    env.reset(seed=0)
    _, reward, *_ = env.step(env.action_space.sample())
    assert np.isfinite(reward)


def test_a_config_without_the_hook_is_told(tmp_path):
    with pytest.raises(MTKDError, match='MTKDHook'):
        DistillationEnv.from_config(runs.config(tmp_path))
