import json

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import batch, each_knows_a_third, state_of, train

from mtkd_rl.errors import MTKDError
from mtkd_rl.types import Decision, Outputs, State
from mtkd_rl.weighting import AverageWeighting, FixedWeighting, PPOWeighting, leave_out
from mtkd_rl.weighting.base import Setting

SETTING = Setting(('a', 'b', 'c'), ('logit', 'feature'), 0, torch.device('cpu'))


def state(samples: int = 4, teachers: int = 3) -> State:
    logits = torch.randn(samples, 5, generator=torch.Generator().manual_seed(0))
    outputs = Outputs(logits, logits, (logits,), logits.square().mean(dim=1))
    zeros = torch.zeros(samples, teachers)
    everyone = torch.ones(teachers, dtype=torch.bool)
    return state_of(outputs, (outputs,) * teachers, zeros, zeros, everyone, torch.eye(5)[torch.zeros(samples).long()])


def test_equal_weights():
    decision = AverageWeighting().decide(state())
    assert torch.equal(decision.logit, torch.full((4, 3), 1 / 3))
    assert torch.equal(decision.feature, decision.logit)
    assert torch.equal(decision.strength, torch.ones(4))


def test_fixed_weights_go_by_name_and_are_used_as_they_are():
    strategy = FixedWeighting(weights=dict(c=2.0, a=0.5))
    strategy.prepare(SETTING)
    assert strategy.decide(state()).logit.tolist() == [[0.5, 0.0, 2.0]] * 4


def test_fixed_weights_of_another_run(tmp_path):
    means = {
        f'weight_{kind}/{name}/mean': value
        for kind, name, value in [
            ('logit', 'a', 0.2),
            ('logit', 'b', 0.3),
            ('logit', 'c', 0.5),
            ('feature', 'a', 1.0),
            ('feature', 'b', 0.0),
            ('feature', 'c', 0.0),
        ]
    }
    path = tmp_path / 'distillation.json'
    path.write_text(json.dumps({'mean': means}))
    strategy = FixedWeighting(weights=str(path))
    strategy.prepare(SETTING)
    decision = strategy.decide(state())
    assert decision.logit.tolist() == [pytest.approx([0.2, 0.3, 0.5])] * 4
    assert decision.feature.tolist() == [[1.0, 0.0, 0.0]] * 4
    with pytest.raises(MTKDError, match=r'has no weight_logit/d/mean; give a run with these teachers'):
        strategy.prepare(SETTING._replace(teachers=('a', 'd')))
    for text in ('{', '[]', '{"mean": 3}'):
        path.write_text(text)
        with pytest.raises(MTKDError, match=r'give the distillation\.json of a run'):
            strategy.prepare(SETTING)
    with pytest.raises(MTKDError, match='No such file'):
        FixedWeighting(weights='nowhere.json').prepare(SETTING)


@pytest.mark.parametrize('weight', [-0.1, float('nan'), float('inf')])
def test_fixed_weights_that_are_none(weight):
    with pytest.raises(MTKDError, match=r'the weight of b is'):
        FixedWeighting(weights=dict(a=1.0, b=weight))


def test_a_fixed_weight_of_nobody_names_the_teachers():
    with pytest.raises(MTKDError, match=r"no teacher 'd'; teachers: a, b, c"):
        FixedWeighting(weights=dict(d=1.0)).prepare(SETTING)


@given(st.integers(1, 5), st.integers(0, 99), st.data())
@settings(max_examples=40, deadline=None)
def test_the_weights_of_absent_teachers_go_to_the_others(teachers, seed, data):
    rng = torch.Generator().manual_seed(seed)
    weights = torch.rand(6, teachers, generator=rng) + 0.01
    decision = Decision(weights, weights.flip(1), torch.rand(6, generator=rng))
    absent = data.draw(st.sets(st.integers(0, teachers - 1)))
    present = torch.tensor([m not in absent for m in range(teachers)])
    left = leave_out(decision, present, present)
    assert torch.equal(left.strength, decision.strength)
    for before, after in ((decision.logit, left.logit), (decision.feature, left.feature)):
        assert not after[:, ~present].any()
        if not absent:
            assert torch.equal(before, after)
        elif present.any():
            torch.testing.assert_close(after.sum(dim=1), before.sum(dim=1))
            ratio = after[:, present] / before[:, present]
            torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))


def test_absent_teachers_by_hand():
    decision = Decision(*(torch.tensor([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0]]),) * 2, torch.ones(2))
    present = torch.tensor([True, False, True])
    left = leave_out(decision, present, present).logit
    assert left[0].tolist() == pytest.approx([2 / 7, 0.0, 5 / 7])
    assert left[1].tolist() == [0.0, 0.0, 0.0]  # those who are there had no weight


def test_the_strength_stays_in_its_range_and_is_learnt_with_the_weights():
    strategy, _ = train(each_knows_a_third, 0, 4, strength=(0.5, 1.5), rollout=64, batch_size=32)
    assert strategy.agent.layout.width == 4
    assert strategy.agent.ppo._n_updates > 0
    assert 'mlp_extractor.strength.weight' in strategy.agent.policy_state()['parameters']


@pytest.mark.parametrize('observation', ['compact', 'paper'])
def test_a_saved_strategy_goes_on_bit_by_bit(tmp_path, observation):
    options = dict(rollout=128, batch_size=64, observation=observation)
    strategy, _ = train(each_knows_a_third, 0, 5, **options)
    torch.save(strategy.state_dict(), tmp_path / 'saved.pth')
    other = PPOWeighting(seed=99, **options)
    other.prepare(Setting(('a', 'b', 'c'), ('logit',), 0, torch.device('cpu')))
    assert other.state_dict() == {}
    other.load_state_dict(torch.load(tmp_path / 'saved.pth', weights_only=True))
    width = 8 if observation == 'compact' else 16 + 10 + 3
    assert strategy.agent.observation_width == 3 * width
    seen, *_ = batch(each_knows_a_third, torch.Generator().manual_seed(5))
    assert torch.equal(strategy.decide(seen).logit, other.decide(seen).logit)
    assert torch.equal(strategy._pending[1].action, other._pending[1].action)
