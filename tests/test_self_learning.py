"""Self-learning: challenging versions, the running average, and what a severity was worth."""

import fusions
import pytest
import runs
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch import nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import MODELS
from mtkd_rl.self_learning.learner import SelfLearner, build_self_learner
from mtkd_rl.self_learning.set_aside import SetAside, Sparing
from mtkd_rl.tasks import Classification, Fusion
from mtkd_rl.tasks.base import total
from mtkd_rl.types import Batch


def learner_of(student, held_out=3, **options):
    """A self-learner of a fusion student, with a batch set aside and one to learn from."""
    task = Fusion()
    task.meet(student, [], None)
    learner = SelfLearner(held_out=held_out, **options)
    learner.prepare(student, task, 5)
    torch.manual_seed(11)
    learner.take(SetAside(torch.rand(held_out, 2, 16, 16), [None] * held_out))
    pairs = torch.rand(4, 2, 16, 16)
    return learner, Batch(pairs, [None] * 4, None, torch.zeros(4, dtype=torch.long))


def test_at_severity_0_an_untrained_student_agrees_with_itself():
    student = fusions.built()
    learner, batch = learner_of(student)
    lesson = learner.lesson(batch, torch.zeros(4, len(learner.kinds)))
    half = student.loss_by_sample(student(batch.inputs), batch.inputs).mean() / 2
    torch.testing.assert_close(lesson.loss, half)


def test_the_running_average_is_not_what_is_trained():
    student = fusions.built()
    learner, batch = learner_of(student, momentum=0.25)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    learner.lesson(batch, None).loss.backward()
    assert all(p.grad is None and not p.requires_grad for p in learner.average.parameters())
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1.0)
    learner.after_step()
    for name, value in learner.average.state_dict().items():
        torch.testing.assert_close(value, before[name] + 0.25)


def test_a_lesson_leaves_the_students_parameters_alone():
    student = fusions.built()
    learner, batch = learner_of(student)
    before = {name: value.clone() for name, value in student.state_dict().items()}
    lesson = learner.lesson(batch, None)
    assert all(torch.equal(value, before[name]) for name, value in student.state_dict().items())
    lesson.loss.backward()  # the graph is still that of these parameters


def test_progress_is_the_product_of_two_gradients(monkeypatch):
    """Against autograd: the gradient of each sample's loss, times that of what was set aside."""
    monkeypatch.setattr('mtkd_rl.self_learning.learner.STEP', 1e-6)  # in float64 there is room for it
    torch.manual_seed(0)
    student = fusions.built('tiny').double()
    learner, batch = learner_of(student)
    batch = batch._replace(inputs=batch.inputs.double())
    assert learner.set_aside is not None
    learner.take(learner.set_aside._replace(inputs=learner.set_aside.inputs.double()))
    severity = torch.rand(4, len(learner.kinds), dtype=torch.float64)
    lesson = learner.lesson(batch, severity)

    parameters = list(student.parameters())
    inputs, _ = learner.set_aside
    task = learner.task
    held_out = (
        total(student.loss(inputs))
        + task.self_loss(
            task.answer(student, learner._challenging), [x.detach() for x in task.answer(student, inputs)], inputs, []
        ).mean()
    )
    reference = torch.autograd.grad(held_out, parameters)
    degraded = task.degradations(batch.inputs, severity, torch.Generator().manual_seed(5))
    losses = task.self_loss(
        task.answer(student, degraded), [x.detach() for x in task.answer(student, batch.inputs)], batch.inputs, []
    )
    want = []
    for loss in losses:
        own = torch.autograd.grad(loss, parameters, retain_graph=True)
        want.append(sum((a * b).sum() for a, b in zip(own, reference)))
    want = torch.stack(want)
    torch.testing.assert_close(lesson.progress, want / want.square().mean().sqrt(), rtol=1e-3, atol=1e-3)


def test_it_helps_to_learn_what_was_set_aside():
    student = fusions.built()
    learner, batch = learner_of(student)
    assert learner.set_aside is not None
    lesson = learner.lesson(
        Batch(learner.set_aside.inputs, [None] * 3, None, batch.group[:3]), torch.zeros(3, len(learner.kinds))
    )
    assert lesson.progress.min() > 0


def test_progress_is_not_looked_for_where_nobody_wants_it():
    learner, batch = learner_of(fusions.built())
    assert learner.lesson(batch, None, wants_progress=False).progress is None
    assert learner.direction is None


def test_severities_stay_in_their_range_and_are_drawn_anew():
    learner, batch = learner_of(fusions.built(), severity=(0.25, 0.5))
    first, second = (learner.lesson(batch, None).severity for _ in range(2))
    for severity in (first, second):
        assert severity.shape == (4, len(learner.kinds))
        assert ((severity >= 0.25) & (severity <= 0.5)).all()
    assert not torch.equal(first, second)


def test_one_that_is_loaded_goes_on_alike():
    ones, others = learner_of(fusions.built()), learner_of(fusions.built())
    for _ in range(3):
        ones[0].lesson(ones[1], None)
        ones[0].after_step()
    others[0].load_state_dict(ones[0].state_dict())
    a, b = (learner.lesson(batch, None) for learner, batch in (ones, others))
    assert all(torch.equal(x, y) for x, y in zip(a, b))


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (dict(weigth=1), "no option 'weigth'; did you mean: weight"),
        (dict(severity=(0.5, 2.0)), r'severity is .*within \[0, 1\]'),
        (dict(momentum=0.0), 'momentum is 0.0'),
        (dict(held_out=0), 'held_out'),
        (True, 'True is no dict'),
    ],
)
def test_wrong_options(options, said):
    with pytest.raises(MTKDError, match=said):
        build_self_learner(options)


# ---- what is set aside


@pytest.mark.parametrize('epoch', [0, 1])
def test_what_is_spared_never_comes_and_an_epoch_stays_as_long(epoch):
    from mmengine.dataset import DefaultSampler

    sampler = Sparing(DefaultSampler(range(20), seed=0), {3: 7, 4: 8})
    sampler.set_epoch(epoch)
    indices = list(sampler)
    assert len(indices) == len(sampler) == 20
    assert not {3, 4} & set(indices)
    assert sorted(indices) == sorted([*(set(range(20)) - {3, 4}), 7, 8])


@pytest.mark.parametrize('iters', [None, 6])
def test_a_run_never_trains_on_what_it_set_aside(iters, tmp_path):
    seen = []

    def record(module, args, kwargs):
        seen.extend(x.clone() for x in kwargs['inputs'] if kwargs.get('mode') == 'loss')

    hook = runs.entry(self_learning=dict(held_out=5))
    runner = Runner.from_cfg(runs.config(tmp_path, [hook], iters=iters, augment=False))
    runner.model.register_forward_pre_hook(record, with_kwargs=True)
    runner.train()
    aside = next(h for h in runner.hooks if type(h).__name__ == 'MTKDHook').self_learner.set_aside
    assert len(aside.inputs) == 5
    assert len(seen) >= 100
    assert not any(torch.equal(x, held) for x in seen for held in aside.inputs)


def test_too_many_to_set_aside(tmp_path):
    runner = Runner.from_cfg(runs.config(tmp_path, [runs.entry(self_learning=dict(held_out=26))]))
    with pytest.raises(MTKDError, match='held_out is 26, of 50 training samples'):
        runner.train()


# ---- with the agent, in any task


def hook_of(runner):
    return next(hook for hook in runner.hooks if type(hook).__name__ == 'MTKDHook')


def test_the_agent_chooses_severities_in_the_same_action(tmp_path):
    runner = Runner.from_cfg(fusions.config(tmp_path, [fusions.entry(self_learning=dict(held_out=2))]))
    runner.train()
    hook = hook_of(runner)
    layout = hook.strategy.agent.layout
    assert layout.severities == len(Fusion.degradations.kinds)
    assert layout.width == 2 * 2 + layout.severities
    assert hook.self_learner.count == 6
    assert set(runner.model.state_dict()) == set(fusions.built().state_dict())


@pytest.mark.parametrize('strategy', [dict(type='AverageWeighting'), dict(type='PPOWeighting', rollout=64)])
def test_a_classifier_teaches_itself(strategy, tmp_path):
    runner = Runner.from_cfg(runs.config(tmp_path, [runs.entry(strategy=strategy, self_learning=dict(held_out=5))]))
    runner.train()
    assert hook_of(runner).self_learner.count == 6
    assert all(torch.isfinite(p).all() for p in runner.model.parameters())


def test_normalisation_does_not_see_challenging_versions():
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        student = MODELS.build(runs.classifier(data_preprocessor=dict(num_classes=10))).train()
    task = Classification()
    learner = SelfLearner()
    learner.prepare(student, task, 0)
    from mmpretrain.structures import DataSample

    samples = [DataSample().set_gt_label(i % 10) for i in range(6)]
    before = [module.running_mean.clone() for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
    learner.lesson(Batch(torch.randn(6, 1, 8, 8), samples, None, torch.zeros(6)), None)
    after = [module.running_mean for module in student.modules() if isinstance(module, nn.BatchNorm2d)]
    assert all(torch.equal(x, y) for x, y in zip(before, after))
    assert all(module.training for module in student.modules())
