"""The agent finds out who helps, over several seeds, and does not when its reward says nothing."""

import pytest
from toy import all_or_none, batch, each_knows_a_third, judge, one_is_right, train

SEEDS = [0, 1, 2]
ITERATIONS = 160


@pytest.mark.parametrize('seed', SEEDS)
def test_the_teacher_that_is_always_right_gets_the_weight(seed):
    strategy, rng = train(one_is_right, seed, ITERATIONS)
    for explore in (True, False):
        weights, _ = judge(strategy, one_is_right, rng, explore)
        assert weights[0] > 0.8


@pytest.mark.parametrize('seed', SEEDS)
def test_on_each_sample_the_teacher_leads_that_is_right(seed):
    strategy, rng = train(each_knows_a_third, seed, ITERATIONS)
    for explore in (True, False):
        weights, leads = judge(strategy, each_knows_a_third, rng, explore)
        assert leads >= 0.9
        assert weights.max() < 0.5


@pytest.mark.parametrize('seed', SEEDS)
def test_a_shuffled_reward_teaches_neither(seed):
    strategy, rng = train(one_is_right, seed, ITERATIONS, shuffle=True)
    for explore in (True, False):
        weights, _ = judge(strategy, one_is_right, rng, explore)
        assert weights[0] < 0.8
    strategy, rng = train(each_knows_a_third, seed, ITERATIONS, shuffle=True)
    _, leads = judge(strategy, each_knows_a_third, rng, explore=True)
    assert leads < 0.9


def test_strength_goes_up_where_teachers_help_and_down_where_they_harm():
    strategy, rng = train(all_or_none, 0, 250, strength=(0.0, 2.0))
    state, _, _, _, knows = batch(all_or_none, rng, 1000)
    strength = strategy.decide(state).strength
    assert strength[knows[:, 0]].mean() > 1.3
    assert strength[~knows[:, 0]].mean() < 0.3
