"""What holds whatever the config says: weight zero is the baseline, one teacher is plain KD, order does not matter."""

import pytest
import runs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import MODELS
from mmpretrain.models import ImageClassifier
from torch import Tensor

from mtkd_rl.rl.action import ActionLayout
from mtkd_rl.rl.agent import Agent
from mtkd_rl.rl.state import compact
from mtkd_rl.rng import random_state
from mtkd_rl.types import Outputs, State

ADAMW = dict(type='AdamW', lr=0.01, weight_decay=0.1)
SGD = dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4)


@MODELS.register_module(force=True)
class HandTaught(ImageClassifier):
    """A student with plain distillation from one teacher at temperature 4, written without mtkd_rl."""

    def __init__(self, seed: int, **kwargs):
        super().__init__(**kwargs)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.__dict__['guest'] = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()

    def loss(self, inputs: Tensor, data_samples: list) -> dict[str, Tensor]:
        with torch.no_grad():
            teacher = torch.log_softmax(self.guest(inputs) / 4, dim=1)
        logits = self.head(self.extract_feat(inputs))
        student = torch.log_softmax(logits / 4, dim=1)
        kd = 16 * (teacher.exp() * (teacher - student)).sum(dim=1)
        losses = self.head._get_loss(logits, data_samples)
        return losses | dict(loss_kd=kd.mean())


def guest(seed: int) -> torch.nn.Module:
    """The same teacher for the pool."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))


def final(tmp_path, hooks, **options):
    """Weights and optimizer after 15 iterations."""
    runner = runs.train(runs.config(tmp_path, hooks, epochs=5, **options))
    assert runner.iter == 15
    return runs.weights_of(runner), runner.optim_wrapper.state_dict()['state']


# ---- weight zero is the baseline


@pytest.mark.parametrize(
    'options',
    [dict(optimizer=SGD, val=True), dict(optimizer=ADAMW), dict(optimizer=ADAMW, iters=15)],
    ids=['SGD', 'AdamW', 'iterations'],
)
def test_weight_zero_equals_no_hook(tmp_path, options):
    options = dict(student=runs.classifier(dropout=0.5), **options)
    baseline = final(tmp_path / 'none', [], **options)
    fixed = dict(type='FixedWeighting', weights=dict(a=0.0, b=0.0))
    assert runs.same(baseline, final(tmp_path / 'fixed', [runs.entry(strategy=fixed)], **options))
    ppo = runs.entry(logit_weight=0.0, feature_weight=0.0)
    assert runs.same(baseline, final(tmp_path / 'ppo', [ppo], **options))


def test_teaching_makes_a_difference(tmp_path):
    baseline, taught = (final(tmp_path / str(len(hooks)), hooks) for hooks in ([], [runs.entry()]))
    assert not runs.same(baseline, taught)


def test_weight_zero_equals_no_hook_under_mixup_with_every_source_of_teachers(tmp_path):
    student = runs.classifier(dropout=0.5, train_cfg=dict(augments=dict(type='Mixup', alpha=1.0)))
    teachers = dict(
        m=runs.teacher((6, 12)),
        c=runs.counting(),
        t=dict(type='Torchvision', model='squeezenet1_1', num_classes=10, checkpoint='random', input_size=32),
    )
    entry = runs.entry(teachers=teachers, logit_weight=0.0, feature_weight=0.0)
    baseline, taught = (final(tmp_path / str(len(h)), h, student=student, optimizer=SGD) for h in ([], [entry]))
    assert runs.same(baseline, taught)


def test_the_global_random_states_are_not_touched(tmp_path):
    """Looked at around each iteration of a student that draws nothing itself, agent and updates included."""
    states = []
    look = lambda runner: states.append(random_state())  # noqa: E731
    hooks = [
        runs.watching('HIGH', before_train=look),
        runs.entry(),
        runs.watching(before_train=look, after_train_iter=look),
    ]
    cfg = runs.config(tmp_path, hooks, iters=6, augment=False)
    runner = runs.train(cfg)
    assert runs.hook_of(runner).strategy.agent.ppo._n_updates > 0
    assert runs.same(states[0], states[1])
    # from the second iteration on; the first also makes the loader's iterator, which draws
    assert len(states) == 8
    assert all(runs.same(states[2], state) for state in states[3:])


# ---- one teacher is plain KD


@pytest.mark.parametrize(
    'strategy',
    [dict(type='AverageWeighting'), dict(type='FixedWeighting', weights=dict(only=1.0)), dict(type='PPOWeighting')],
    ids=lambda strategy: strategy['type'],
)
def test_a_pool_of_one_is_plain_distillation(tmp_path, strategy):
    student = runs.classifier(dropout=0.3)
    by_hand = final(tmp_path / 'hand', [], student=student | dict(type='HandTaught', seed=8))
    teachers = dict(only=dict(type='Callable', build=f'{__name__}.guest', args=dict(seed=8)))
    entry = runs.entry(teachers=teachers, strategy=strategy, feature_loss=None)
    assert runs.same(by_hand, final(tmp_path / 'pool', [entry], student=student))


# ---- the order of the pool does not matter


@pytest.mark.parametrize(
    'strategy',
    [
        dict(type='AverageWeighting'),
        dict(type='FixedWeighting', weights=dict(a=0.2, b=0.7, c=0.1)),
        dict(type='PPOWeighting', rollout=64, batch_size=32),
        dict(type='PPOWeighting', rollout=64, batch_size=32, observation='paper'),
    ],
    ids=['average', 'fixed', 'ppo', 'ppo of the paper'],
)
def test_the_order_in_the_config_changes_nothing(tmp_path, strategy):
    teachers = dict(a=runs.teacher((6, 12)), b=runs.counting(), c=runs.teacher((5, 9)))
    backwards = dict(reversed(teachers.items()))
    results = []
    for entries in (teachers, backwards, [dict(name=name, **entry) for name, entry in backwards.items()]):
        losses = []
        hooks = [runs.entry(teachers=entries, strategy=strategy), runs.record_losses(losses)]
        runner = runs.train(runs.config(tmp_path / str(len(results)), hooks))
        results.append((losses, runs.weights_of(runner), runs.hook_of(runner).strategy.state_dict()))
    assert runs.same(results[0], results[1])
    assert runs.same(results[0], results[2])


def states_of(teachers: int, samples: int, seed: int) -> State:
    rng = torch.Generator().manual_seed(seed)

    def outputs() -> Outputs:
        logits = 3 * torch.randn(samples, 5, generator=rng)
        embedding = torch.randn(samples, 4, generator=rng)
        loss = -torch.log_softmax(logits, dim=1)[:, 0]
        return Outputs(logits, embedding, embedding, loss)

    student = outputs()
    pool = tuple(outputs() for _ in range(teachers))
    similarity = 2 * torch.rand(samples, teachers, generator=rng) - 1
    divergence = 3 * torch.rand(samples, teachers, generator=rng)
    target = torch.eye(5)[torch.zeros(samples, dtype=torch.long)]
    return State(student, pool, similarity, divergence, torch.ones(teachers, dtype=torch.bool), target)


def permuted(state: State, order: list[int]) -> State:
    return state._replace(
        teachers=tuple(state.teachers[m] for m in order),
        similarity=state.similarity[:, order],
        divergence=state.divergence[:, order],
        present=state.present[order],
    )


@given(st.integers(1, 6), st.sampled_from([None, (0.0, 2.0)]), st.integers(0, 1000), st.data())
@settings(max_examples=8, deadline=None)
def test_the_compact_agent_is_blind_to_order(teachers, strength, seed, data):
    """Given permuted noise: permuted weights, the same strength, value and probability."""
    order = data.draw(st.permutations(range(teachers)))
    layout = ActionLayout(('logit', 'feature'), teachers, strength)
    agent = Agent(8 * teachers, layout, rollout=16, seed=seed)
    with torch.no_grad():  # as if it had learnt: the first scores are near zero
        for parameter in agent.ppo.policy.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=agent.noise))
    state = states_of(teachers, 7, seed)
    noise = torch.randn(7, layout.width, generator=agent.noise)
    columns = [*order, *(teachers + m for m in order), *range(2 * teachers, layout.width)]

    _, here = agent.act(compact(state).flatten(1), noise=noise)
    _, there = agent.act(compact(permuted(state, order)).flatten(1), noise=noise[:, columns])
    one, other = layout.decide(here.action), layout.decide(there.action)
    torch.testing.assert_close(one.logit[:, order], other.logit, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one.feature[:, order], other.feature, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(one.strength, other.strength, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(here.value, there.value, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(here.log_prob, there.log_prob, atol=1e-3, rtol=1e-4)


@given(st.integers(1, 5), st.integers(1, 5))
@settings(max_examples=6, deadline=None)
def test_an_agent_carries_over_to_a_pool_of_any_size(before, after):
    """A teacher that is there twice gets the same score twice, whatever the pool was that the agent learnt with."""
    source = Agent(8 * before, ActionLayout(('logit',), before), rollout=16, seed=1)
    target = Agent(8 * after, ActionLayout(('logit',), after), rollout=16, seed=2)
    target.load_policy(source.policy_state())
    row = torch.randn(3, 1, 8, generator=torch.Generator().manual_seed(0))
    (many, sampled), (few, known) = (
        agent.act(row.expand(3, n, 8).flatten(1)) for agent, n in ((target, after), (source, before))
    )
    torch.testing.assert_close(many[:, :1].expand(3, after), many)
    torch.testing.assert_close(many[:, 0], few[:, 0])
    torch.testing.assert_close(sampled.value, known.value)
