"""The eight invariants of the hook, each over the variations of a real training that ``variations.py`` lists."""

import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import runs
import torch
import variations
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config, ConfigDict
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from toy import state_of
from variations import VARIATIONS, Variation

from mtkd_rl.distiller import Distiller
from mtkd_rl.hook import KEY
from mtkd_rl.losses import build_loss, functional
from mtkd_rl.plot import read_scalars
from mtkd_rl.registry import LOSSES, REWARDS, STRATEGIES
from mtkd_rl.rl import credit, reward
from mtkd_rl.rl.action import ActionLayout
from mtkd_rl.rl.agent import Agent
from mtkd_rl.rl.state import ENCODINGS, compact
from mtkd_rl.rng import random_state
from mtkd_rl.tasks import find_task
from mtkd_rl.teachers import InputContract, Teacher, build_pool
from mtkd_rl.teachers.safe import SAFE
from mtkd_rl.types import Credit, Decision, Feedback, Knowledge, Outputs, State
from mtkd_rl.weighting.base import Setting, leave_out


def read(path: Path) -> dict[str, Any]:
    """A checkpoint, read without running any code."""
    with torch.serialization.safe_globals(SAFE):
        return torch.load(path, weights_only=True)


def random_linear(seed: int) -> nn.Module:
    """A teacher that can be made twice."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


class Dropping(nn.Module):
    """A teacher on which training mode would show: it drops out, and keeps statistics."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.Dropout(0.5))
        self.classifier = nn.Linear(6, 10)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.classifier(self.features(pictures).mean(dim=(2, 3)))


FEW = ('AdamW paramwise', 'bfloat16', 'EMA', 'iterations', 'activation checkpointing', 'Mixup')
"""The variations of the fast suite where all that are quick would take too long together."""

NAMES = ('zoe', 'M-1', 'a_b.c')
"""Of the teachers of a taught run; not sorted, so that a column under another's name would show."""


def three_teachers() -> dict[str, Any]:
    entries = (runs.teacher((6, 12)), dict(type='Callable', build=f'{__name__}.Dropping'), runs.teacher((5, 10, 10)))
    return {name: entry | dict(checkpoint='random') for name, entry in zip(NAMES, entries)}


# ---- runs with and without the hook, looked at from outside


class Taught(NamedTuple):
    """A run, and what was seen of its student before, in and after each iteration."""

    runner: Runner
    portraits: list[dict[str, Any]]
    kept: dict[str, dict[str, Tensor]]
    guests: list[dict[str, Any]]
    work_dir: Path


@pytest.fixture(scope='module')
def taught(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], Taught]:
    """Trains a variation for two epochs, with the hook or without, once for all tests that look at it."""

    @functools.cache
    def train(name: str, with_hook: bool = True) -> Taught:
        portraits, guests, kept = [], [], {}

        def look(runner: Runner) -> None:
            portraits.append(portrait(runner))
            guests.append(guests_seen(runner))
            if with_hook and len(guests) == 2:  # BatchNorm was folded in the first iteration
                for teacher in runs.hook_of(runner).pool:
                    kept[teacher.name] = {key: value.clone() for key, value in teacher.model.state_dict().items()}

        work_dir = tmp_path_factory.mktemp('taught')
        hooks = [runs.entry(teachers=three_teachers())] if with_hook else []
        hooks.append(runs.watching(before_train=look, after_train_iter=look))
        cfg = VARIATIONS[name].config(work_dir, hooks, iterations=6, save=True)
        return Taught(runs.train(cfg), portraits, kept, guests, work_dir)

    return train


def portrait(runner: Runner) -> dict[str, Any]:
    """All that other hooks may look at of a student, but for its numbers."""
    student = runner.model
    return dict(
        type=type(student),
        attributes=list(vars(student)),
        modules=[(name, type(module), module.training) for name, module in student.named_modules()],
        methods=[[name for name, value in vars(module).items() if callable(value)] for module in student.modules()],
        keys=list(student.state_dict()),
        parameters=[(name, value.shape, value.requires_grad) for name, value in student.named_parameters()],
        buffers=[name for name, _ in student.named_buffers()],
        groups=[[id_of(student, value) for value in group['params']] for group in runner.optim_wrapper.param_groups],
        options=[sorted(set(group) - {'params'}) for group in runner.optim_wrapper.param_groups],
        hooks=[type(hook) for hook in runner.hooks if not type(hook).__module__.startswith('mtkd_rl')],
    )


def id_of(model: nn.Module, parameter: nn.Parameter) -> str | None:
    """The name of a parameter; ``None`` if it is not the model's."""
    return next((name for name, value in model.named_parameters() if value is parameter), None)


def guests_seen(runner: Runner) -> dict[str, Any]:
    """What the teachers of a run do and where they are found."""
    hook = next((hook for hook in runner.hooks if type(hook).__name__ == 'MTKDHook'), None)
    pool = () if hook is None else hook.pool
    theirs = {id(part) for teacher in pool for part in teacher.model.modules()}
    values = {id(x) for teacher in pool for x in (*teacher.model.parameters(), *teacher.model.buffers())}
    averages = [hook.ema_model for hook in runner.hooks if type(hook).__name__ == 'EMAHook']
    hosts = [runner.model, *averages]
    return dict(
        training=[part for teacher in pool for part in teacher.model.modules() if part.training],
        learning=[x for teacher in pool for x in teacher.model.parameters() if x.requires_grad or x.grad is not None],
        modules=[part for host in hosts for part in host.modules() if id(part) in theirs],
        values=[x for host in hosts for x in (*host.parameters(), *host.buffers()) if id(x) in values],
        stepped=[x for group in runner.optim_wrapper.param_groups for x in group['params'] if id(x) in values],
        averaged=[key for average in averages for key in average.module.state_dict()],
    )


def record_losses(into: list[dict[str, Tensor]]) -> dict[str, Any]:
    """Keeps the losses of every iteration, of a run that may also validate."""

    def listen(runner: Runner) -> None:
        runner.model.register_forward_hook(keep, with_kwargs=True)

    def keep(module: nn.Module, args: Any, kwargs: dict[str, Any], said: Any) -> None:
        if kwargs['mode'] == 'loss':
            into.append({name: loss.detach().clone() for name, loss in said.items()})

    return runs.watching(before_train=listen)


def end_of(runner: Runner) -> dict[str, Any]:
    """All in which two runs could differ at their end, but for times."""
    schedulers = runner.param_schedulers or []
    return dict(
        weights=runner.model.state_dict(),
        optimizer=runner.optim_wrapper.state_dict(),
        schedulers=[scheduler.state_dict() for scheduler in schedulers],
        averages=[hook.ema_model.state_dict() for hook in runner.hooks if type(hook).__name__ == 'EMAHook'],
        logged=own_scalars(runner),
        random=random_state(),
    )


def own_scalars(runner: Runner) -> list[dict[str, float]]:
    """The rows of a run's log, without times and without what mtkd_rl adds."""
    (file,) = Path(runner.work_dir).glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in file.read_text().splitlines()]
    foreign = ('time', 'data_time', 'memory')
    added = ('mtkd/', 'w_', 'loss_kd_')
    kept = [{k: v for k, v in row.items() if k not in foreign and not k.startswith(added)} for row in rows]
    return [row for row in kept if row.keys() - {'step'}]


def differences(one: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """The names under which two records differ, bit by bit."""
    return [key for key in one.keys() | other.keys() if not runs.same(one.get(key), other.get(key))]


# ---- 1. the student stays itself


@pytest.mark.parametrize('name', variations.names(quick=FEW))
def test_1_the_student_stays_itself(taught, name):
    """In training it looks as without the hook; after it, nothing is left; what is saved is the plain model."""
    plain, ours = taught(name, False), taught(name)
    assert len(ours.portraits) == 1 + 6
    for without, with_hook in zip(plain.portraits, ours.portraits, strict=True):
        assert differences(without, with_hook) == []
    student = ours.runner.model
    hooks = ('_forward_hooks', '_forward_pre_hooks', '_backward_hooks', '_state_dict_hooks')
    for before, after in zip(plain.runner.model.modules(), student.modules(), strict=True):
        assert [len(getattr(before, kind)) for kind in hooks] == [len(getattr(after, kind)) for kind in hooks]

    last = 'iter_6.pth' if VARIATIONS[name].per_epoch is None else f'epoch_{6 // VARIATIONS[name].per_epoch}.pth'
    saved, baseline = read(ours.work_dir / last), read(plain.work_dir / last)
    assert saved.keys() - baseline.keys() == {KEY}
    assert list(saved['state_dict']) == list(baseline['state_dict'])
    model = MODELS.build(ConfigDict(VARIATIONS[name].student))
    model.load_state_dict((saved.get('ema_state_dict') and averaged(saved)) or saved['state_dict'], strict=True)
    pictures = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.eval()(pictures), student.eval()(pictures))


def averaged(saved: dict[str, Any]) -> dict[str, Tensor]:
    """The student's own weights: ``EMAHook`` saves the averages in their place, and those under its key."""
    own = {key.removeprefix('module.'): value for key, value in saved['ema_state_dict'].items() if key != 'steps'}
    return saved['state_dict'] | own


# ---- 2. weight zero is the baseline


@pytest.mark.parametrize('name', variations.names())
def test_2_weight_zero_is_the_baseline(tmp_path, name):
    """30 iterations end bit by bit as without the hook: whoever sets the weights, and however they come to be zero."""

    def train(folder: str, *entry: dict[str, Any]) -> dict[str, Any]:
        losses: list[dict[str, Tensor]] = []
        hooks = [*entry, record_losses(losses)]
        end = end_of(runs.train(VARIATIONS[name].config(tmp_path / folder, hooks, iterations=30)))
        assert len(losses) == 30
        assert all(('loss_kd_logit' in each) == bool(entry) for each in losses)
        assert all(
            float(each.get('loss_kd_logit', 0.0)) == float(each.get('loss_kd_feature', 0.0)) == 0 for each in losses
        )
        return end | dict(losses=[{k: v for k, v in each.items() if 'loss_kd_' not in k} for each in losses])

    baseline = train('none')
    assert len(baseline['logged']) >= 10
    teachers = three_teachers()
    zeros = dict(type='FixedWeighting', weights=dict.fromkeys(teachers, 0.0))
    assert differences(baseline, train('fixed', runs.entry(teachers=teachers, strategy=zeros))) == []
    agent = runs.entry(teachers=teachers, logit_weight=0.0, feature_weight=0.0)
    assert differences(baseline, train('agent', agent)) == []


@pytest.mark.parametrize('name', variations.names(quick=['EMA']))
def test_2_and_other_weights_are_not(taught, name):
    """So that the test above can fail."""
    plain, ours = taught(name, False), taught(name)
    assert not runs.same(plain.runner.model.state_dict(), ours.runner.model.state_dict())


def test_2_with_every_source_of_teachers(tmp_path):
    teachers = dict(
        m=runs.teacher((6, 12)),
        c=runs.counting(),
        t=dict(type='Torchvision', model='squeezenet1_1', num_classes=10, checkpoint='random', input_size=32),
    )
    entry = runs.entry(teachers=teachers, logit_weight=0.0, feature_weight=0.0)
    baseline, ours = (
        end_of(runs.train(VARIATIONS['Mixup'].config(tmp_path / str(len(hooks)), hooks, iterations=15)))
        for hooks in ([], [entry])
    )
    assert differences(baseline, ours) == []


def test_2_the_global_random_states_are_not_touched(tmp_path):
    """Looked at around each iteration of a student that draws nothing itself, agent and updates included."""
    states = []
    look = lambda runner: states.append(random_state())  # noqa: E731
    hooks = [
        runs.watching('HIGH', before_train=look),
        runs.entry(teachers=three_teachers()),
        runs.watching(before_train=look, after_train_iter=look),
    ]
    cfg = runs.config(tmp_path, hooks, iters=6, augment=False)
    runner = runs.train(cfg)
    assert runs.hook_of(runner).strategy.agent.ppo._n_updates > 0
    assert runs.same(states[0], states[1])
    # from the second iteration on; the first also makes the loader's iterator, which draws
    assert len(states) == 8
    assert all(runs.same(states[2], state) for state in states[3:])


# ---- 3. one teacher is plain KD


@MODELS.register_module(force=True)
class HandTaught(ImageClassifier):
    """A student with plain distillation from one teacher at temperature 4, written without mtkd_rl."""

    def __init__(self, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.__dict__['guest'] = random_linear(seed).eval()

    def loss(self, inputs: Tensor, data_samples: list[DataSample]) -> dict[str, Tensor]:
        with torch.no_grad():
            teacher = torch.log_softmax(self.guest(inputs).float() / 4, dim=1)
        logits = self.head(self.extract_feat(inputs))
        student = torch.log_softmax(logits.float() / 4, dim=1)
        kd = 16 * (teacher.exp() * (teacher - student)).sum(dim=1)
        return self.head._get_loss(logits, data_samples) | dict(loss_kd=kd.mean())


def pool_of_one(**options: Any) -> dict[str, Any]:
    """Without a guard, which would turn a teacher down that pulls the wrong way, as this one may."""
    teachers = dict(only=dict(type='Callable', build=f'{__name__}.random_linear', args=dict(seed=8)))
    return runs.entry(teachers=teachers, feature_loss=None, logit_weight=1.0, guard=None, **options)


@pytest.mark.parametrize('name', variations.names(quick=FEW))
def test_3_one_teacher_is_plain_kd(tmp_path, name):
    variation = VARIATIONS[name]
    by_hand = variation.student | dict(type='HandTaught', seed=8)
    expected = end_of(runs.train(variation.config(tmp_path / 'hand', iterations=12, student=by_hand)))
    entry = pool_of_one(strategy=dict(type='AverageWeighting'))
    ours = end_of(runs.train(variation.config(tmp_path / 'pool', [entry], iterations=12)))
    for row in expected['logged']:
        row.pop('loss_kd', None)
    assert differences(expected, ours) == []


@pytest.mark.parametrize(
    'strategy',
    [dict(type='FixedWeighting', weights=dict(only=1.0)), dict(type='PPOWeighting', rollout=64, batch_size=32)],
    ids=lambda strategy: strategy['type'],
)
def test_3_whoever_sets_the_weight(tmp_path, strategy):
    average, other = (
        end_of(
            runs.train(VARIATIONS['SGD'].config(tmp_path / each['type'], [pool_of_one(strategy=each)], iterations=6))
        )
        for each in (dict(type='AverageWeighting'), strategy)
    )
    assert differences(average, other) == []


# ---- 4. the order of the pool does not matter


ORDERED = {
    'average': dict(type='AverageWeighting'),
    'fixed': dict(type='FixedWeighting', weights=dict(zip(NAMES, (0.2, 0.7, 0.1)))),
    'confidence': dict(type='ConfidenceWeighting'),
    'agent': dict(type='PPOWeighting', rollout=64, batch_size=32),
    'agent of the paper': dict(type='PPOWeighting', rollout=64, batch_size=32, observation='paper'),
}


def taught_by(work_dir: Path, name: str, teachers: Any, strategy: dict[str, Any]) -> dict[str, Any]:
    losses: list[dict[str, Tensor]] = []
    hooks = [runs.entry(teachers=teachers, strategy=strategy), record_losses(losses)]
    runner = runs.train(VARIATIONS[name].config(work_dir, hooks, iterations=6))
    return end_of(runner) | dict(losses=losses, learnt=runs.hook_of(runner).distiller.state_dict())


@pytest.mark.parametrize('name', variations.names(quick=['EMA']))
def test_4_pool_order_does_not_matter(tmp_path, name):
    """Of the entries in a config."""
    entries = three_teachers()
    backwards = dict(reversed(entries.items()))
    ends = [taught_by(tmp_path / str(i), name, each, ORDERED['agent']) for i, each in enumerate((entries, backwards))]
    assert differences(*ends) == []


@pytest.mark.parametrize('strategy', ['fixed', 'agent of the paper', pytest.param('average', marks=pytest.mark.slow)])
def test_4_nor_that_of_a_list(tmp_path, strategy):
    entries = three_teachers()
    listed = [dict(name=name, **entry) for name, entry in reversed(entries.items())]
    ends = [taught_by(tmp_path / str(i), 'SGD', each, ORDERED[strategy]) for i, each in enumerate((entries, listed))]
    assert differences(*ends) == []


@pytest.mark.parametrize('strategy', ['average', 'fixed', 'confidence'])
def test_4_a_permuted_pool_gives_permuted_columns(strategy):
    """The formulas, and what they are told, bit by bit; the sums over teachers to rounding, as their order differs."""
    pool = build_pool(three_teachers(), temperature=4.0, source=InputContract((78.0,), (96.0,)))
    order = [2, 0, 1]
    student = MODELS.build(ConfigDict(runs.classifier()))
    student.train()
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(6, 1, 8, 8, generator=rng)
    samples = [DataSample().set_gt_label(i) for i in range(6)]
    distillers = [distiller_of(student, each, strategy) for each in (pool, tuple(pool[m] for m in order))]
    for distiller in distillers:
        distiller.student_taps.start()
    losses = student(inputs=inputs, data_samples=samples, mode='loss')
    one = distillers[0].lesson(inputs, samples, losses, 1.0)
    distillers[1].adapters = nn.ModuleList(distillers[0].adapters[m] for m in order)
    distillers[1]._levels = [distillers[0]._levels[m] for m in order]
    other = distillers[1].lesson(inputs, samples, losses, 1.0)

    ours, theirs = one.feedback, other.feedback
    assert runs.same(tuple(ours.state.teachers[m] for m in order), theirs.state.teachers)
    for column in ('similarity', 'divergence', 'teacher_loss'):
        assert torch.equal(getattr(ours.state, column)[:, order], getattr(theirs.state, column)), column
    for part in ('decision', 'knowledge'):
        for kind in ('logit', 'feature'):
            mine, yours = (getattr(getattr(feedback, part), kind) for feedback in (ours, theirs))
            torch.testing.assert_close(mine[:, order], yours, rtol=1e-6, atol=0)
    assert one.losses.keys() == other.losses.keys() == {'loss_kd_logit', 'loss_kd_feature'}
    for key, loss in one.losses.items():
        torch.testing.assert_close(loss, other.losses[key], rtol=1e-6, atol=0)


def distiller_of(student: nn.Module, pool: tuple[Teacher, ...], strategy: str) -> Distiller:
    cfg = dict(ORDERED[strategy])
    return Distiller(
        student,
        pool,
        find_task(student),
        InputContract((78.0,), (96.0,)),
        STRATEGIES.get(cfg.pop('type'))(**cfg),
        logit_loss=build_loss(dict(type='KD'), 'logit'),
        feature_loss=build_loss(dict(type='MSE'), 'feature'),
        logit_weight=1.0,
        feature_weight=1.0,
        student_layer=None,
        seed=0,
    )


def made_state(teachers: int, samples: int, seed: int) -> State:
    rng = torch.Generator().manual_seed(seed)

    def outputs() -> Outputs:
        logits = 3 * torch.randn(samples, 5, generator=rng)
        embedding = torch.randn(samples, 4, generator=rng)
        loss = -torch.log_softmax(logits, dim=1)[:, 0]
        return Outputs(logits, embedding, (embedding,), loss)

    student = outputs()
    pool = tuple(outputs() for _ in range(teachers))
    similarity = 2 * torch.rand(samples, teachers, generator=rng) - 1
    divergence = 3 * torch.rand(samples, teachers, generator=rng)
    target = torch.eye(5)[torch.zeros(samples, dtype=torch.long)]
    return state_of(student, pool, similarity, divergence, torch.ones(teachers, dtype=torch.bool), target)


def permuted(state: State, order: list[int]) -> State:
    return state._replace(
        teachers=tuple(state.teachers[m] for m in order),
        similarity=state.similarity[:, order],
        divergence=state.divergence[:, order],
        present=state.present[order],
        compared=tuple(state.compared[m] for m in order),
    )


@given(st.integers(1, 6), st.sampled_from([None, (0.0, 2.0)]), st.integers(0, 1000), st.data())
@settings(max_examples=8, deadline=None)
def test_4_the_compact_agent_is_blind_to_order(teachers, strength, seed, data):
    """Given permuted noise: permuted weights, the same strength, value and probability."""
    order = data.draw(st.permutations(range(teachers)))
    layout = ActionLayout(('logit', 'feature'), teachers, strength)
    agent = Agent(8 * teachers, layout, rollout=16, seed=seed)
    with torch.no_grad():  # as if it had learnt: the first scores are near zero
        for parameter in agent.ppo.policy.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=agent.noise))
    state = made_state(teachers, 7, seed)
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
def test_4_an_agent_carries_over_to_a_pool_of_any_size(before, after):
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


# ---- 5. teachers are guests


@pytest.mark.parametrize('name', variations.names(quick=FEW))
def test_5_teachers_are_guests(taught, name):
    """Frozen, in evaluation mode, as they came; in no module, optimizer, average or checkpoint of the student's."""
    ours = taught(name)
    assert len(ours.guests) == 1 + 6
    averaged = taught(name, False).guests[0]['averaged']
    for seen in ours.guests:
        assert seen.pop('averaged') == averaged
        assert {where: found for where, found in seen.items() if found} == {}
    pool = runs.hook_of(ours.runner).pool
    assert sorted(teacher.name for teacher in pool) == sorted(NAMES)
    for teacher in pool:
        assert runs.same(ours.kept[teacher.name], dict(teacher.model.state_dict()))
    theirs = {signature(x) for teacher in pool for x in teacher.model.state_dict().values() if x.numel() > 1}
    assert len(theirs) > 10
    checkpoints = sorted(ours.work_dir.glob('*.pth'))
    assert any(path.name.startswith(('epoch_', 'iter_')) for path in checkpoints)
    for path in checkpoints:
        assert not theirs & {signature(x) for x in runs.tensors(read(path)) if x.numel() > 1}, path.name


def signature(tensor: Tensor) -> tuple[Any, ...]:
    return tuple(tensor.shape), *tensor.detach().double().flatten().tolist()


# ---- 6. all that learns is saved


class Interrupted(Exception):  # noqa: N818  # what happens to a run, not what is wrong with it
    """What ends a run in the middle."""


# nobody saves the random states of workers that outlive an epoch
@pytest.mark.parametrize('name', variations.names(quick=['EMA', 'iterations'], without=['persistent workers']))
def test_6_all_that_learns_is_saved(tmp_path, name):
    """Interrupted in the third of four parts and resumed in its folder, a run ends bit by bit as one that was not."""
    whole, parted = whole_and_parted(tmp_path, VARIATIONS[name])
    assert whole[KEY]['distiller']['strategy']['agent']['n_updates'] > 0
    assert differences(whole, parted) == []


@pytest.mark.slow
@pytest.mark.parametrize('per_epoch', [3, None], ids=['epochs', 'iterations'])
def test_6_also_with_workers_that_stay_if_they_draw_nothing(tmp_path, per_epoch):
    variation = VARIATIONS['persistent workers']._replace(per_epoch=per_epoch)
    assert differences(*whole_and_parted(tmp_path, variation, augment=False)) == []


def whole_and_parted(tmp_path: Path, variation: Variation, **options: Any) -> list[dict[str, Any]]:
    """The last checkpoints of a run and of one that was interrupted, without what holds times."""
    iterations = 4 * (variation.per_epoch or 3)

    def interrupt(runner: Runner) -> None:
        if runner.iter == iterations * 5 // 8:
            raise Interrupted

    def config(folder: str, *hooks: dict[str, Any], **more: Any) -> Config:
        entry = runs.entry(teachers=three_teachers())
        return variation.config(tmp_path / folder, [entry, *hooks], iterations=iterations, save=True, **options, **more)

    runs.train(config('whole'))
    with pytest.raises(Interrupted):
        runs.train(config('parted', runs.watching(after_train_iter=interrupt)))
    torch.rand(3)  # whatever the next process has drawn before it resumes
    assert runs.train(config('parted', resume=True)).iter == iterations

    last = f'iter_{iterations}.pth' if variation.per_epoch is None else 'epoch_4.pth'
    saved = [read(tmp_path / folder / last) for folder in ('whole', 'parted')]
    return [{key: value for key, value in each.items() if key not in ('meta', 'message_hub')} for each in saved]


# ---- 7. maths is pure


SAMPLES, TEACHERS, CLASSES = 5, 3, 4
PER_SAMPLE, PER_TEACHER = (SAMPLES,), (SAMPLES, TEACHERS)
PRESENT = torch.tensor([True, False, True])


class Case(NamedTuple):
    """A function, its arguments for a seed, and the shape of every tensor that it returns."""

    function: Callable[..., Any]
    arguments: Callable[[int], tuple[Any, ...]]
    shape: tuple[int, ...]


def drawn(seed: int, *shape: int) -> Tensor:
    """Numbers that a gradient may be asked of."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).requires_grad_()


def logits_of(seed: int) -> tuple[Tensor, Tensor]:
    return 3 * drawn(seed, SAMPLES, CLASSES), 3 * drawn(seed + 100, SAMPLES, CLASSES).detach()


def labels_of(seed: int) -> Tensor:
    return drawn(seed, SAMPLES, CLASSES).detach().softmax(dim=1)


def places_of(seed: int) -> tuple[Tensor, Tensor, Tensor]:
    weight = drawn(seed + 200, SAMPLES, 7).detach().clamp(min=0)
    return drawn(seed, SAMPLES, 7, CLASSES), drawn(seed + 100, SAMPLES, 7, CLASSES).detach(), weight


def maps_of(seed: int) -> tuple[Tensor, Tensor]:
    return drawn(seed, SAMPLES, 6, 3, 2), drawn(seed + 100, SAMPLES, 6, 3, 2).detach()


def pictures_of(seed: int) -> tuple[Tensor, Tensor]:
    return drawn(seed, SAMPLES, 1, 12, 13).sigmoid(), drawn(seed + 100, SAMPLES, 1, 12, 13).sigmoid().detach()


def vectors_of(seed: int) -> tuple[Tensor, Tensor]:
    return drawn(seed, SAMPLES, 6), drawn(seed + 100, SAMPLES, 6).detach()


def scores_of(seed: int) -> Tensor:
    return drawn(seed, SAMPLES, TEACHERS).detach()


def columns_of(seed: int) -> tuple[list[Tensor], Tensor]:
    at = drawn(seed, SAMPLES, CLASSES)
    return [((at - drawn(seed + m, CLASSES).detach()) ** 2).sum(dim=1) for m in range(TEACHERS)], at


def aligned_of(seed: int) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    columns, at = columns_of(seed)
    return columns, [drawn(seed + 9, SAMPLES, CLASSES).detach()], [at]


def pulled_of(seed: int) -> tuple[Tensor, list[Tensor]]:
    columns, at = columns_of(seed)
    return columns[0].sum(), [at]


def feedback_of(seed: int) -> Feedback:
    weights = scores_of(seed).softmax(dim=1)
    decision = Decision(weights, weights.flip(1), scores_of(seed)[:, 0].square())
    knowledge = Knowledge(scores_of(seed + 4).square(), scores_of(seed + 5).square())
    (state,) = states_of(seed)
    return Feedback(state, decision, knowledge, state.credit)


def squares_of(seed: int) -> torch.Tensor:
    """Inner products of teachers' gradients."""
    pulls = drawn(seed, *PER_TEACHER, 6)
    return pulls @ pulls.transpose(1, 2)


def states_of(seed: int) -> tuple[State]:
    logit = Credit(scores_of(seed + 1).tanh(), scores_of(seed + 2), squares_of(seed), drawn(seed, SAMPLES).square())
    told = dict(logit=logit, feature=Credit(scores_of(seed + 3).tanh(), None))
    return (made_state(TEACHERS, SAMPLES, seed)._replace(credit=told),)


def loss_case(name: str) -> Case:
    loss = build_loss(dict(type=name), LOSSES.get(name).kind)
    if loss.kind == 'logit' and loss.of == 'pictures':
        return Case(loss, lambda seed: (*pictures_of(seed), torch.zeros(SAMPLES), 1.0), PER_SAMPLE)
    if loss.kind == 'logit' and loss.of == 'maps':
        return Case(loss, lambda seed: (*places_of(seed), 4.0), PER_SAMPLE)
    if loss.kind == 'logit':
        return Case(loss, lambda seed: (*logits_of(seed), labels_of(seed), 4.0), PER_SAMPLE)
    return Case(loss, vectors_of if loss.on == 'embedding' else maps_of, PER_SAMPLE)


def strategy_of(name: str, **options: Any) -> Any:
    strategy = STRATEGIES.get(name)(**options)
    strategy.prepare(Setting(('a', 'b', 'c'), ('logit', 'feature'), 0, torch.device('cpu')))
    return lambda state: strategy.decide(state)[:2]


FUNCTIONAL = {
    'channel_wise_kl': (maps_of, PER_SAMPLE),
    'channel_wise_logits': (lambda seed: (*places_of(seed), 4.0), PER_SAMPLE),
    'cosine': (vectors_of, PER_SAMPLE),
    'dist': (logits_of, PER_SAMPLE),
    'dkd': (lambda seed: (*logits_of(seed), labels_of(seed), 4.0), PER_SAMPLE),
    'kd': (lambda seed: (*logits_of(seed), 4.0), PER_SAMPLE),
    'kl_divergence': (logits_of, PER_SAMPLE),
    'mse': (maps_of, PER_SAMPLE),
    'l1': (pictures_of, PER_SAMPLE),
    'pkd': (maps_of, PER_SAMPLE),
    'pool': (lambda seed: maps_of(seed)[:1], (SAMPLES, 6)),
    'relational_similarity': (vectors_of, PER_SAMPLE),
    'sobel': (lambda seed: pictures_of(seed)[:1], (SAMPLES, 1, 12, 13)),
    'ssim': (pictures_of, PER_SAMPLE),
    'standardise': (lambda seed: logits_of(seed)[:1], (SAMPLES, CLASSES)),
}
CREDIT = {
    'alignment': (lambda seed: (drawn(seed, SAMPLES, 6), drawn(seed + 1, *PER_TEACHER, 6)), PER_TEACHER),
    'alignments': (aligned_of, PER_TEACHER),
    'effect': (
        lambda seed: (drawn(seed, *PER_TEACHER, CLASSES), drawn(seed, SAMPLES, 6), drawn(seed, CLASSES, 6)),
        PER_TEACHER,
    ),
    'gradients': (pulled_of, (SAMPLES, CLASSES)),
    'pulls': (columns_of, (*PER_TEACHER, CLASSES)),
    'standardise_over_teachers': (lambda seed: (scores_of(seed), PRESENT), PER_TEACHER),
}
REWARD = {
    'combined': (lambda seed: (scores_of(seed).softmax(1), scores_of(seed + 1).tanh(), squares_of(seed)), PER_SAMPLE),
    'credit_reward': (lambda seed: (scores_of(seed).softmax(1), scores_of(seed + 1), PRESENT), PER_SAMPLE),
    'strength_reward': (
        lambda seed: (drawn(seed, SAMPLES).square(), scores_of(seed).softmax(1), scores_of(seed + 1), PRESENT),
        PER_SAMPLE,
    ),
}
ENCODED = {'compact': (*PER_TEACHER, 8), 'paper': (SAMPLES, TEACHERS * (4 + 5 + 3))}
STRATEGIC: dict[str, dict[str, Any]] = {
    'AverageWeighting': {},
    'ConfidenceWeighting': {},
    'EntropyWeighting': {},
    'FixedWeighting': dict(weights=dict(a=0.3, c=2.0)),
    'GradientWeighting': {},
    'SignalWeighting': {},
}
DRAWING = {
    'DroppingWeighting',
    'MetaWeighting',
    'PPOWeighting',
    'PaperWeighting',
    'RandomWeighting',
    'ReinforceWeighting',
    'ShuffledWeighting',
}
LAYOUT = ActionLayout(('logit', 'feature'), TEACHERS)


def ours_of(registry: Any) -> list[str]:
    """The names of what mtkd_rl itself registers; tests register more."""
    registry.import_from_location()
    return [name for name, each in registry.module_dict.items() if each.__module__.startswith('mtkd_rl.')]


CASES = {
    **{f'functional.{name}': Case(getattr(functional, name), *case) for name, case in FUNCTIONAL.items()},
    **{f'credit.{name}': Case(getattr(credit, name), *case) for name, case in CREDIT.items()},
    **{f'reward.{name}': Case(getattr(reward, name), *case) for name, case in REWARD.items()},
    **{name: loss_case(name) for name in ours_of(LOSSES) if name != 'PerceptualPicture'},  # it wants a file
    **{name: Case(REWARDS.get(name)(), lambda seed: (feedback_of(seed),), PER_SAMPLE) for name in ours_of(REWARDS)},
    **{f'state {name}': Case(ENCODINGS[name], states_of, shape) for name, shape in ENCODED.items()},
    **{name: Case(strategy_of(name, **args), states_of, PER_TEACHER) for name, args in STRATEGIC.items()},
    'ActionLayout.decide': Case(
        lambda action: LAYOUT.decide(action)[:2], lambda seed: (drawn(seed, SAMPLES, LAYOUT.width),), PER_TEACHER
    ),
    'leave_out': Case(
        lambda decision, present: leave_out(decision, present, present)[:2],
        lambda seed: (feedback_of(seed).decision, PRESENT),
        PER_TEACHER,
    ),
}


@pytest.mark.parametrize('name', CASES)
def test_7_maths_is_pure(name):
    """The same twice, also after other arguments; arguments and random states are left alone; nothing is reduced."""
    function, arguments, shape = CASES[name]
    given, untouched, random = arguments(1), arguments(1), random_state()
    first = function(*given)
    said = [x.detach().clone() for x in runs.tensors(first)]
    function(*arguments(2))
    again = runs.tensors(function(*given))
    assert said
    assert all(torch.isfinite(x).all() for x in said)
    assert [tuple(x.shape) for x in said] == [shape] * len(said)
    assert name in STRATEGIC or all(len(x.unique(dim=0)) > 1 for x in said)  # not one mean for all
    assert runs.same(said, again)
    assert runs.same(said, runs.tensors(first))  # a later call does not write into what an earlier one returned
    assert runs.same(given, untouched)
    assert all(x.grad is None for x in runs.tensors(given) if x.is_leaf)
    assert runs.same(random, random_state())


def test_7_everything_is_tried():
    """So that a new function has to come with its case."""
    assert set(functional.__all__) == set(FUNCTIONAL)
    for module, cases in ((credit, CREDIT), (reward, REWARD)):
        public = {
            name
            for name, each in inspect.getmembers(module, inspect.isfunction)
            if each.__module__ == module.__name__ and not name.startswith('_')
        }
        assert public == set(cases)
    assert set(ENCODINGS) == set(ENCODED)
    assert set(ours_of(STRATEGIES)) - DRAWING == set(STRATEGIC)


# ---- 8. one name a teacher


@pytest.mark.parametrize('name', variations.names(quick=FEW))
def test_8_one_name_a_teacher(taught, name):
    """Config, loss column, weight, log, summary and manifest call a teacher the same, and nobody else is named."""
    ours = taught(name)
    hook = runs.hook_of(ours.runner)
    assert set(hook.teachers) == set(NAMES)
    order = [teacher.name for teacher in hook.pool]
    assert sorted(order) == sorted(NAMES)
    assert list(hook.strategy.setting.teachers) == order

    rows = [row for name in NAMES for row in read_scalars(ours.work_dir, f'mtkd/weight_logit/{name}/mean')]
    scalars = {key for row in rows for key in row}
    for kind in ('logit', 'feature'):
        for start, end in ((f'mtkd/weight_{kind}/', '/mean'), (f'mtkd/loss_{kind}/', '')):
            found = {key.removeprefix(start).removesuffix(end) for key in scalars if key.startswith(start)}
            assert {each for each in found if not each.endswith('/std')} == set(NAMES), (start, end)
    summary = json.loads((ours.work_dir / 'distillation.json').read_text())
    assert summary['teachers'] == order
    assert set(summary['left_out']) == set(NAMES)
    history = ours.runner.message_hub.log_scalars
    assert {key.removeprefix('train/w_') for key in history if key.startswith('train/w_')} == set(NAMES)
    (path, *_) = (path for path in ours.work_dir.glob('*.pth') if path.name != 'agent.pth')
    assert [each['name'] for each in read(path)[KEY]['teachers']] == order


def test_8_and_under_its_name_stands_its_own(tmp_path):
    """Weight, loss and hash under a name are those of the teacher of that name, computed from its entry alone."""
    weights = dict(zip(NAMES, (0.2, 0.7, 0.1)))
    said: dict[str, Tensor] = {}
    expected: dict[str, float] = {}

    def listen(runner: Runner) -> None:
        runner.model.head.register_forward_hook(lambda module, args, output: said.update(student=output.detach()))
        runner.model.backbone.register_forward_pre_hook(lambda module, args: said.update(pictures=args[0]))

    def by_hand(runner: Runner) -> None:
        student = torch.log_softmax(said['student'].double() / 4, dim=1)
        for name, model in alone.items():
            with torch.no_grad():
                p = torch.softmax(model(said['pictures']).double() / 4, dim=1)
            expected[name] = 16 * float((p * (p.log() - student)).sum(dim=1).mean())

    source = InputContract((78.0,), (96.0,))
    alone = {}
    for name, entry in three_teachers().items():
        (teacher,) = build_pool({name: entry}, temperature=4.0, source=source)
        alone[name] = teacher.model
    fixed = dict(type='FixedWeighting', weights=weights)
    entry = runs.entry(teachers=three_teachers(), strategy=fixed, feature_loss=None, guard=None)
    hooks = [entry, runs.watching(before_train=listen, after_train_iter=by_hand)]
    runner = runs.train(runs.config(tmp_path, hooks, limit=20, epochs=1))
    for name, weight in weights.items():
        (row,) = read_scalars(tmp_path, f'mtkd/loss_logit/{name}')
        assert row[f'mtkd/loss_logit/{name}'] == pytest.approx(expected[name], rel=1e-4)
        assert row[f'mtkd/weight_logit/{name}/mean'] == pytest.approx(weight)
        assert runner.message_hub.get_scalar(f'train/w_{name}').current() == pytest.approx(weight)
    assert len({round(loss, 4) for loss in expected.values()}) == len(NAMES)
