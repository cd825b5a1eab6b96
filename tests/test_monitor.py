"""Statistics of decisions by hand, and the picture drawn of them."""

import json
import math

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from toy import state_of

from mtkd_rl.errors import MTKDError
from mtkd_rl.monitor import LATELY, Monitor, entropy
from mtkd_rl.plot import plot_weights, read_scalars
from mtkd_rl.types import Decision, Feedback, Knowledge, Outputs


def feedback(weights, losses, present=(True, True), groups=(0, 2)):
    weights, losses = torch.tensor(weights), torch.tensor(losses)
    zeros = torch.zeros(len(weights), 2)
    outputs = Outputs(zeros, zeros, (zeros,), torch.zeros(len(weights)))
    target = torch.eye(3)[list(groups)]
    state = state_of(outputs, (outputs, outputs), weights, weights, torch.tensor(present), target)
    return Feedback(state, Decision(weights, weights, torch.ones(len(weights))), Knowledge(losses, None), {})


def test_means_are_over_the_iterations_that_had_a_value():
    monitor = Monitor(['a', 'b'], ['logit'])
    monitor.watch(feedback([[1.0, 0.0], [0.5, 0.5]], [[1.0, 2.0], [3.0, 4.0]]), {'ppo/std': 0.5}, 3)
    monitor.watch(feedback([[0.0, 1.0], [0.5, 0.5]], [[5.0, 2.0], [3.0, 4.0]], (True, False)), {}, 3)
    means, absent = monitor.read()
    assert means['weight_logit/a/mean'] == pytest.approx((0.75 + 0.25) / 2)
    assert means['weight_logit/a/std'] == pytest.approx(0.25)
    assert means['loss_logit/a'] == pytest.approx((2 + 4) / 2)
    assert means['entropy/logit'] == pytest.approx(0.5)
    assert means['ppo/std'] == 0.5
    assert absent == {'a': 0, 'b': 1}
    monitor.watch(feedback([[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]), {}, 3)
    monitor.read()
    summary = monitor.summary()
    assert summary['mean']['weight_logit/a/mean'] == pytest.approx((0.75 + 0.25 + 1) / 3, abs=1e-6)
    assert summary['mean']['ppo/std'] == 0.5
    assert summary['left_out'] == {'a': 0, 'b': 1}
    # group 0 was led by a, then b, then a; what is older counts less
    first = (LATELY**2 + 1) / (LATELY**2 + LATELY + 1)
    assert summary['leads'][0] == pytest.approx([first, 1 - first], abs=1e-4)
    assert summary['leads'][1] == [0, 0]
    # group 2 was led by both twice, which share it, then by a
    shared = (LATELY**2 + LATELY) / 2 / (LATELY**2 + LATELY + 1)
    assert summary['leads'][2] == pytest.approx([1 - shared, shared], abs=1e-4)
    assert monitor.read() == ({}, {'a': 0, 'b': 0})


def test_entropy_is_a_share_of_its_maximum():
    weights = torch.tensor([[1.0, 0.0, 0.0], [2.0, 2.0, 2.0], [0.5, 0.5, 0.0], [0.0, 0.0, 0.0]])
    assert entropy(weights).tolist() == pytest.approx([0, 1, math.log(2) / math.log(3), 0])
    assert entropy(torch.ones(1, 1)).tolist() == [0]


@pytest.fixture
def run(tmp_path):
    rows = [
        {'step': step}
        | {f'mtkd/weight_logit/{name}/mean': mean for name, mean in (('a', 0.7), ('b', 0.3))}
        | {f'mtkd/weight_logit/{name}/std': 0.1 for name in 'ab'}
        for step in (10, 20)
    ]
    for started, text in (('1', ''), ('2', '\n'.join(map(json.dumps, [{'lr': 1.0, 'step': 1}, *rows])))):
        (tmp_path / started / 'vis_data').mkdir(parents=True)
        (tmp_path / started / 'vis_data' / 'scalars.json').write_text(text)
    summary = {'teachers': ['a', 'b'], 'leads': [[0.25, 0.75], [1.0, 0.0]]}
    (tmp_path / 'distillation.json').write_text(json.dumps(summary))
    return tmp_path


def test_scalars_are_those_of_the_latest_run(run):
    rows = read_scalars(run, 'mtkd/weight_logit/a/mean')
    assert [row['step'] for row in rows] == [10, 20]
    with pytest.raises(MTKDError, match='no scalar nonsense'):
        read_scalars(run, 'nonsense')


def test_the_picture_shows_both_teachers(run, tmp_path):
    plot_weights(run, tmp_path / 'pictures' / 'weights.png', classes=['cat', 'dog'])
    picture = imread(tmp_path / 'pictures' / 'weights.png')[..., :3]
    for colour in ((0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00)):
        assert (np.abs(picture - np.array(colour) / 255).max(axis=2) < 0.02).sum() > 100


def test_a_work_dir_without_a_run_is_told(tmp_path):
    with pytest.raises(MTKDError, match=r'there is no distillation\.json'):
        plot_weights(tmp_path, tmp_path / 'weights.png')
