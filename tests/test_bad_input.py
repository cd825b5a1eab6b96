"""What a user may get wrong: one line that says what, where and what to do, and nothing lost."""

import importlib.util
import json
from pathlib import Path

import pytest
import runs
import torch
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mtkd_rl.errors import MTKDError
from mtkd_rl.weighting.base import Formula, everywhere

ROOT = Path(__file__).parents[1]
A = runs.teacher((6, 12))


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path('harm'),)


def train_tool():
    spec = importlib.util.spec_from_file_location('tool_train', ROOT / 'tools' / 'train.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def line_of(tmp_path, capfd, entries=None, student=None, **options):
    """What the training tool prints last; there is no traceback, and the status is 1."""
    hooks = [runs.entry(**options)] if entries is None else entries
    cfg = runs.config(tmp_path / 'work', hooks, epochs=1, student=student)
    cfg.dump(tmp_path / 'config.py')
    assert train_tool().main([str(tmp_path / 'config.py')]) == 1
    told = capfd.readouterr().err
    assert 'Traceback' not in told
    line = told.splitlines()[-1]
    assert line.startswith('error: ')
    assert 'class `' not in line  # the words that mmengine's registry puts before an error
    return line


class WrongShape(Formula):
    def decide(self, state):
        return everywhere(torch.ones(len(state.target), 5))


class BareTensor(Formula):
    def decide(self, state):
        return torch.ones(len(state.target), 2)


class Reduced:
    kind = 'logit'

    def __call__(self, student, teacher, target, temperature):
        return (student - teacher).square().mean()


PPO = dict(type='PPOWeighting')
MISTAKES = {
    'no teachers': (dict(teachers={}), ['`teachers` is empty']),
    'a name twice': (dict(teachers=[A | dict(name='a'), A | dict(name='a')]), ["'a' twice"]),
    'no checkpoint': (dict(teachers=dict(a=dict(config=A['config']))), ["'a'", 'no checkpoint']),
    'missing checkpoint': (dict(teachers=dict(a=A | dict(checkpoint='no/r.pth'))), ["'a'", 'no/r.pth', 'not there']),
    'missing config': (dict(teachers=dict(a=A | dict(config='no/r.py'))), ["'a'", 'no/r.py']),
    'unknown source': (dict(teachers=dict(a=dict(type='Timmm', model='x'))), ["'a'", "no source 'Timmm'", 'Timm']),
    'other number of classes': (
        dict(teachers=dict(a=dict(config=runs.classifier((6, 12), classes=7), checkpoint='random'))),
        ['teacher a', '(20, 7)', '10 classes'],
    ),
    'layer of the student': (
        dict(student_layer='backbone.stage.1'),
        ["student: there is no layer 'backbone.stage.1'", 'backbone.stages.1'],
    ),
    'layer of a teacher': (
        dict(teachers=dict(a=A | dict(layer='backbone.stage'))),
        ["teacher a: there is no layer 'backbone.stage'", 'backbone.stages'],
    ),
    'layer without a tensor': (
        dict(teachers=dict(a=A | dict(layer='data_preprocessor'))),
        ['teacher a', 'did not run or gave no tensor'],
    ),
    'unknown logit loss': (dict(logit_loss=dict(type='KDD')), ['logit_loss', "'KDD'", 'KD']),
    'unknown feature loss': (dict(feature_loss=dict(type='MSEE')), ['feature_loss', "'MSEE'", 'MSE']),
    'loss of the other kind': (dict(logit_loss=dict(type='MSE')), ["logit_loss: 'MSE' is not a logit loss", 'KD']),
    'argument of a loss': (dict(logit_loss=dict(type='KD', tau=2)), ['logit_loss', 'tau', 'standardise']),
    'loss that is no config': (dict(logit_loss=1), ['logit_loss', 'dict(type=']),
    'rollout of one': (dict(strategy=PPO | dict(rollout=1)), ['PPOWeighting: rollout is 1', 'at least 2']),
    'learning rate': (dict(strategy=PPO | dict(learning_rate='x')), ["learning_rate is 'x'", 'finite number']),
    'range of strength': (dict(strategy=PPO | dict(strength=(-3, -1))), ['strength is (-3, -1)', '0 <= low < high']),
    'no range of strength': (dict(strategy=PPO | dict(strength=2.0)), ['strength is 2.0', '0 <= low < high']),
    'negative weight of a loss': (dict(logit_weight=-1), ['logit_weight is -1', 'at least 0']),
    'weight that is no number': (dict(feature_weight='1'), ["feature_weight is '1'"]),
    'end before begin': (dict(begin=5, end=2), ['end is 2 and begin 5']),
    'weight of a teacher': (
        dict(teachers=dict(a=A), strategy=dict(type='FixedWeighting', weights=dict(a='x'))),
        ["weight of a is 'x'"],
    ),
    'unknown strategy': (dict(strategy=dict(type='PPOWeightin')), ['strategy', "'PPOWeightin'", 'PPOWeighting']),
    'argument of a strategy': (dict(strategy=dict(type='AverageWeighting', weights=1)), ['strategy', 'weights']),
    'option of PPO': (
        dict(strategy=PPO | dict(lerning_rate=1e-3)),
        ["PPOWeighting: there is no option 'lerning_rate'", 'learning_rate'],
    ),
    'unknown reward': (dict(strategy=PPO | dict(reward=dict(type='Credit'))), ['reward', "'Credit'", 'CreditReward']),
    'argument of a reward': (
        dict(strategy=PPO | dict(reward=dict(type='CreditReward', effekt=1))),
        ['reward', 'effekt', 'effect'],
    ),
    'unknown observation': (dict(strategy=PPO | dict(observation='compct')), ["'compct'", 'compact']),
    'frozen without an agent': (dict(strategy=PPO | dict(frozen=True)), ['frozen=True', 'agent=']),
    'missing agent': (dict(strategy=PPO | dict(agent='no/agent.pth')), ['no/agent.pth', 'not there']),
    'weights of nobody': (
        dict(strategy=dict(type='FixedWeighting', weights=dict(r50=1.0))),
        ["FixedWeighting: there is no teacher 'r50'", 'a, b'],
    ),
    'nothing to teach': (dict(logit_loss=None, feature_loss=None), ['logit_loss and feature_loss are both None']),
    'temperature': (dict(temperature=0), ['MTKDHook: temperature is 0', 'above 0']),
    'temperature of a teacher': (dict(teachers=dict(a=A | dict(temperature=-1.0))), ["'a'", 'temperature', 'above 0']),
    'unknown option': (
        dict(logit_losses=dict(type='KD')),
        ["MTKDHook: there is no option 'logit_losses'", 'logit_loss'],
    ),
    'unknown option of a teacher': (dict(teachers=dict(a=A | dict(checkpont='x'))), ["'a'", 'checkpont', 'checkpoint']),
    'two hooks': ([runs.entry(), runs.entry()], ['more than one MTKDHook']),
    'a hook without teachers': ([dict(type='mtkd_rl.MTKDHook')], ['`teachers` is empty']),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_a_mistake_is_told_in_one_line(tmp_path, capfd, mistake):
    options, told = MISTAKES[mistake]
    line = line_of(tmp_path, capfd, options) if isinstance(options, list) else line_of(tmp_path, capfd, **options)
    for part in told:
        assert part in line
    assert not list(tmp_path.glob('work/*.pth'))


@pytest.mark.parametrize('kind', ['truncated', 'text', 'foreign', 'hostile', 'empty', 'keys'])
def test_a_checkpoint_that_is_none(tmp_path, capfd, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / 'bad.pth'
    own = MODELS.build(dict(**A['config'], _scope_='mmpretrain')).state_dict()
    if kind == 'truncated':
        torch.save(own, path)
        path.write_bytes(path.read_bytes()[:2000])
    elif kind == 'text':
        path.write_text('not a checkpoint')
    elif kind == 'foreign':
        torch.save(dict(state_dict=dict(weight=torch.ones(3))), path)
    elif kind == 'hostile':
        torch.save(dict(state_dict=own, meta=Harmful()), path)
    elif kind == 'empty':
        torch.save(dict(meta=1), path)
    else:
        torch.save(dict(state_dict={key: value for key, value in own.items() if 'head' not in key}), path)
    line = line_of(tmp_path, capfd, teachers=dict(a=A | dict(checkpoint=str(path))))
    told = dict(
        truncated='truncated',
        text='no checkpoint',
        foreign='another architecture',
        hostile='refused',
        empty='no state_dict',
        keys='2 missing from the file (head.fc.weight, head.fc.bias)',
    )
    assert "teacher 'a'" in line
    assert 'bad.pth' in line
    assert told[kind] in line
    assert not Path('harm').exists()


def test_a_student_that_is_no_classifier(tmp_path, capfd):
    head = dict(type='MultiLabelLinearClsHead', num_classes=10, in_channels=8)
    line = line_of(tmp_path, capfd, student=runs.classifier() | dict(head=head))
    assert 'single-label classifier' in line


def test_a_mistake_loses_no_checkpoint(tmp_path, capfd):
    """What was trained before is still there, and a corrected config goes on from it."""
    runs.train(runs.config(tmp_path / 'work', [runs.entry()], epochs=1, save=True))
    before = (tmp_path / 'work' / 'epoch_1.pth').read_bytes()
    others = dict(c=runs.teacher((3, 6)))
    cfg = runs.config(tmp_path / 'work', [runs.entry(teachers=others)], epochs=2, resume=True)
    cfg.dump(tmp_path / 'config.py')
    assert train_tool().main([str(tmp_path / 'config.py')]) == 1
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith('error: the checkpoint was trained with other teachers')
    assert (tmp_path / 'work' / 'epoch_1.pth').read_bytes() == before
    assert runs.train(runs.config(tmp_path / 'work', [runs.entry()], epochs=2, resume=True)).epoch == 2


# ---- what is unusual but right


@pytest.mark.parametrize('feature', ['MSE', 'PKD', 'ChannelWiseKL', 'Cosine', None])
def test_a_batch_of_one(tmp_path, feature):
    entry = runs.entry(
        feature_loss=feature and dict(type=feature),
        logit_loss=dict(type='DIST'),
        strategy=dict(type='PPOWeighting', rollout=3, batch_size=2),
    )
    runner = runs.train(runs.config(tmp_path, [entry], epochs=1, batch=1, limit=7))
    assert all(torch.isfinite(value).all() for value in runs.weights_of(runner).values())
    policy = runs.hook_of(runner).strategy.agent.policy_state()['parameters']
    assert all(torch.isfinite(value).all() for value in policy.values())


@pytest.mark.parametrize('observation', ['compact', 'paper'])
@pytest.mark.parametrize('reward', ['CreditReward', 'PaperReward'])
@pytest.mark.parametrize('broken', [[2, 3, 6], range(1, 99)], ids=['at times', 'always'])
def test_a_teacher_that_is_not_finite(tmp_path, observation, reward, broken):
    """It is left out of the batch and named when the counts are read; student and agent stay finite."""
    seen = []
    strategy = dict(type='PPOWeighting', rollout=40, batch_size=20, observation=observation, reward=dict(type=reward))
    # its first call is the one that finds its feature
    teachers = dict(a=A, bad=runs.counting(broken=broken))
    hooks = [runs.entry(teachers=teachers, strategy=strategy), runs.record_losses(seen)]
    runner = runs.train(runs.config(tmp_path, hooks, epochs=3))
    times = sum(1 for call in range(1, 10) if call in broken)
    assert json.loads((tmp_path / 'distillation.json').read_text())['left_out'] == dict(a=0, bad=times)
    log = ''.join(path.read_text() for path in tmp_path.glob('*/*.log'))
    assert 'teacher bad was left out of' in log
    assert 'teacher a was' not in log
    assert len(seen) == 9
    assert all(torch.isfinite(value) for losses in seen for value in losses.values())
    assert all(torch.isfinite(value).all() for value in runs.weights_of(runner).values())
    assert all(torch.isfinite(tensor).all() for tensor in runs.tensors(runs.hook_of(runner).strategy.state_dict()))


def test_nobody_finite_is_training_alone(tmp_path):
    """The student is the one without the hook, bit by bit."""
    teachers = {name: runs.counting(broken=range(99)) for name in 'ab'}
    alone, left = (
        runs.weights_of(runs.train(runs.config(tmp_path / str(len(hooks)), hooks)))
        for hooks in ([], [runs.entry(teachers=teachers)])
    )
    assert runs.same(alone, left)


def test_a_mistake_in_python_is_the_same_error(tmp_path):
    with pytest.raises(MTKDError, match=r"there is no layer 'nowhere'"):
        Runner.from_cfg(runs.config(tmp_path, [runs.entry(student_layer='nowhere')])).train()


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (dict(strategy=dict(type=WrongShape)), r'strategy WrongShape: decide returned \(20, 5\).*\(20, 2\)'),
        (dict(strategy=dict(type=BareTensor)), 'strategy BareTensor: decide returned Tensor.*everywhere'),
        (dict(logit_loss=dict(type=Reduced)), r'loss Reduced: it returned \(\); return one value a sample'),
    ],
)
def test_a_mistake_in_ones_own_class_is_told(tmp_path, options, told):
    with pytest.raises(MTKDError, match=told):
        runs.train(runs.config(tmp_path, [runs.entry(**options)]))


def test_a_feature_that_cannot_learn_is_told(tmp_path):
    """The logits of a frozen backbone's head can still be taught, so it is a warning."""

    def freeze(runner):
        runner.model.backbone.requires_grad_(False)

    hooks = [runs.watching(before_train=freeze), runs.entry(strategy=dict(type='AverageWeighting'))]
    runner = runs.train(runs.config(tmp_path, hooks, epochs=1))
    (log,) = Path(runner.log_dir).glob('*.log')
    assert "the student's feature has no gradient" in log.read_text()
