"""The published strategies and the controls: values by hand, limits, and toy problems."""

import math
from typing import Any

import numpy as np
import pytest
import runs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from toy import batch, each_knows_a_third, judge, one_is_right, state_of, train

from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import STRATEGIES
from mtkd_rl.rl.state import ENCODINGS
from mtkd_rl.types import ComparedPictures, Credit, Feedback, Knowledge, Outputs, State
from mtkd_rl.weighting import (
    ConfidenceWeighting,
    DroppingWeighting,
    EntropyWeighting,
    GradientWeighting,
    MetaWeighting,
    PaperWeighting,
    PPOWeighting,
    RandomWeighting,
    ReinforceWeighting,
    ShuffledWeighting,
    SignalWeighting,
)
from mtkd_rl.weighting.base import Setting
from mtkd_rl.weighting.gradient import smallest
from mtkd_rl.weighting.meta import Hard, effects_of
from mtkd_rl.weighting.paper import PaperAgent, heuristics

FORMULAS = (
    EntropyWeighting(),
    ConfidenceWeighting(),
    GradientWeighting(),
    DroppingWeighting(),
    RandomWeighting(),
    SignalWeighting(),
)


def setting(teachers: int = 3) -> Setting:
    return Setting(tuple('abcdef'[:teachers]), ('logit', 'feature'), 0, torch.device('cpu'))


def outputs(logits: torch.Tensor, labels: torch.Tensor) -> Outputs:
    return Outputs(logits, logits, (logits,), torch.nn.functional.cross_entropy(logits, labels, reduction='none'))


def state(student: torch.Tensor, teachers: list[torch.Tensor], labels: torch.Tensor) -> State:
    """Of logits ``(B, C)`` and labels ``(B,)``; credit prefers the first teacher on all samples."""
    said = tuple(outputs(each, labels) for each in teachers)
    nothing = torch.zeros(len(student), len(teachers))
    everyone = torch.ones(len(teachers), dtype=torch.bool)
    target = torch.nn.functional.one_hot(labels, student.shape[1]).float()
    made = state_of(outputs(student, labels), said, nothing, nothing, everyone, target)
    divergence = torch.stack([each.divergence() for each in made.compared], dim=1)
    best = nothing.clone()
    best[:, 0] = 1.0
    credit = {'logit': Credit(best, best), 'feature': Credit(-best, None)}
    return made._replace(divergence=divergence, credit=credit)


def drawn(samples: int, classes: int, teachers: int, seed: int) -> State:
    rng = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(teachers + 1, samples, classes, generator=rng)
    return state(logits[0], list(logits[1:]), torch.randint(classes, (samples,), generator=rng))


@pytest.mark.parametrize('strategy', FORMULAS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize('teachers', [1, 2, 3, 5])
def test_weights_are_on_the_simplex(strategy, teachers):
    if isinstance(strategy, GradientWeighting):
        strategy = GradientWeighting(most=1.0)
    strategy.prepare(setting(teachers))
    decision = strategy.decide(drawn(7, 4, teachers, seed=teachers))
    for weights in (decision.logit, decision.feature):
        assert weights.shape == (7, teachers)
        assert (weights >= 0).all()
        torch.testing.assert_close(weights.sum(dim=1), torch.ones(7))
    assert torch.equal(decision.strength, torch.ones(7))


@pytest.mark.parametrize('strategy', FORMULAS[:3], ids=lambda each: type(each).__name__)
def test_equal_teachers_get_equal_weights(strategy):
    logits = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    strategy.prepare(setting())
    weights = strategy.decide(state(logits[0], [logits[1]] * 3, torch.arange(6) % 4)).logit
    torch.testing.assert_close(weights, torch.full((6, 3), 1 / 3))


def test_entropy_by_hand():
    # predictions (1/2, 1/2) and (3/4, 1/4): entropies ln 2 and 2 ln 2 - 3/4 ln 3
    teachers = [torch.zeros(1, 2), torch.tensor([[math.log(3), 0.0]])]
    weights = EntropyWeighting().decide(state(torch.zeros(1, 2), teachers, torch.tensor([0]))).logit[0]
    sure, unsure = math.exp(-(2 * math.log(2) - 0.75 * math.log(3))), math.exp(-math.log(2))
    assert weights.tolist() == pytest.approx([unsure / (sure + unsure), sure / (sure + unsure)])


def test_a_sure_teacher_dominates_by_entropy_even_if_it_is_wrong():
    teachers = [torch.tensor([[0.0, 60.0]]), torch.tensor([[0.5, 0.0]])]
    right = EntropyWeighting().decide(state(torch.zeros(1, 2), teachers, torch.tensor([1]))).logit
    wrong = EntropyWeighting().decide(state(torch.zeros(1, 2), teachers, torch.tensor([0]))).logit
    assert torch.equal(right, wrong)
    assert right[0, 0] > right[0, 1]


def test_confidence_by_hand():
    # losses ln 2, ln 4 and ln 4 on the label: softmax 2/10, 4/10, 4/10
    teachers = [torch.zeros(1, 2), torch.tensor([[0.0, math.log(3)]]), torch.tensor([[0.0, math.log(3)]])]
    weights = ConfidenceWeighting().decide(state(torch.zeros(1, 2), teachers, torch.tensor([0]))).logit[0]
    assert weights.tolist() == pytest.approx([0.4, 0.3, 0.3])


def test_of_two_teachers_the_wrong_one_may_be_left_out_by_confidence():
    teachers = [torch.tensor([[50.0, 0.0]]), torch.tensor([[0.0, 50.0]])]
    weights = ConfidenceWeighting().decide(state(torch.zeros(1, 2), teachers, torch.tensor([0]))).logit[0]
    assert weights.tolist() == pytest.approx([1.0, 0.0], abs=1e-6)


def test_two_gradients_by_hand():
    # |a|^2 = 1, |b|^2 = 4, a.b = 0: the nearest point of the segment to 0 is at b's share 1/5
    products = torch.tensor([[[1.0, 0.0], [0.0, 4.0]], [[1.0, 2.0], [2.0, 4.0]]])
    torch.testing.assert_close(smallest(products, 1.0), torch.tensor([[0.8, 0.2], [1.0, 0.0]]), atol=1e-5, rtol=0)
    torch.testing.assert_close(smallest(products, 0.7), torch.tensor([[0.7, 0.3], [0.7, 0.3]]), atol=1e-5, rtol=0)


@given(st.integers(2, 5), st.integers(0, 99), st.sampled_from([1.0, 0.6]))
@settings(max_examples=25, deadline=None)
def test_the_shortest_combination_is_that_of_a_solver(teachers, seed, most):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(teachers, 4)) + rng.normal(size=4)
    products = vectors @ vectors.T / np.max(vectors @ vectors.T)
    found = smallest(torch.tensor(products, dtype=torch.float64)[None], most)[0].numpy()
    solved = minimize(
        lambda w: w @ products @ w,
        np.full(teachers, 1 / teachers),
        jac=lambda w: 2 * products @ w,
        bounds=[(0, most)] * teachers,
        constraints={'type': 'eq', 'fun': lambda w: w.sum() - 1},
        method='SLSQP',
    )
    assert found.sum() == pytest.approx(1)
    assert found.max() <= most + 1e-6
    assert found @ products @ found <= solved.fun + 1e-4


def test_teachers_that_agree_with_the_student_are_heard_by_gradient():
    logits = torch.tensor([[2.0, 0.0, 0.0]])
    weights = GradientWeighting(most=1.0).decide(state(logits, [logits, -logits], torch.tensor([0]))).logit
    torch.testing.assert_close(weights, torch.tensor([[1.0, 0.0]]))


def test_a_teacher_whose_logits_are_not_compared_has_no_gradient():
    made = drawn(4, 3, 3, seed=0)
    made = made._replace(compared=(None, *made.compared[1:]), comparable=torch.tensor([False, True, True]))
    weights = GradientWeighting(most=1.0).decide(made).logit
    assert (weights[:, 0] < 1e-3).all()


def test_gradients_are_of_classes_alone():
    made = drawn(2, 3, 2, seed=0)
    pictures = ComparedPictures(torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4))
    with pytest.raises(MTKDError, match='fusion has none'):
        GradientWeighting().decide(made._replace(compared=(pictures, pictures)))


def test_more_than_is_allowed_has_to_be_somewhere():
    with pytest.raises(MTKDError, match=r'most is 0.3 with 3 teachers; give at least 0.333'):
        GradientWeighting(most=0.3).decide(drawn(2, 3, 3, seed=0))


@pytest.mark.parametrize(
    ('strategy', 'options'),
    [
        (GradientWeighting, {'temperature': 0}),
        (GradientWeighting, {'most': 1.5}),
        (DroppingWeighting, {'drop': 2}),
        (SignalWeighting, {'scale': -1}),
        (MetaWeighting, {'hard': 0}),
        (MetaWeighting, {'buffer': 0}),
    ],
)
def test_options_out_of_their_range(strategy, options):
    with pytest.raises(MTKDError, match=f'{strategy.__name__}: {next(iter(options))} is '):
        strategy(**options)


def test_the_farthest_teacher_is_never_dropped():
    made = drawn(500, 4, 3, seed=1)
    strategy = DroppingWeighting(drop=0.5)
    strategy.prepare(setting())
    weights = strategy.decide(made).logit
    farthest = made.divergence.argmax(dim=1, keepdim=True)
    assert (weights.gather(1, farthest) > 0).all()
    others = torch.ones_like(weights, dtype=torch.bool).scatter(1, farthest, False)
    # 1,000 draws at one half: four standard deviations are 0.063
    assert (weights[others] > 0).float().mean() == pytest.approx(0.5, abs=0.063)
    kept = (weights > 0).sum(dim=1, keepdim=True)
    torch.testing.assert_close(weights, (weights > 0) / kept)


@pytest.mark.parametrize(('drop', 'kept'), [(0.0, 3), (1.0, 1)])
def test_the_limits_of_dropping(drop, kept):
    strategy = DroppingWeighting(drop=drop)
    strategy.prepare(setting())
    assert ((strategy.decide(drawn(50, 4, 3, seed=2)).logit > 0).sum(dim=1) == kept).all()


def test_random_weights_cover_the_simplex_evenly():
    strategy = RandomWeighting()
    strategy.prepare(setting())
    weights = strategy.decide(drawn(4000, 4, 3, seed=3)).logit
    # of an even distribution over three weights: mean 1/3, variance 1/18
    assert weights.mean(dim=0).tolist() == pytest.approx([1 / 3] * 3, abs=0.02)
    assert weights.var(dim=0).tolist() == pytest.approx([1 / 18] * 3, abs=0.006)


@pytest.mark.parametrize('strategy', [RandomWeighting, DroppingWeighting, ShuffledWeighting])
def test_what_is_drawn_goes_on_after_a_resumption(strategy):
    made = drawn(20, 4, 3, seed=4)
    whole, cut = strategy(), strategy()
    for each in (whole, cut):
        each.prepare(setting())
        each.decide(made)
    resumed = strategy()
    resumed.prepare(setting())
    resumed.load_state_dict(cut.state_dict())
    assert torch.equal(resumed.decide(made).logit, whole.decide(made).logit)


def test_shuffled_weights_are_those_of_the_agent_on_other_samples():
    made = drawn(30, 4, 3, seed=5)
    agent, shuffled = PPOWeighting(), ShuffledWeighting()
    decided = []
    for each in (agent, shuffled):
        each.prepare(setting())
        decided.append(each.decide(made).logit)
    assert not torch.equal(*decided)
    rows = [sorted(map(tuple, each.tolist())) for each in decided]
    assert rows[0] == rows[1]


def test_the_signal_by_hand():
    made = drawn(3, 4, 2, seed=6)
    strategy = SignalWeighting(scale=0.5, reward=dict(type='CreditReward'))
    strategy.prepare(setting(2))
    decision = strategy.decide(made)
    # standardised over two teachers, alignment and effect of the first are 1 each and of the second -1
    first = 1 / (1 + math.exp(-0.5 * 4))
    assert decision.logit[0].tolist() == pytest.approx([first, 1 - first], abs=1e-3)
    # features have no effect, and here the first teacher pulls the other way
    second = 1 / (1 + math.exp(-0.5 * 2))
    assert decision.feature[0].tolist() == pytest.approx([1 - second, second], abs=1e-3)


def taught(made: State, decision: Any) -> Feedback:
    zeros = torch.zeros_like(made.divergence)
    return Feedback(made, decision, Knowledge(zeros + 0.5, zeros + 0.25), {})


def test_the_papers_weights_by_hand():
    made = drawn(4, 5, 3, seed=7)
    strategy = PaperWeighting(ones=1)
    strategy.prepare(setting())
    first = strategy.decide(made)
    assert torch.equal(first.logit, torch.ones(4, 3))
    strategy.learn(taught(made, first))
    for head in strategy.agent.heads:
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
    decision = strategy.decide(made)
    confidence = (1 - made.teacher_loss.softmax(1)) / 2
    torch.testing.assert_close(decision.logit, (1 / 3 + confidence + made.divergence.softmax(1)) / 3)
    torch.testing.assert_close(decision.feature, (1 / 3 + confidence + made.similarity.softmax(1)) / 3)


def test_the_papers_update_by_hand():
    made = drawn(6, 5, 2, seed=8)
    strategy = PaperWeighting(every=2, ones=0, learning_rate=0.3)
    strategy.prepare(setting(2))
    decision = strategy.decide(made)
    start = [parameter.detach().clone() for parameter in strategy.agent.parameters()]
    strategy.learn(taught(made, decision))
    assert all(torch.equal(a, b) for a, b in zip(start, strategy.agent.parameters()))
    # -(CE + KD + 5 D) with the weights that were used, standardised over the batch, in [0, 1]
    loss = made.student.task_loss + 0.5 * decision.logit.sum(1) + 5 * 0.25 * decision.feature.sum(1)
    reward = ((loss.mean() - loss) / loss.std(unbiased=False)).clamp(0, 1)
    mine = PaperAgent(strategy.agent.stem.in_features, 2, dynamic=False)
    mine.load_state_dict(strategy.agent.state_dict())
    observation, parts = ENCODINGS['paper'](made), heuristics(made)
    for _ in range(2):
        value = sum((-reward[:, None] * weights.log()).mean() for weights in mine(observation, parts))
        gradients = torch.autograd.grad(value, [x for x in mine.parameters() if x.requires_grad])
        with torch.no_grad():
            for parameter, gradient in zip((x for x in mine.parameters() if x.requires_grad), gradients):
                parameter -= 0.3 * gradient
    strategy.decide(made)
    strategy.learn(taught(made, decision))
    for expected, found in zip(mine.parameters(), strategy.agent.parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_the_papers_agent_goes_on_where_it_was():
    made = drawn(6, 5, 2, seed=9)

    def run(strategy: PaperWeighting, times: int) -> torch.Tensor:
        for _ in range(times):
            decision = strategy.decide(made)
            strategy.learn(taught(made, decision))
        return strategy.decide(made).logit

    whole, cut, resumed = (PaperWeighting(every=3, ones=2, dynamic=True) for _ in range(3))
    for each in (whole, cut, resumed):
        each.prepare(setting(2))
    run(cut, 4)
    resumed.load_state_dict(cut.state_dict())
    assert torch.equal(run(whole, 8), run(resumed, 4))
    assert (whole.agent.mixture != 1).any()


def test_meta_learns_who_is_right():
    """Who is always right; who knows what it can but guess, as it looks at no label."""
    for right, least in ((one_is_right, 0.9), (each_knows_a_third, 0.5)):
        strategy, rng = train(right, 0, 400, kind=MetaWeighting, learning_rate=3e-3)
        state, _, _, _, knows = batch(right, rng, 2000)
        weights = strategy.decide(state).logit
        assert (weights * knows).sum(1).mean() > least  # by chance it were a third


def test_metas_effects_lower_the_loss_of_hard_samples():
    """Its gradient in the weights is that of the hard samples' loss after a step of the last layer, by autograd."""
    made = drawn(8, 5, 3, seed=21)
    logits = torch.stack([*(each.logits for each in made.teachers), made.student.logits], dim=1)
    hard = Hard(logits, made.target, made.student.embedding, torch.ones(8, 3))
    found = effects_of(hard, temperature=2.0)

    weights = torch.full((8, 3), 1 / 3, dtype=torch.double, requires_grad=True)
    layer = torch.eye(5, dtype=torch.double, requires_grad=True)  # in `drawn` an embedding is its logits

    def log_likely(x: torch.Tensor) -> torch.Tensor:
        return (x.double() / 2.0).log_softmax(-1)

    here = made.student.embedding.double() @ layer.T
    divergence = torch.nn.functional.kl_div
    each = [
        2.0 * divergence(log_likely(here), log_likely(teacher.logits), reduction='none', log_target=True).sum(1)
        for teacher in made.teachers
    ]
    (slope,) = torch.autograd.grad((weights * torch.stack(each, 1)).sum(), layer, create_graph=True)
    moved = made.student.embedding.double() @ (layer - 1e-9 * slope).T
    loss = torch.nn.functional.cross_entropy(moved, made.target.argmax(1))
    (expected,) = torch.autograd.grad(loss, weights)
    torch.testing.assert_close(found.double(), -expected / 1e-9, rtol=1e-4, atol=1e-5)
    absent = effects_of(hard._replace(teaching=torch.tensor([1.0, 0.0, 1.0]).expand(8, 3)), 2.0)
    assert not absent[:, 1].any()
    assert torch.equal(absent[:, 0], found[:, 0])


def test_meta_keeps_the_hardest_and_survives_what_overflows():
    made = drawn(8, 5, 2, seed=24)
    strategy = MetaWeighting(hard=1.0, buffer=3)
    strategy.prepare(setting(2))
    strategy.learn(Feedback(made, strategy.decide(made), Knowledge(torch.zeros(1, 2), None), {}))
    hardest = made.student.task_loss.topk(3).indices.flip(0)
    assert torch.equal(strategy._hard().embedding, made.student.embedding[hardest])
    for broken in (1e30, float('inf'), float('nan')):
        embedding = made.student.embedding.clone()
        embedding[0, 0] = broken
        worse = made._replace(student=made.student._replace(embedding=embedding))
        strategy.learn(Feedback(worse, strategy.decide(worse), Knowledge(torch.zeros(1, 2), None), {}))
    before = [parameter.clone() for parameter in strategy.network.parameters()]
    for _ in range(3):
        strategy.learn(Feedback(made, strategy.decide(made), Knowledge(torch.zeros(1, 2), None), {}))
    moved = [(a - b).abs().max().item() for a, b in zip(before, strategy.network.parameters())]
    assert all(1e-4 < each < 1e-2 for each in moved)  # three steps of Adam at 1e-3


def test_meta_is_of_labels_and_of_the_students_classes():
    made = drawn(4, 5, 2, seed=23)
    strategy = MetaWeighting()
    strategy.prepare(setting(2))
    with pytest.raises(MTKDError, match='one label'):
        strategy.decide(made._replace(target=None))
    with pytest.raises(MTKDError, match='b: the classes'):
        strategy.decide(made._replace(compared=(made.compared[0], None)))


def test_reinforce_learns_who_is_right():
    strategy, rng = train(each_knows_a_third, 0, 300, kind=ReinforceWeighting, rollout=256, learning_rate=3e-3)
    _, share = judge(strategy, each_knows_a_third, rng, explore=False)
    assert share > 0.8  # by chance it were a third


def test_reinforce_has_no_critic():
    strategy, _ = train(one_is_right, 0, 8, kind=ReinforceWeighting, rollout=128)
    ppo = strategy.agent.ppo
    assert (ppo.n_epochs, ppo.batch_size, ppo.vf_coef) == (1, 128, 0)
    assert ppo._n_updates == 4  # of 512 samples, one pass each
    untrained, _ = train(one_is_right, 0, 1, kind=ReinforceWeighting, rollout=128)
    critic = [name for name in ppo.policy.state_dict() if 'value' in name]
    assert critic
    for name in critic:
        assert torch.equal(ppo.policy.state_dict()[name], untrained.agent.ppo.policy.state_dict()[name])


SHORT = dict(rollout=20, batch_size=20)
LEARNING: dict[str, dict[str, Any]] = {
    'PPOWeighting': SHORT,
    'ShuffledWeighting': SHORT,
    'ReinforceWeighting': dict(rollout=20),
    'PaperWeighting': dict(ones=1, every=2),
    'MetaWeighting': {},
}


@pytest.mark.parametrize('name', sorted(set(STRATEGIES.module_dict) - {'FixedWeighting'}))
def test_a_student_trains_with_it_and_goes_on(name, tmp_path):
    entry = runs.entry(strategy=dict(type=name, **LEARNING.get(name, {})))
    whole = runs.weights_of(runs.train(runs.config(tmp_path / 'a', [entry], epochs=2, save=True)))
    runs.train(runs.config(tmp_path / 'b', [entry], epochs=1, save=True))
    resumed = runs.weights_of(runs.train(runs.config(tmp_path / 'b', [entry], epochs=2, save=True, resume=True)))
    assert runs.same(whole, resumed)
    if name in LEARNING:  # what the first of the two epochs has taught it came along
        paths = (tmp_path / 'b/epoch_1.pth', tmp_path / 'b/epoch_2.pth', tmp_path / 'a/epoch_2.pth')
        saved = [torch.load(path, weights_only=False)['mtkd_rl']['distiller']['strategy'] for path in paths]
        first, resumed, whole_one = map(runs.tensors, saved)
        assert runs.same(resumed, whole_one)
        assert not all(torch.equal(a, b) for a, b in zip(first, resumed))
    assert all(torch.isfinite(weight).all() for weight in whole.values())
