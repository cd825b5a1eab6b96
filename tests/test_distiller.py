import itertools

import pytest
import runs
import torch
from mmengine.config import ConfigDict
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from mtkd_rl.distiller import Distiller
from mtkd_rl.guard import Guard
from mtkd_rl.losses import build_loss
from mtkd_rl.rng import random_state
from mtkd_rl.tasks import find_task
from mtkd_rl.teachers import InputContract, build_pool
from mtkd_rl.types import Decision
from mtkd_rl.weighting import AverageWeighting, FixedWeighting, PPOWeighting

SAME = InputContract(mean=(78.0,), std=(96.0,))


def student(**options):
    return MODELS.build(ConfigDict(runs.classifier(**options))).train()


def distiller_of(model, strategy=None, logit='KD', feature='MSE', teachers=None, **options):
    pool = build_pool(teachers or runs.two_teachers(), temperature=4.0, source=SAME)
    return Distiller(
        model,
        pool,
        find_task(model),
        SAME,
        strategy or AverageWeighting(),
        logit_loss=logit and build_loss(dict(type=logit), 'logit'),
        feature_loss=feature and build_loss(dict(type=feature), 'feature'),
        **dict(logit_weight=1.0, feature_weight=1.0, student_layer=None, seed=0) | options,
    )


def batch(size=6, seed=0):
    rng = torch.Generator().manual_seed(seed)
    labels = torch.randint(10, (size,), generator=rng)
    return torch.randn(size, 1, 8, 8, generator=rng), [DataSample().set_gt_label(int(label)) for label in labels]


def lesson_of(distiller, inputs, samples, factor=1.0):
    distiller.student_taps.start()
    losses = distiller.student(inputs=inputs, data_samples=samples, mode='loss')
    return distiller.lesson(inputs, samples, losses, factor)


def test_a_lesson_against_the_formulas():
    """``alpha sum_m w_m T^2 KL + beta sum_m w_m MSE(adapter(F_s), F_t)``, by other means."""
    model = student()
    strategy = FixedWeighting(weights=dict(a=0.2, b=0.7))
    distiller = distiller_of(model, strategy, logit_weight=0.5, feature_weight=3.0)
    inputs, samples = batch()
    losses = lesson_of(distiller, inputs, samples, factor=0.25).losses
    feature = model.extract_feat(inputs, stage='backbone')[-1]
    logits = model.head.fc(feature.mean(dim=(2, 3)))
    kd, mse = 0.0, 0.0
    for weight, teacher, adapter in zip((0.2, 0.7), distiller.teachers, distiller.adapters):
        theirs = teacher.model.backbone(inputs)[-1]
        said = teacher.model.head.fc(theirs.mean(dim=(2, 3)))
        divergence = F.kl_div(
            F.log_softmax(logits / 4, 1), F.log_softmax(said / 4, 1), log_target=True, reduction='none'
        )
        kd = kd + weight * 16 * divergence.sum(dim=1).mean()
        size = min(feature.shape[2], theirs.shape[2])
        ours = adapter[0].layer(F.adaptive_avg_pool2d(feature, size))
        mse = mse + weight * F.mse_loss(ours, F.adaptive_avg_pool2d(theirs, size))
    torch.testing.assert_close(losses['loss_kd_logit'], 0.5 * 0.25 * kd, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(losses['loss_kd_feature'], 3.0 * 0.25 * mse, rtol=1e-4, atol=1e-6)


def test_the_state_against_the_formulas():
    model = student()
    distiller = distiller_of(model)
    inputs, samples = batch()
    state = lesson_of(distiller, inputs, samples).feedback.state
    logits = model.head.fc(model.extract_feat(inputs, stage='neck')[-1])
    labels = torch.cat([sample.gt_label for sample in samples])
    torch.testing.assert_close(state.student.task_loss, F.cross_entropy(logits, labels, reduction='none'))
    for m, teacher in enumerate(distiller.teachers):
        said = teacher.model(inputs)
        torch.testing.assert_close(state.teacher_loss[:, m], F.cross_entropy(said, labels, reduction='none'))
        divergence = F.kl_div(F.log_softmax(said, 1), F.softmax(logits, 1), reduction='none').sum(dim=1)
        torch.testing.assert_close(state.divergence[:, m], divergence.detach(), rtol=1e-3, atol=1e-6)
    assert ((state.similarity >= -1.001) & (state.similarity <= 1.001)).all()
    assert not any(tensor.requires_grad for tensor in runs.tensors(tuple(state)))
    assert state.present.all()


@pytest.mark.parametrize(
    ('logit', 'feature'),
    [
        *itertools.product(['KD', 'DKD', 'DIST'], ['MSE', 'ChannelWiseKL', 'PKD', 'Cosine', None]),
        (None, 'MSE'),
        (None, 'Cosine'),
    ],
)
def test_every_pair_of_losses_teaches_under_the_agent(logit, feature):
    model = student()
    strategy = PPOWeighting(rollout=8, batch_size=4)
    distiller = distiller_of(model, strategy, logit, feature)
    for step in range(2):
        lesson = lesson_of(distiller, *batch(5, step))
        assert set(lesson.losses) == {f'loss_kd_{kind}' for kind, on in (('logit', logit), ('feature', feature)) if on}
        model.zero_grad()
        sum(lesson.losses.values()).backward()
        gradients = [parameter.grad for parameter in model.backbone.parameters()]
        assert all(torch.isfinite(gradient).all() for gradient in gradients)
        assert any(gradient.any() for gradient in gradients)
        said = strategy.learn(lesson.feedback)
        assert torch.isfinite(torch.as_tensor(said['reward/mean']))
    assert strategy.agent.ppo._n_updates > 0
    assert list(lesson.feedback.credit) == [kind for kind, on in (('logit', logit), ('feature', feature)) if on]


def test_a_named_layer_of_the_student_is_what_is_compared():
    model = student(widths=(4, 6, 8))
    distiller = distiller_of(model, logit=None, student_layer='backbone.stages.0')
    lesson_of(distiller, *batch())
    assert [adapter[0].layer.in_channels for adapter in distiller.adapters] == [4, 4]
    assert [adapter[0].layer.out_channels for adapter in distiller.adapters] == [12, 10]


def test_a_named_layer_of_a_teacher_is_what_is_compared():
    teachers = dict(a=runs.teacher((6, 12), layer='backbone.stages.0'), b=runs.counting())
    distiller = distiller_of(student(), teachers=teachers)
    lesson_of(distiller, *batch())
    assert [type(adapter[0].layer).__name__ for adapter in distiller.adapters] == ['Conv2d', 'Linear']
    assert distiller.adapters[0][0].layer.out_channels == 6


def test_a_teacher_that_expects_the_same_gets_the_same_tensor():
    seen = []
    teachers = dict(a=runs.counting(), b=runs.counting())
    distiller = distiller_of(student(), teachers=teachers)
    for teacher in distiller.teachers:
        teacher.model.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    inputs, samples = batch()
    lesson_of(distiller, inputs, samples)
    assert all(given is inputs for given in seen)


@pytest.mark.parametrize('broken', [float('nan'), float('inf')])
def test_a_teacher_that_is_not_finite_teaches_nothing_in_that_batch(broken):
    teachers = runs.two_teachers() | dict(z=runs.counting(broken=[1], value=broken))
    model = student()
    distiller = distiller_of(model, FixedWeighting(weights=dict(a=0.2, b=0.3, z=0.5)), teachers=teachers, guard=Guard())
    others = distiller_of(model, FixedWeighting(weights=dict(a=0.4, b=0.6)))  # the same sum, shared out
    inputs, samples = batch()
    lesson = lesson_of(distiller, inputs, samples)
    assert lesson.feedback.state.present.tolist() == [True, True, False]
    assert lesson.feedback.decision.logit[0].tolist() == pytest.approx([0.4, 0.6, 0.0])
    expected = lesson_of(others, inputs, samples)
    torch.testing.assert_close(lesson.losses['loss_kd_logit'], expected.losses['loss_kd_logit'])
    sum(lesson.losses.values()).backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in model.parameters() if parameter.grad is not None)
    assert lesson_of(distiller, inputs, samples).feedback.state.present.all()


def test_nobody_there_is_no_distillation():
    teachers = dict(y=runs.counting(broken=range(9)), z=runs.counting(broken=range(9)))
    model = student()
    strategy = PPOWeighting(rollout=8, batch_size=4)
    distiller = distiller_of(model, strategy, teachers=teachers, guard=Guard())
    lesson = lesson_of(distiller, *batch())
    assert all(float(loss) == 0 for loss in lesson.losses.values())
    sum(lesson.losses.values()).backward()
    assert all(not parameter.grad.any() for parameter in model.parameters() if parameter.grad is not None)
    assert float(strategy.learn(lesson.feedback)['reward/mean']) == 0


def test_teaching_by_a_given_decision():
    distiller = distiller_of(student())
    inputs, samples = batch(3)
    distiller.student_taps.start()
    losses = distiller.student(inputs=inputs, data_samples=samples, mode='loss')
    observed = distiller.observe(inputs, samples, losses, wants_credit=False)
    logit = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    strength = torch.tensor([2.0, 1.0, 5.0])
    losses = distiller.teach(observed, Decision(logit, logit, strength), 1.0).losses
    kd = observed.knowledge.logit
    torch.testing.assert_close(losses['loss_kd_logit'], (2 * kd[0, 0] + kd[1, 1]) / 3)


def test_a_lesson_leaves_the_global_random_states_and_the_teachers():
    distiller = distiller_of(student(), PPOWeighting(rollout=8, batch_size=4))
    lesson_of(distiller, *batch(5, 7))  # the first one folds BatchNorm
    before = {t.name: {k: v.clone() for k, v in t.model.state_dict().items()} for t in distiller.teachers}
    states = random_state()
    for step in range(2):
        distiller.strategy.learn(lesson_of(distiller, *batch(5, step)).feedback)
    assert runs.same(states, random_state())
    assert runs.same(before, {t.name: dict(t.model.state_dict()) for t in distiller.teachers})


def test_closing_takes_every_hook_off():
    model = student()
    distiller = distiller_of(model, teachers=dict(a=runs.counting()))
    lesson_of(distiller, *batch())
    distiller.close()
    for root in (model, distiller.teachers[0].model):
        assert not any(module._forward_hooks for module in root.modules())
