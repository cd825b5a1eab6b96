"""Do no harm: what the guard leaves out, turns down and balances, and that a student is the better for it."""

import json
import math
import statistics
from argparse import Namespace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from toy import state_of

from mtkd_rl import tooling
from mtkd_rl.datasets.digits import Digits
from mtkd_rl.errors import MTKDError
from mtkd_rl.guard import MEMORY, Guard, build_guard, in_short, news, pull
from mtkd_rl.plot import read_scalars
from mtkd_rl.types import Credit, Decision, Knowledge, Outputs

CONFIGS = Path(__file__).parents[1] / 'configs' / 'digits'
CPU = torch.device('cpu')


def outputs(rows: int = 4, value: float = 0.0, classes: int = 3) -> Outputs:
    """Of a model that says the same of every sample."""
    return Outputs(
        torch.full((rows, classes), value), torch.ones(rows, 2), (torch.ones(rows, 2, 2, 2),), torch.ones(rows)
    )


def guard_of(teachers: str = 'ab', kinds: tuple[str, ...] = ('logit', 'feature'), **options: Any) -> Guard:
    guard = Guard(**options)
    guard.prepare(tuple(teachers), kinds, kinds, CPU)
    return guard


def judged(
    guard: Guard, alignment: list[float], weights: list[float] | None = None, task: float = 1.0, loss: float = 1.0
):
    """One iteration of four samples on which the student knows nothing, each teacher pulling the same on all."""
    m = len(alignment)
    student = outputs(classes=2)._replace(task_loss=torch.full((4,), task))
    target = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    present = torch.ones(m, dtype=torch.bool)
    state = state_of(student, (outputs(),) * m, torch.zeros(4, m), torch.zeros(4, m), present, target)
    given = torch.tensor(weights or [1 / m] * m).expand(4, m)
    decision = Decision(given, given, torch.ones(4))
    losses = torch.full((4, m), loss)
    credit = Credit(torch.tensor(alignment).expand(4, m), None)
    ruled, _, factors = guard.rule(state, decision, Knowledge(losses, losses / 2), dict(logit=credit, feature=credit))
    return ruled, factors


# ---- (a) outputs that are not finite


@pytest.mark.parametrize('field', Outputs._fields)
@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_leaves_the_teacher_out(field, value):
    broken = outputs()
    wrong = getattr(broken, field)
    (wrong[0] if field == 'feature' else wrong).view(-1)[1] = value
    admitted, present = guard_of().admit((outputs(value=2.0), broken))
    assert present.tolist() == [True, False]
    assert all(not x.any() for x in admitted[1].tensors())
    assert all(torch.equal(x, y) for x, y in zip(admitted[0].tensors(), outputs(value=2.0).tensors()))


def test_a_teacher_is_dropped_after_so_many_batches_in_a_row():
    guard = guard_of(drop_after=3)
    good, bad = outputs(), outputs(value=math.nan)
    seen = [bool(guard.admit((good, answer))[1][1]) for answer in (bad, bad, good, bad, bad, bad, good, good)]
    assert seen == [False, False, True, False, False, False, False, False]
    assert guard.read().dropped == ['b']
    assert guard.gone == {'b'}


def test_a_teacher_that_is_dropped_is_not_asked_again(tmp_path):
    """It is named in a warning and in the summary, and runs no more once that has been said."""
    asked = []

    def count(runner: Runner) -> None:
        asked.append(runs.hook_of(runner).pool[1].model.calls)

    teachers = dict(a=runs.teacher((6, 12)), bad=runs.counting(broken=range(3, 99)))
    hooks = [runs.entry(teachers=teachers, guard=dict(drop_after=4)), runs.watching(after_train_iter=count)]
    runner = runs.train(runs.config(tmp_path, hooks, iters=14))
    # the first call finds its feature, the third batch is the first broken one, the sixth the fourth in a row
    assert asked == [2, 3, 4, 5, 6, 7, *[7] * 8]
    (log,) = Path(runner.log_dir).glob('*.log')
    assert log.read_text().count('teacher bad is dropped: its outputs were not finite in 4 batches in a row') == 1
    summary = json.loads((tmp_path / 'distillation.json').read_text())
    assert summary['guard']['dropped'] == ['bad']
    assert summary['left_out'] == dict(a=0, bad=12)
    assert all(torch.isfinite(value).all() for value in runs.weights_of(runner).values())


def test_without_a_guard_a_broken_teacher_breaks_the_student(tmp_path):
    """Which shows that the tests above can fail."""
    teachers = dict(a=runs.teacher((6, 12)), bad=runs.counting(broken=range(3, 99)))
    entry = runs.entry(teachers=teachers, guard=None, strategy=dict(type='AverageWeighting'))
    runner = runs.train(runs.config(tmp_path, [entry], iters=6))
    assert any(torch.isnan(value).any() for value in runs.weights_of(runner).values())


# ---- (b) the balance


def test_the_balance_is_the_ratio_of_the_mean_losses_while_it_is_found_and_is_held_then():
    guard = guard_of(calibrate=2)
    batches = [(2.0, 5.0), (1.0, 5.0), (9.0, 1.0)]
    factors = [judged(guard, [1.0, 1.0], task=task, loss=loss)[1] for task, loss in batches]
    assert [float(each['logit']) for each in factors] == pytest.approx([2 / 5, 3 / 10, 3 / 10])
    assert [float(each['feature']) for each in factors] == pytest.approx([2 / 2.5, 3 / 5, 3 / 5])
    assert guard.read().balance == pytest.approx(dict(logit=3 / 10, feature=3 / 5))


def test_a_batch_that_overflows_does_not_enter_the_balance():
    guard = guard_of(calibrate=5)
    judged(guard, [1.0, 1.0], loss=math.inf)
    assert float(judged(guard, [1.0, 1.0], loss=4.0)[1]['logit']) == 0.25


def test_a_kind_that_begins_later_is_balanced_then():
    guard = guard_of(calibrate=2)
    for _ in range(5):
        judged(guard, [1.0, 1.0], weights=[0.0, 0.0])
    assert guard.read().balance == dict(logit=1.0, feature=1.0)
    assert float(judged(guard, [1.0, 1.0], loss=4.0)[1]['logit']) == 0.25


def test_a_student_that_is_nearly_its_teacher_is_not_torn_about(tmp_path):
    """Its losses are small, and are left as they are."""
    guard = guard_of(calibrate=2)
    assert float(judged(guard, [1.0, 1.0], loss=1e-9)[1]['logit']) == 1.0


@pytest.mark.parametrize('scale', [30.0, 1e6, 1e12])
def test_a_loss_of_any_scale_is_as_large_as_the_tasks(tmp_path, scale):
    """A teacher whose features are large teaches no more for it, and the factor is shown."""
    losses: list[dict[str, torch.Tensor]] = []
    teachers = dict(a=dict(type='Callable', build='test_guard.Scaled', args=dict(scale=scale), checkpoint='random'))
    entry = runs.entry(teachers=teachers, logit_loss=None, strategy=dict(type='AverageWeighting'))
    runner = runs.train(runs.config(tmp_path, [entry, runs.record_losses(losses)], epochs=1))
    assert float(losses[0]['loss_kd_feature']) == pytest.approx(float(losses[0]['loss']), rel=1e-4)
    shown = read_scalars(tmp_path, 'mtkd/balance/feature')[-1]['mtkd/balance/feature']
    assert shown == pytest.approx(runs.hook_of(runner).distiller.guard.read().balance['feature'])
    weighted = runs.entry(
        teachers=teachers, logit_loss=None, feature_weight=1.0, strategy=dict(type='AverageWeighting')
    )
    runs.train(runs.config(tmp_path / 'weighted', [weighted]))
    with pytest.raises(MTKDError, match='no scalar mtkd/balance/feature'):
        read_scalars(tmp_path / 'weighted', 'mtkd/balance/feature')


class Scaled(torch.nn.Module):
    """A teacher whose features are as large as it is told."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.backbone = torch.nn.Conv2d(1, 4, 3)
        self.head = torch.nn.Linear(4, 10)
        with torch.no_grad():
            self.backbone.weight.mul_(scale)
            self.backbone.bias.mul_(scale)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.head(self.backbone(pictures).mean(dim=(2, 3)))


# ---- (c) pulling the wrong way


def test_the_pull_by_hand():
    weights = torch.tensor([[1.0, 0.5], [0.0, 0.5]])
    need, alignment = torch.tensor([0.5, 1.0]), torch.tensor([[1.0, -1.0], [-1.0, 0.5]])
    numerator, denominator = pull(weights, need, alignment)
    assert numerator.tolist() == [0.5, -0.25 + 0.25]
    assert denominator.tolist() == [0.5, 0.75]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_a_pull_is_a_mean_of_cosines(seed):
    rng = torch.Generator().manual_seed(seed)
    alignment = 2 * torch.rand(6, 3, generator=rng) - 1
    numerator, denominator = pull(torch.rand(6, 3, generator=rng), torch.rand(6, generator=rng) + 1e-3, alignment)
    mean = numerator / denominator
    assert (mean <= alignment.amax(dim=0) + 1e-6).all()
    assert (mean >= alignment.amin(dim=0) - 1e-6).all()


def test_a_teacher_that_keeps_pulling_the_wrong_way_is_turned_down_until_it_pulls_the_right_way():
    guard = guard_of(limit=0.3)
    weights = []
    for against in [-1.0] * 8 + [1.0] * 20:
        decision, _ = judged(guard, [0.5, against], weights=[0.25, 0.75])
        weights.append(decision.logit[0].tolist())
    pulls = [-(1 - MEMORY**n) for n in range(1, 9)]
    for _ in range(20):
        pulls.append(MEMORY * pulls[-1] + 1 - MEMORY)
    down, expected = False, []
    for value in pulls:
        down = value < -0.3 or (down and value <= 0)
        expected.append([1.0, 0.0] if down else [0.25, 0.75])
    assert [1.0, 0.0] in expected
    assert expected[-1] == [0.25, 0.75]
    assert weights == expected
    times = dict(a=0, b=expected.count([1.0, 0.0]))
    assert guard.read().turned_down_for == dict(logit=times, feature=times)


def test_when_all_pull_the_wrong_way_nobody_teaches():
    guard = guard_of(limit=0.1)
    for _ in range(9):
        decision, _ = judged(guard, [-1.0, -0.5])
    assert not decision.logit.any()
    assert not decision.feature.any()


def test_a_student_that_has_learnt_its_pictures_turns_nobody_down():
    """Every soft teacher pulls away from a label that the student knows."""
    guard = guard_of(limit=0.1)
    for _ in range(99):
        guard._watch(torch.tensor(0.04), torch.full((2, 2), -0.04), torch.full((2, 2), 0.04))
    assert guard.read().pull['logit'] == dict(a=0.0, b=0.0)


def test_a_teacher_without_weight_has_no_pull():
    guard = guard_of(limit=0.1)
    for _ in range(9):
        judged(guard, [0.5, -1.0], weights=[1.0, 0.0])
    assert guard.read().pull['logit']['b'] == 0.0


# ---- what is said


def test_each_alarm_is_said_once():
    guard = guard_of(drop_after=2, limit=0.1)
    before = guard.read()
    for _ in range(2):
        guard.admit((outputs(), outputs(value=math.nan)))
        judged(guard, [-1.0, 0.0])
    judged(guard, [-1.0, 0.0])
    now = guard.read()
    lines = news(before, now, dict(a=0, b=2), guard)
    assert [line.split(':')[0] for line in lines] == [
        'teacher b is dropped',
        'teacher a is turned down in its logit losses',
        'teacher a is turned down in its feature losses',
    ]
    assert news(now, now, dict(a=0, b=1), guard) == []
    for _ in range(20):
        judged(guard, [1.0, 0.0])
    assert news(now, guard.read(), dict(a=0, b=0), guard) == [
        'teacher a is heard again in its logit losses',
        'teacher a is heard again in its feature losses',
    ]
    said = in_short(guard.read(), dict(a=0, b=2))
    assert said.startswith('the guard: dropped b; left b out of 2 batches; turned a down in its logit losses for ')


def test_saved_and_loaded_it_goes_on():
    guards = [guard_of(drop_after=3, limit=0.1, calibrate=4) for _ in range(2)]
    judged(guards[0], [-1.0, 1.0], loss=3.0)
    guards[0].admit((outputs(), outputs(value=math.nan)))
    guards[1].load_state_dict(guards[0].state_dict())
    untouched = guard_of(drop_after=3, limit=0.1, calibrate=4)
    judged(untouched, [-1.0, 1.0], loss=3.0)
    untouched.admit((outputs(), outputs(value=math.nan)))
    guards.append(untouched)
    for guard in guards:
        for _ in range(3):
            guard.admit((outputs(), outputs(value=math.nan)))
            judged(guard, [-1.0, 1.0], loss=5.0)
    assert guards[0].read() == guards[1].read() == guards[2].read()
    assert guards[0].read().dropped == ['b']


def test_with_other_kinds_of_knowledge_it_starts_anew():
    guard, other = guard_of(drop_after=1), guard_of(kinds=('logit',))
    guard.admit((outputs(), outputs(value=math.nan)))
    other.load_state_dict(guard.state_dict())
    assert other.read().dropped == []


def test_a_teacher_that_was_repaired_is_heard():
    guard = guard_of(drop_after=1)
    guard.admit((outputs(), outputs(value=math.nan)))
    guard.read()
    guard.forgive()
    assert guard.admit((outputs(), outputs()))[1].all()
    assert guard.read().dropped == []


@pytest.mark.parametrize('weight', [1.0, 0.0])
def test_finite_features_whose_loss_is_not_harm_nobody(tmp_path, weight):
    teachers = dict(a=dict(type='Callable', build='test_guard.Scaled', args=dict(scale=1e25), checkpoint='random'))
    strategy = dict(type='FixedWeighting', weights=dict(a=weight))
    runner = runs.train(runs.config(tmp_path, [runs.entry(teachers=teachers, strategy=strategy)], epochs=1))
    assert all(torch.isfinite(value).all() for value in runs.weights_of(runner).values())
    assert runs.hook_of(runner).distiller.guard.read().dropped == []


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (dict(dropp_after=3), "guard has no option 'dropp_after'; did you mean: drop_after"),
        (dict(drop_after=0), 'guard: drop_after is 0; give an integer of at least 1'),
        (dict(limit='x'), "guard: limit is 'x'"),
        (3, 'guard is 3; give a dict'),
    ],
)
def test_a_wrong_option_is_told(options, told):
    with pytest.raises(MTKDError, match=told):
        build_guard(options)


# ---- that it helps


@DATASETS.register_module(force=True)
class ShuffledDigits(Digits):
    """The digits with their training labels dealt out anew."""

    def load_data_list(self) -> list[dict[str, Any]]:
        rows = super().load_data_list()
        labels = [row['gt_label'] for row in rows]
        np.random.default_rng(1).shuffle(labels)
        return [{**row, 'gt_label': label} for row, label in zip(rows, labels)]


class NotFrom(runs.Counting):
    """A teacher that says nothing finite from its eleventh batch on."""

    def __init__(self) -> None:
        super().__init__(broken=range(11, 10**6))  # one call finds its feature


def demo(name: str, folder: Path, seed: int = 0) -> Config:
    """A config of the demo, for a Runner in this process."""
    cfg = tooling.load_config(str(CONFIGS / name))
    tooling.prepare(cfg, Namespace(launcher='none', work_dir=str(folder), config=name, cfg_options={}))
    cfg.randomness = dict(seed=seed)
    cfg.experiment_name = f'{name}{folder}'.replace('/', '-')
    cfg.log_level = 'ERROR'
    return cfg


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """Two teachers like the demo's strong one: of the labels, and of shuffled labels, which it knows by heart."""
    teachers = {}
    for name, epochs in dict(good=15, shuffled=40).items():
        folder = tmp_path_factory.mktemp(name)
        cfg = demo('teachers/strong_digits.py', folder)
        cfg.train_cfg.max_epochs = cfg.train_cfg.val_interval = cfg.param_scheduler.T_max = epochs
        if name == 'shuffled':
            cfg.train_dataloader.dataset.type = 'mmengine.ShuffledDigits'
            cfg.train_dataloader.dataset.pipeline = [dict(type='PackInputs')]
            cfg.optim_wrapper.optimizer.weight_decay = 0.0
        torch.save(runs.train(cfg).model.state_dict(), folder / 'teacher.pth')
        teachers[name] = dict(config=str(CONFIGS / 'teachers/strong_digits.py'), checkpoint=str(folder / 'teacher.pth'))
    return teachers


def accuracy(folder: Path, teachers: dict[str, Any], guard: dict[str, Any] | None, seed: int) -> float:
    """Of the demo's student, of 150 pictures, under equal weights, on 797 others, percent."""
    cfg = demo('average_tiny_digits.py', folder, seed)
    strategy = dict(type='AverageWeighting')
    cfg.custom_hooks = [
        runs.entry(teachers=teachers, guard=guard, strategy=strategy, logit_weight=1.0, feature_weight=1.0)
    ]
    return float(runs.train(cfg).message_hub.get_scalar('val/accuracy/top1').current())


@pytest.mark.slow
def test_bad_teachers_in_a_pool_do_no_harm(tmp_path, trained):
    """One that turns NaN at its tenth batch, one of shuffled labels: with the guard it is as if they were not there."""
    nan = dict(type='Callable', build='test_guard.NotFrom')
    pools = {
        'good alone': (dict(good=trained['good']), {}),
        'all, guarded': (trained | dict(nan=nan), {}),
        'all, not guarded': (trained | dict(nan=nan), None),
        'good and shuffled, not guarded': (trained, None),
    }
    reached = {
        name: [accuracy(tmp_path / name / str(seed), *pool, seed) for seed in range(5)] for name, pool in pools.items()
    }
    means = {name: statistics.mean(values) for name, values in reached.items()}
    spread = statistics.stdev(reached['good alone'])
    for name, values in reached.items():
        print(f'{name}: {means[name]:.2f} +- {statistics.stdev(values):.2f} % over {len(values)} seeds')
    assert means['all, guarded'] >= means['good alone'] - spread
    assert means['all, not guarded'] < means['good alone'] - spread
    assert means['good and shuffled, not guarded'] < means['good alone'] - spread
