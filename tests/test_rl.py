import random
import warnings

import numpy as np
import pytest
import torch
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import RolloutBuffer
from toy import points_of, state_of

from mtkd_rl.losses.functional import kd
from mtkd_rl.rl.action import ActionLayout
from mtkd_rl.rl.agent import Agent, Sampled, SampleRollout
from mtkd_rl.rl.credit import CreditAssigner, alignment, effect, pulls, standardise_over_teachers
from mtkd_rl.rl.reward import CombinedReward, CreditReward, PaperReward, combined, credit_reward
from mtkd_rl.rl.state import FEATURES, compact, paper
from mtkd_rl.rng import random_state
from mtkd_rl.types import Credit, Decision, Feedback, Knowledge, Outputs, State

SMALL = dict(rollout=32, batch_size=16, n_epochs=2)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make_state(
    samples: int = 6, widths: tuple[int, ...] = (3, 5), absent: tuple[int, ...] = (), classes: int = 4
) -> State:
    generator = rng(3)
    target = torch.eye(classes)[torch.arange(samples) % classes]

    def outputs(width: int) -> Outputs:
        logits = 2 * torch.randn(samples, classes, generator=generator)
        embedding = torch.randn(samples, width, generator=generator)
        loss = -(torch.log_softmax(logits, dim=1) * target).sum(dim=1)
        return Outputs(logits, embedding, (embedding,), loss)

    student = outputs(4)
    teachers = tuple(outputs(width) for width in widths)
    present = torch.tensor([m not in absent for m in range(len(widths))])
    similarity = 2 * torch.rand(samples, len(widths), generator=generator) - 1
    divergence = torch.rand(samples, len(widths), generator=generator)
    return state_of(student, teachers, similarity, divergence, present, target)


# ---- what an action means


def test_actions_by_hand():
    layout = ActionLayout(('logit', 'feature'), 2, strength=(0.5, 2.5), scale=3.0)
    assert (layout.per_teacher, layout.shared, layout.width) == (2, 1, 5)
    decision = layout.decide(torch.tensor([[1.0, 0.0, -0.5, 0.5, 0.0], [0.2, 0.2, 9.0, 9.0, -7.0]]))
    first = 1 / (1 + np.exp(-3.0))
    assert decision.logit[0].tolist() == pytest.approx([first, 1 - first])
    assert decision.feature[0].tolist() == pytest.approx([1 - first, first])
    assert decision.logit[1].tolist() == decision.feature[1].tolist() == [0.5, 0.5]
    assert decision.strength.tolist() == [1.5, 0.5]
    assert ActionLayout(('logit',), 2).decide(torch.zeros(1, 2)).strength.tolist() == [1.0]


@pytest.mark.parametrize(('scale', 'corner'), [(1.0, 0.787), (5.0, 0.9999)])
def test_the_scale_reaches_the_corners_of_the_simplex(scale, corner):
    weights = ActionLayout(('logit',), 3, scale=scale).decide(torch.tensor([[1.0, -1.0, -1.0]])).logit
    assert float(weights[0, 0]) == pytest.approx(corner, abs=1e-3)


def test_a_kind_that_is_not_weighted_follows_the_one_that_is():
    decision = ActionLayout(('feature',), 3).decide(torch.tensor([[0.1, 0.4, -0.3]]))
    assert torch.equal(decision.logit, decision.feature)


@given(st.integers(1, 6), st.lists(st.sampled_from(['logit', 'feature']), min_size=1, unique=True), st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_decisions_are_in_their_ranges(teachers, kinds, seed):
    layout = ActionLayout(tuple(kinds), teachers, strength=(0.0, 3.0))
    decision = layout.decide(3 * torch.randn(5, layout.width, generator=rng(seed)))
    for weights in (decision.logit, decision.feature):
        assert weights.shape == (5, teachers)
        assert (weights >= 0).all()
        assert torch.allclose(weights.sum(dim=1), torch.ones(5), atol=1e-6)
    assert ((decision.strength >= 0) & (decision.strength <= 3)).all()


# ---- what the agent sees


@pytest.mark.parametrize('absent', [(), (1,), (0, 1, 2)])
def test_compact_observations(absent):
    state = make_state(widths=(3, 5, 4), absent=absent)
    for m in absent:  # as the distiller leaves them: zeros, but cosine and divergence may be anything
        state.similarity[:, m] = torch.nan
        state.divergence[:, m] = torch.nan
    seen = compact(state)
    assert seen.shape == (6, 3, len(FEATURES))
    assert torch.isfinite(seen).all()
    assert not seen[:, list(absent)].any()
    assert seen.abs().max() < 2


def test_compact_by_hand():
    state = make_state(samples=2, widths=(3, 5))
    p = torch.softmax(state.teachers[1].logits[0], dim=0)
    q = torch.softmax(state.student.logits[0], dim=0)
    expected = [
        np.log1p(-np.log(p[0])) / 2,
        p[0],
        -(p * p.log()).sum() / np.log(4),
        np.log1p(-np.log(q[0])) / 2,
        q[0],
        -(q * q.log()).sum() / np.log(4),
        state.similarity[0, 1],
        np.log1p(state.divergence[0, 1]) / 2,
    ]
    assert compact(state)[0, 1].tolist() == pytest.approx([float(x) for x in expected], abs=1e-6)


def test_the_papers_observation():
    state = make_state(widths=(3, 5), absent=(0,))
    state.similarity[:, 0] = torch.nan
    seen = paper(state)
    assert seen.shape == (6, (3 + 4 + 3) + (5 + 4 + 3))
    assert not seen[:, :10].any()
    teacher = state.teachers[1]
    row = [
        *teacher.embedding[2],
        *teacher.logits[2],
        teacher.task_loss[2],
        state.similarity[2, 1],
        state.divergence[2, 1],
    ]
    assert seen[2, 10:].tolist() == [float(x) for x in row]


# ---- credit, against torch's autograd


def test_alignment_and_effect_against_taken_steps():
    """Each teacher's gradient step on each sample is really taken on the last layer, and the held-out loss compared."""
    generator = rng(1)
    samples, classes, width, eta = 4, 5, 3, 1e-5
    layer = torch.randn(classes, width, generator=generator, dtype=torch.float64)
    embedding = torch.randn(samples, width, generator=generator, dtype=torch.float64)
    held_out = torch.randn(7, width, generator=generator, dtype=torch.float64)
    held_labels = torch.randint(classes, (7,), generator=generator)
    labels = torch.randint(classes, (samples,), generator=generator)
    teachers = [torch.randn(samples, classes, generator=generator, dtype=torch.float64) for _ in range(3)]

    def held_out_loss(weight):
        return torch.nn.functional.cross_entropy(held_out @ weight.T, held_labels)

    logits = (embedding @ layer.T).requires_grad_()
    losses = torch.stack([kd(logits, teacher, 4.0) for teacher in teachers], dim=1)
    teacher_pulls = pulls(losses.unbind(1), logits).double()
    weight = layer.clone().requires_grad_()
    (reference,) = torch.autograd.grad(held_out_loss(weight), weight)
    effects = effect(teacher_pulls, embedding, reference)
    task_pull = torch.softmax(logits.detach(), dim=1) - torch.eye(classes, dtype=torch.float64)[labels]
    cosines = alignment(task_pull, teacher_pulls)

    for i in range(samples):
        for m, teacher in enumerate(teachers):
            stepping = layer.clone().requires_grad_()
            one = embedding[i : i + 1] @ stepping.T
            (step,) = torch.autograd.grad(kd(one, teacher[i : i + 1], 4.0).sum(), stepping)
            decrease = (held_out_loss(layer) - held_out_loss(layer - eta * step)) / eta
            assert float(effects[i, m]) == pytest.approx(float(decrease), rel=1e-2, abs=1e-4)

            point = logits[i].detach().clone().requires_grad_()
            task = torch.nn.functional.cross_entropy(point[None], labels[i : i + 1])
            (a,) = torch.autograd.grad(task, point)
            (b,) = torch.autograd.grad(kd(point[None], teacher[i : i + 1], 4.0).sum(), point)
            assert float(cosines[i, m]) == pytest.approx(float(a @ b / a.norm() / b.norm()), abs=1e-6)


def test_credit_of_features_against_autograd():
    """Through the rest of the student to the label, and through an adapter to the teacher."""
    generator = rng(2)
    feature = torch.randn(3, 4, 2, 2, generator=generator).requires_grad_()
    head, adapter = torch.randn(5, 4, generator=generator), torch.randn(6, 4, generator=generator)
    theirs = torch.randn(3, 6, generator=generator)
    target = torch.eye(5)[:3]
    embedding = feature.mean(dim=(2, 3))
    logits = embedding @ head.T
    task_loss = torch.nn.functional.cross_entropy(logits, target, reduction='none')
    compared = (embedding @ adapter.T - theirs).square().mean(dim=1)
    columns = dict(feature=[compared, -2 * compared])
    student = Outputs(logits, embedding, (feature,), task_loss)
    credit = CreditAssigner()(student, points_of(student), target, columns)
    assert set(credit) == {'feature'}
    assert credit['feature'].effect is None
    for i in range(3):
        (a,) = torch.autograd.grad(task_loss[i], feature, retain_graph=True)
        (b,) = torch.autograd.grad(compared[i], feature, retain_graph=True)
        cosine = float((a * b).sum() / a.norm() / b.norm())
        assert credit['feature'].alignment[i].tolist() == pytest.approx([cosine, -cosine], abs=1e-6)


def test_the_reference_is_that_of_the_batches_before():
    """Nobody is judged by the pictures that are decided on: those only count from the next batch on."""
    assigner = CreditAssigner(momentum=0.75)
    gradients = []
    for step in range(3):
        state = make_state(samples=6)
        logits = (state.student.logits + step).requires_grad_()
        student = state.student._replace(logits=logits * (1 + step))
        columns = [kd(student.logits, t.logits, 4.0) for t in state.teachers]
        credit = assigner(student, points_of(student), state.target, dict(logit=columns))['logit']
        if step == 0:
            assert credit.effect is None
        else:
            expected = gradients[0] if step == 1 else 0.75 * gradients[0] + 0.25 * gradients[1]
            there = effect(pulls(columns, student.logits), student.embedding, expected)
            assert torch.allclose(credit.effect, there, atol=1e-6)
        residual = torch.softmax(student.logits.detach(), dim=1) - state.target
        gradients.append(residual.T @ student.embedding / 6)


def test_no_gradient_is_no_credit():
    state = make_state()
    columns = [torch.ones(6), torch.ones(6)]
    credit = CreditAssigner()(
        state.student, points_of(state.student), state.target, dict(logit=columns, feature=columns)
    )
    assert not credit['logit'].alignment.any()
    assert not credit['feature'].alignment.any()


# ---- rewards


def test_the_reward_by_hand():
    weights, scores = torch.tensor([[0.7, 0.2, 0.1]]), torch.tensor([[1.0, -2.0, 4.0]])
    everyone, without_last = torch.tensor([True, True, True]), torch.tensor([True, True, False])
    assert float(credit_reward(weights, scores, everyone)) == pytest.approx(0.7 - 0.4 + 0.4 - 1.0)
    moved = torch.tensor([[7 / 9, 2 / 9, 0.0]])
    assert float(credit_reward(moved, scores, without_last)) == pytest.approx(7 / 9 - 4 / 9 + 0.5)


@given(st.integers(1, 5), st.floats(-5, 5), st.integers(0, 99), st.data())
@settings(max_examples=40, deadline=None)
def test_the_reward_is_a_comparison(teachers, constant, seed, data):
    """Equal weights get 0; what all teachers of a sample share, and what absent teachers would get, does not count."""
    generator = rng(seed)
    absent = data.draw(st.sets(st.integers(0, teachers - 1), max_size=teachers - 1))
    present = torch.tensor([m not in absent for m in range(teachers)])
    scores = torch.randn(4, teachers, generator=generator)
    weights = torch.where(present, torch.rand(4, teachers, generator=generator) + 0.01, 0.0)
    weights = weights / weights.sum(dim=1, keepdim=True)
    reward = credit_reward(weights, scores, present)
    equal = torch.where(present, 1.0 / present.sum(), 0.0).expand(4, -1)
    torch.testing.assert_close(credit_reward(equal, scores, present), torch.zeros(4), atol=1e-5, rtol=0)
    shifts = constant * torch.randn(4, 1, generator=generator)
    torch.testing.assert_close(credit_reward(weights, scores + shifts, present), reward, atol=1e-4, rtol=1e-4)
    unknown = torch.where(present, scores, torch.nan)
    torch.testing.assert_close(credit_reward(weights, unknown, present), reward)
    kept = present.nonzero().flatten()
    alone = credit_reward(weights[:, kept], scores[:, kept], torch.ones(len(kept), dtype=torch.bool))
    torch.testing.assert_close(alone, reward, atol=1e-6, rtol=1e-5)


@given(st.integers(2, 5), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_standardising_leaves_the_comparison(teachers, seed):
    x = 10 * torch.randn(4, teachers, generator=rng(seed))
    everyone = torch.ones(teachers, dtype=torch.bool)
    z = standardise_over_teachers(x, everyone)
    assert torch.allclose(z.mean(dim=1), torch.zeros(4), atol=1e-5)
    assert ((z.std(dim=1, unbiased=False) - 1).abs() < 0.02).float().mean() > 0.7
    assert torch.equal(z.argsort(dim=1), x.argsort(dim=1))
    assert torch.equal(standardise_over_teachers(torch.full((4, teachers), 3.3), everyone), torch.zeros(4, teachers))
    first = everyone.clone()
    first[1:] = False
    assert not standardise_over_teachers(x, first).any()


def feedback(weights, credit, present=(True, True), knowledge=None, state=None):
    state = (state or make_state())._replace(present=torch.tensor(present))
    decision = Decision(weights, weights, torch.ones(len(weights)))
    return Feedback(state, decision, knowledge or Knowledge(None, None), credit)


def test_the_default_reward_prefers_the_teacher_that_helps():
    alignments = torch.tensor([[0.9, -0.3]]).expand(6, 2)
    effects = torch.tensor([[0.2, 0.1]]).expand(6, 2)
    lean = [torch.tensor([[w, 1 - w]]).expand(6, 2) for w in (0.9, 0.5, 0.1)]
    credit = dict(logit=Credit(alignments, effects), feature=Credit(alignments, None))
    good, equal, bad = (CreditReward()(feedback(weights, credit)) for weights in lean)
    assert (good > equal).all()
    assert (equal > bad).all()
    assert torch.equal(equal, torch.zeros(6))
    # both kinds lean by 0.4 to each side of a difference of two units: 2 terms for logits, 1 for features
    assert good.tolist() == pytest.approx([(0.8 * 2 + 0.8 * 1) / 2] * 6, rel=1e-3)
    disagreeing = dict(logit=Credit(alignments, -effects))
    assert CreditReward()(feedback(lean[0], disagreeing)).tolist() == pytest.approx([0.0] * 6, abs=2e-3)
    assert (CreditReward(effect=0.0)(feedback(lean[0], disagreeing)) > 0).all()


def test_the_default_reward_with_nobody_there_is_nothing():
    nothing = torch.zeros(6, 2)
    credit = dict(logit=Credit(nothing, nothing))
    assert torch.equal(CreditReward()(feedback(nothing, credit, present=(False, False))), torch.zeros(6))


@given(st.integers(1, 4), st.integers(2, 6), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_the_cosine_of_a_combination_is_that_of_the_vectors(teachers, width, seed):
    vectors = torch.randn(5, teachers, width, generator=rng(seed))
    direction = torch.randn(5, width, generator=rng(seed + 1))
    weights = torch.rand(5, teachers, generator=rng(seed + 2))
    cosines = torch.nn.functional.cosine_similarity(vectors, direction[:, None], dim=2)
    expected = torch.nn.functional.cosine_similarity((weights[:, :, None] * vectors).sum(1), direction, dim=1)
    found = combined(weights, cosines, vectors @ vectors.transpose(1, 2))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_together_teachers_may_be_worth_more_than_the_best():
    """Two whose errors cancel earn more together than either, and no sum over teachers says so."""
    direction = torch.tensor([1.0, 0.0])
    pulls = torch.stack([direction + torch.tensor([0.0, error]) for error in (1.0, -1.1)]).expand(6, 2, 2)
    cosines = torch.nn.functional.cosine_similarity(pulls, direction, dim=2)
    credit = dict(logit=Credit(cosines, None, pulls @ pulls.transpose(1, 2)))
    rows = [torch.tensor([row]).expand(6, 2) for row in ([1.0, 0.0], [0.5, 0.5], [0.52, 0.48], [0.0, 1.0])]
    alone, equal, best, other = (CombinedReward()(feedback(weights, credit))[0].item() for weights in rows)
    assert equal == 0
    assert best > equal > alone > other
    assert CreditReward()(feedback(rows[0], credit))[0] > CreditReward()(feedback(rows[2], credit))[0]


def test_an_absent_teacher_has_no_part_in_a_combination():
    generator = rng(4)
    pulls, direction = torch.randn(6, 3, 4, generator=generator), torch.randn(6, 4, generator=generator)
    cosines = torch.nn.functional.cosine_similarity(pulls, direction[:, None], dim=2)
    products = pulls @ pulls.transpose(1, 2)
    weights = torch.tensor([[0.7, 0.3, 0.0]]).expand(6, 3)
    present = torch.tensor([True, True, False])
    state = make_state(widths=(3, 5, 4))._replace(present=present)
    decision = Decision(weights, weights, torch.ones(6))
    nothing = Knowledge(None, None)
    told = dict(logit=Credit(torch.where(present, cosines, torch.nan), None, products))
    found = CombinedReward()(Feedback(state, decision, nothing, told))
    two = dict(logit=Credit(cosines[:, :2], None, products[:, :2, :2]))
    torch.testing.assert_close(found, CombinedReward()(feedback(weights[:, :2], two)))


def test_the_effect_of_a_combination_is_a_cosine_too():
    """With the direction in which the loss on other samples falls fastest, worked out from its definition."""
    generator = rng(3)
    logit_pulls, embedding = torch.randn(6, 2, 5, generator=generator), torch.randn(6, 4, generator=generator)
    reference = torch.randn(5, 4, generator=generator)
    goal = embedding @ reference.T
    effects = torch.einsum('bmc,bc->bm', logit_pulls, goal)
    products = logit_pulls @ logit_pulls.transpose(1, 2)
    credit = dict(logit=Credit(torch.zeros(6, 2), effects, products, goal.norm(dim=1)))
    weights = torch.rand(6, 2, generator=generator)
    cosine = torch.nn.functional.cosine_similarity
    expected = [cosine((w[:, :, None] * logit_pulls).sum(1), goal, dim=1) for w in (weights, torch.full((6, 2), 0.5))]
    found = CombinedReward(effect=2.0)(feedback(weights, credit))
    torch.testing.assert_close(found, 2 * (expected[0] - expected[1]), atol=1e-5, rtol=1e-4)


def test_the_papers_reward_warns_and_lies_between_0_and_1():
    with pytest.warns(UserWarning, match='easiest to imitate'):
        reward = PaperReward(logit_weight=2.0, feature_weight=3.0)
    state = make_state()
    knowledge = Knowledge(torch.rand(6, 2, generator=rng(1)), torch.rand(6, 2, generator=rng(2)))
    weights = torch.tensor([[0.25, 0.75]]).expand(6, 2)
    given = reward(feedback(weights, {}, knowledge=knowledge, state=state))
    loss = state.student.task_loss + (weights * (2 * knowledge.logit + 3 * knowledge.feature)).sum(dim=1)
    z = (loss.mean() - loss) / loss.std(unbiased=False)
    assert torch.allclose(given, z.clamp(0, 1), atol=1e-5)
    assert 0 <= given.min() < given.max() <= 1
    one = make_state(samples=1)
    alone = reward(feedback(weights[:1], {}, knowledge=Knowledge(None, knowledge.feature[:1]), state=one))
    assert alone.tolist() == [0.0]


# ---- stable-baselines3's PPO, taken apart


def agent(seed: int = 0, **options) -> Agent:
    return Agent(16, ActionLayout(('logit',), 2), seed=seed, **(SMALL | options))


def live(learner: Agent, steps: int, size: int = 20, seed: int = 0) -> list[torch.Tensor]:
    """Acts, is rewarded and learns for a while; what it did."""
    generator = rng(seed)
    acted = []
    for _ in range(steps):
        observation = torch.randn(size, 16, generator=generator)
        _, sampled = learner.act(observation)
        acted.append(sampled.action)
        learner.remember(observation, sampled, sampled.action[:, 0] - sampled.action[:, 1])
        while learner.full():
            learner.update()
    return acted


def test_advantages_are_those_of_stable_baselines():
    space, actions = spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (2,), np.float32)
    generator = rng(4)
    observations, action = torch.randn(8, 3, generator=generator), torch.randn(8, 2, generator=generator)
    value, log_prob, reward = (torch.randn(8, generator=generator) for _ in range(3))
    ours = SampleRollout(8, space, actions, gamma=0.0, gae_lambda=0.95)
    ours.fill(observations, Sampled(action, value, log_prob), reward)
    theirs = RolloutBuffer(8, space, actions, gamma=0.0, gae_lambda=0.95)
    for i in range(8):
        theirs.add(observations[i : i + 1].numpy(), action[i : i + 1].numpy(), reward[i : i + 1].numpy(),
                   np.ones(1), value[i : i + 1], log_prob[i : i + 1])  # fmt: skip
    theirs.compute_returns_and_advantage(torch.zeros(1), np.ones(1))
    for name in ('observations', 'actions', 'values', 'log_probs', 'rewards', 'returns', 'advantages'):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-6, atol=1e-6, err_msg=name)
    assert ours.full


def test_actions_are_those_of_the_policy():
    learner = agent()
    observation, noise = torch.randn(5, 16, generator=rng(1)), torch.randn(5, 2, generator=rng(2))
    mean, sampled = learner.act(observation, noise=noise)
    value, log_prob, _ = learner.ppo.policy.evaluate_actions(observation, sampled.action)
    torch.testing.assert_close(sampled.value, value.detach().flatten())
    torch.testing.assert_close(sampled.log_prob, log_prob.detach())
    deterministic, _, _ = learner.ppo.policy(observation, deterministic=True)
    torch.testing.assert_close(mean, deterministic.detach())
    spread = learner.ppo.policy.log_std.exp().detach()
    torch.testing.assert_close(sampled.action, mean + spread * noise)


def test_first_decisions_are_nearly_equal_weights():
    mean, _ = agent().act(torch.randn(50, 16, generator=rng(1)))
    assert mean.abs().max() < 0.05


def test_samples_that_are_left_over_begin_the_next_rollout():
    learner = agent()
    batches = []
    for step in range(2):
        observation = torch.randn(20, 16, generator=rng(step))
        _, sampled = learner.act(observation)
        batches.append((observation, sampled, torch.arange(20.0) + 20 * step))
        learner.remember(*batches[-1])
        assert learner.full() == bool(step)
    said = learner.update()
    assert set(said) >= {'approx_kl', 'clip_fraction', 'explained_variance', 'value_loss', 'entropy_loss', 'std'}
    assert learner.ppo._n_updates == 2  # epochs of stable-baselines3
    assert not learner.full()
    (left,) = learner._memory
    observation, action = batches[1][0][12:], batches[1][1].action[12:]
    assert torch.equal(left[:, :16], observation)
    assert torch.equal(left[:, 16 : 16 + action.shape[1]], action)
    assert left[:, -1].tolist() == list(range(32, 40))


@pytest.mark.parametrize('shared_encoder', [True, False])
def test_building_acting_and_learning_leave_the_global_random_states(shared_encoder):
    torch.manual_seed(1)
    np.random.seed(2)
    random.seed(3)
    before = random_state()
    learner = agent(shared_encoder=shared_encoder)
    live(learner, 5)
    assert learner.ppo._n_updates > 0
    after = random_state()
    for name in ('python', 'numpy'):
        assert torch.equal(before[name]['words'], after[name]['words'])
    assert torch.equal(before['torch'], after['torch'])


def test_an_agent_does_not_depend_on_the_global_random_states():
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)
        learner = agent(seed=9)
        live(learner, 5)
        runs.append(learner.policy_state()['parameters'])
    assert all(torch.equal(value, runs[1][name]) for name, value in runs[0].items())


@pytest.mark.parametrize('shared_encoder', [True, False])
def test_a_saved_agent_goes_on_bit_by_bit(tmp_path, shared_encoder):
    whole, second = agent(1, shared_encoder=shared_encoder), agent(2, shared_encoder=shared_encoder)
    live(whole, 4, size=10)  # 40 samples: one update and 8 left over
    torch.save(whole.state_dict(), tmp_path / 'agent.pth')
    acted = live(whole, 6, size=10, seed=5)
    second.load_state_dict(torch.load(tmp_path / 'agent.pth', weights_only=True))
    assert all(torch.equal(a, b) for a, b in zip(acted, live(second, 6, size=10, seed=5)))
    ends = [learner.policy_state()['parameters'] for learner in (whole, second)]
    assert all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())
    assert whole.ppo._n_updates == second.ppo._n_updates > 2


def test_an_agent_says_nothing_while_it_is_built():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        agent()
