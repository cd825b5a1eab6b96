"""What a user may get wrong: one line that says what, where and what to do, and nothing lost.

docs/mistakes.md is the table of what is tried here: ``python -m pytest tests/test_bad_input.py -m '' --write-docs``
writes it, and every test compares its row with what it just saw.
"""

import importlib.util
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import runs
import torch
from mmengine.logging import MMLogger
from mmengine.registry import MODELS
from mmengine.runner import Runner

from mtkd_rl import registry
from mtkd_rl.errors import MTKDError

ROOT = Path(__file__).parents[1]
PAGE = ROOT / 'docs' / 'mistakes.md'
INTRODUCTION = """# What is said of mistakes

Every mistake here is tried by [tests/test_bad_input.py](../tests/test_bad_input.py), most of them through
`tools/train.py` in a work dir that holds checkpoints of an earlier run. This page is written by those tests
(`python -m pytest tests/test_bad_input.py -m '' --write-docs`), and they fail where it is not what they saw.

An error is one line on stderr, after `error: `, and exit status 1; from Python the same line is an `MTKDError`. A
mistake in one's own code, or one that mmengine refuses by itself, keeps its traceback, of which the last line is shown.
"""
HEADER = '| what was wrong | what is said | what is kept |\n| --- | --- | --- |'
NOT_A_STEP = 'no step is made, earlier checkpoints stay as they were'


class Mistake(NamedTuple):
    """Something to try.

    Attributes:
        topic: The section of the page.
        wrong: What is wrong, as the page says it.
        told: Parts of the line that is said.
        hook: Options of the hook; several hooks where it is a list, none where it is ``None``.
        config: Options of ``runs.config``.
        change: Changes the whole config, or files beside it; is called in the folder of the config.
        argv: More arguments of the training tool.
        passes: An error that is not ours and passes with its traceback.
        steps: The training steps that are made before.
    """

    topic: str
    wrong: str
    told: list[str]
    hook: Any = {}
    config: dict[str, Any] = {}
    change: Callable[[Any], Any] = lambda cfg: None
    argv: tuple[str, ...] = ()
    passes: type[BaseException] | None = None
    steps: int = 0


def rows_of(page: Path) -> dict[tuple[str, str], tuple[str, str]]:
    """Topic and mistake to what is said and kept."""
    rows, topic = {}, ''
    for line in page.read_text().splitlines() if page.is_file() else []:
        if line.startswith('## '):
            topic = line[3:]
        elif line.startswith('| ') and line not in HEADER.splitlines():
            wrong, said, kept = re.split(r' \| ', line[2:-2])
            rows[topic, wrong] = said, kept
    return rows


def cell(text: str) -> str:
    """Text as code in a table."""
    fence = '``' if '`' in text else '`'
    space = ' ' if '`' in text else ''
    return f'{fence}{space}{" ".join(text.split())}{space}{fence}'.replace('|', '\\|')


@pytest.fixture(scope='module')
def table(request):
    """The page's rows; where it is to be written, what was seen replaces them in the end."""
    committed, seen = rows_of(PAGE), {}
    write = request.config.getoption('--write-docs')

    def row(topic: str, wrong: str, said: str, kept: str) -> None:
        # what other versions and machines would say otherwise
        said = re.sub(r'(?<=sha256 )[0-9a-f]{8}', '...', re.sub(r'and \d+ more', 'and N more', said))
        seen[topic, wrong] = found = (said, kept)
        if not write:
            assert committed.get((topic, wrong)) == found, 'docs/mistakes.md is not what was seen: --write-docs'

    yield row
    if write:
        rows = {key: seen.get(key, committed.get(key)) for key in KEYS}
        assert None not in rows.values(), 'run all tests of this file to write the page: -m ""'
        sections = []
        for topic in dict.fromkeys(key[0] for key in KEYS):
            lines = [f'| {key[1]} | {" | ".join(rows[key])} |' for key in KEYS if key[0] == topic]
            sections.append('\n'.join([f'## {topic}\n', HEADER, *lines]))
        PAGE.write_text(INTRODUCTION + '\n' + '\n\n'.join(sections) + '\n')


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The working directory. The layout of a dumped config, which takes longest, is not looked at."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(MMLogger, '_instance_dict', {})  # one of an earlier test writes to a stream that is closed
    monkeypatch.setattr('yapf.yapflib.yapf_api.FormatCode', lambda text, **style: (text, True))
    for each in (registry.TEACHERS, registry.LOSSES, registry.STRATEGIES, registry.REWARDS, registry.TASKS):
        each.import_from_location()
        ours = {name: cls for name, cls in each.module_dict.items() if cls.__module__.startswith('mtkd_rl.')}
        monkeypatch.setattr(each, '_module_dict', ours)  # other tests may have registered their own
    return tmp_path


@pytest.fixture(scope='module')
def earlier(tmp_path_factory):
    """The work dir of an earlier run of one epoch."""
    folder = tmp_path_factory.mktemp('earlier')
    runs.train(runs.config(folder, [runs.entry()], epochs=1, save=True))
    return folder


def train_tool():
    spec = importlib.util.spec_from_file_location('tool_train', ROOT / 'tools' / 'train.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def checkpoints(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in work.glob('*.pth')}


def hooks_of(hook: Any) -> list[dict[str, Any]]:
    if hook is None:
        return []
    return [runs.entry(**options) for options in (hook if isinstance(hook, list) else [hook])]


class Harmful:
    """Makes the file 'harm' when it is unpickled."""

    def __reduce__(self):
        return os.system, ('touch harm',)


A = runs.teacher((6, 12))
PPO = dict(type='PPOWeighting')
BAD = dict(teachers=dict(a=A | dict(checkpoint='bad.pth')))


def bad_file(kind: str) -> Callable[[Any], None]:
    """Writes bad.pth: a checkpoint of teacher a with something wrong."""

    def write(cfg: Any) -> None:
        own = MODELS.build(dict(**A['config'], _scope_='mmpretrain')).state_dict()
        contents = dict(
            foreign=dict(state_dict=dict(weight=torch.ones(3))),
            hostile=dict(state_dict=own, meta=Harmful()),
            empty=dict(meta=1),
            keys=dict(state_dict={key: value for key, value in own.items() if 'head' not in key}),
            classes=dict(state_dict=own | {key: own[key][:7] for key in ('head.fc.weight', 'head.fc.bias')}),
            tensor=torch.ones(3),
        )
        torch.save(contents.get(kind, own), 'bad.pth')
        if kind == 'truncated':
            Path('bad.pth').write_bytes(Path('bad.pth').read_bytes()[:2000])
        if kind == 'text':
            Path('bad.pth').write_text('not a checkpoint')

    return write


def network(answer: str = 'logits', **more: Any) -> dict[str, Any]:
    """Options of the hook for one teacher of one's own."""
    return dict(teachers=dict(a=dict(type='Callable', build='careless.Network', args=dict(answer=answer), **more)))


def teacher(**more: Any) -> dict[str, Any]:
    return dict(teachers=dict(a=A | more))


def ppo(**more: Any) -> dict[str, Any]:
    return dict(strategy=PPO | more)


def resumed(kind: str) -> Callable[[Any], None]:
    """Writes bad.pth of the earlier run's checkpoint."""

    def write(cfg: Any) -> None:
        whole = Path('work/epoch_1.pth')
        if kind == 'truncated':
            Path('bad.pth').write_bytes(whole.read_bytes()[:5000])
        if kind == 'hostile':
            torch.save(torch.load(whole, weights_only=False) | dict(extra=Harmful()), 'bad.pth')
        if kind == 'text':
            Path('bad.pth').write_text('not a checkpoint')
        if kind == 'all truncated':
            whole.write_bytes(whole.read_bytes()[:5000])

    return write


def setting(key: str, value: Any) -> Callable[[Any], None]:
    return lambda cfg: cfg.merge_from_dict({key: value})


POOL, FILES, ANSWERS = 'The pool', "Teachers' checkpoints", 'What a teacher answers'
LOSSES, STRATEGIES, LAYERS = 'Losses and their weights', 'Strategies and agents', 'Layers and shapes'
RESUME, DATA, CODE = 'Resuming', 'Config, data and command line', 'Files that would run code'
TRAINING = 'What goes wrong in training'
MISTAKES = [
    Mistake(POOL, '`teachers=dict()`', ['`teachers` is empty'], dict(teachers={})),
    Mistake(
        POOL, 'a hook without `teachers`', ['`teachers` is empty'], None, dict(hooks=[dict(type='mtkd_rl.MTKDHook')])
    ),
    Mistake(POOL, "`teachers='r50.pth'`", ['must be a dict of name=dict(...), it is a str'], dict(teachers='r50.pth')),
    Mistake(POOL, "`teachers=dict(a='r50.pth')`", ["'a' must be a dict(config"], dict(teachers=dict(a='r50.pth'))),
    Mistake(POOL, 'the same name twice', ["'a' twice"], dict(teachers=[A | dict(name='a'), A | dict(name='a')])),
    Mistake(POOL, "a name of `'a/b'`", ["not 'a/b'"], dict(teachers={'a/b': A})),
    Mistake(POOL, 'no `checkpoint`', ["'a'", 'no checkpoint'], dict(teachers=dict(a=dict(config=A['config'])))),
    Mistake(POOL, "`config='no/r.py'`", ["'a'", 'no/r.py', 'not there'], teacher(config='no/r.py')),
    Mistake(
        POOL,
        'a config of mmpretrain misspelt',
        ['resnet50_8xb32_in1k'],
        teacher(config='mmpretrain::resnet/resnet50_8xb32_in1.py'),
    ),
    Mistake(POOL, 'a type in the config misspelt', ['ResNot is not in'], teacher(config=dict(type='ResNot'))),
    Mistake(
        POOL, "`type='Timmm'`", ["no source 'Timmm'", 'Timm'], dict(teachers=dict(a=dict(type='Timmm', model='x')))
    ),
    Mistake(
        POOL,
        'a model that torchvision lacks',
        ["'resnet19'", 'resnet18'],
        dict(teachers=dict(a=dict(type='Torchvision', model='resnet19', weights='DEFAULT'))),
    ),
    Mistake(POOL, 'an option misspelt', ["'a'", 'checkpont', 'checkpoint'], teacher(checkpont='x')),
    Mistake(POOL, '`temperature=-1.0` of a teacher', ["'a'", 'temperature', 'above 0'], teacher(temperature=-1.0)),
    Mistake(POOL, '`mean` without `std`', ['mean and std go together'], teacher(mean=[0.0])),
    Mistake(POOL, "`channel_order='RGB'`", ["'rgb' or 'bgr'"], teacher(channel_order='RGB')),
    Mistake(POOL, '`input_size=(3,)`', ['input_size'], teacher(input_size=(3,))),
    Mistake(
        POOL,
        'a builder that returns nothing',
        ['careless.nothing returned a NoneType'],
        dict(teachers=dict(a=dict(type='Callable', build='careless.nothing'))),
    ),
    Mistake(
        POOL,
        'a builder that cannot be imported',
        ['cannot be imported', 'package.module.function'],
        dict(teachers=dict(a=dict(type='Callable', build='nobody.net'))),
    ),
    Mistake(
        POOL,
        'a builder given an argument that it does not take',
        ["'answr'", 'correct `args`'],
        dict(teachers=dict(a=dict(type='Callable', build='careless.Network', args=dict(answr=1)))),
    ),
    Mistake(POOL, 'two `MTKDHook`s', ['more than one MTKDHook'], [{}, {}]),
    Mistake(POOL, 'an option of the hook misspelt', ["no option 'logit_losses'", 'logit_loss'], dict(logit_losses={})),
    Mistake(FILES, 'not there', ["'a'", 'no/r.pth', 'not there'], teacher(checkpoint='no/r.pth')),
    Mistake(FILES, 'truncated', ["'a'", 'bad.pth', 'truncated'], BAD, change=bad_file('truncated')),
    Mistake(FILES, 'a text', ["'a'", 'bad.pth', 'no checkpoint'], BAD, change=bad_file('text')),
    Mistake(FILES, 'a tensor', ["'a'", 'bad.pth', 'holds a Tensor'], BAD, change=bad_file('tensor')),
    Mistake(FILES, 'without parameters', ["'a'", 'bad.pth', 'no state_dict'], BAD, change=bad_file('empty')),
    Mistake(
        FILES,
        'of another task or architecture',
        ["'a'", 'bad.pth', 'another architecture'],
        BAD,
        change=bad_file('foreign'),
    ),
    Mistake(
        FILES,
        'without the head',
        ["'a'", 'bad.pth', '2 missing from the file (head.fc.weight, head.fc.bias)'],
        BAD,
        change=bad_file('keys'),
    ),
    Mistake(
        FILES,
        'of another number of classes',
        ["'a'", 'bad.pth', '7 classes in the file, 10 in the model'],
        BAD,
        change=bad_file('classes'),
    ),
    Mistake(FILES, "`checkpoint='s3://bucket/r.pth'`", ['download it'], teacher(checkpoint='s3://bucket/r.pth')),
    Mistake(
        ANSWERS,
        'other classes than the student',
        ['teacher a', '(20, 7)', '10 classes'],
        teacher(config=runs.classifier((6, 12), classes=7)),
    ),
    Mistake(ANSWERS, 'a dict', ['teacher a', 'no logits (B, C) but dict'], network('dict')),
    Mistake(ANSWERS, 'logits and something else', ['teacher a', 'tuple of (20, 10), (20, 1, 8, 8)'], network('tuple')),
    Mistake(ANSWERS, 'labels', ['teacher a', 'but (20,)'], network('numbers')),
    Mistake(ANSWERS, 'a number', ['teacher a', 'but float'], network('value')),
    Mistake(ANSWERS, 'fewer rows than pictures', ['teacher a', '(7, 10) for a batch of 20'], network('half')),
    Mistake(
        ANSWERS, 'nothing, but raises', ['teacher a', 'it cannot take the pictures (20, 1, 8, 8)'], network('refuse')
    ),
    Mistake(
        ANSWERS,
        'nothing, but raises in the third step',
        ['teacher a', 'the cable was pulled'],
        network('late'),
        steps=2,
    ),
    Mistake(
        ANSWERS, 'nothing, for want of memory', ['CUDA out of memory'], network('memory'), passes=torch.OutOfMemoryError
    ),
    Mistake(LOSSES, "`logit_loss=dict(type='KDD')`", ['logit_loss', "'KDD'", 'KD'], dict(logit_loss=dict(type='KDD'))),
    Mistake(LOSSES, "`feature_loss=dict(type='MSEE')`", ['feature_loss', 'MSE'], dict(feature_loss=dict(type='MSEE'))),
    Mistake(LOSSES, "`logit_loss=dict(type='MSE')`", ["'MSE' is not a logit loss"], dict(logit_loss=dict(type='MSE'))),
    Mistake(
        LOSSES, "`logit_loss=dict(type='KD', tau=2)`", ['tau', 'standardise'], dict(logit_loss=dict(type='KD', tau=2))
    ),
    Mistake(LOSSES, '`logit_loss=1`', ['logit_loss', 'dict(type='], dict(logit_loss=1)),
    Mistake(LOSSES, 'both losses `None`', ['both None'], dict(logit_loss=None, feature_loss=None)),
    Mistake(LOSSES, '`logit_weight=-1`', ['logit_weight is -1', 'at least 0'], dict(logit_weight=-1)),
    Mistake(LOSSES, "`feature_weight='1'`", ["feature_weight is '1'"], dict(feature_weight='1')),
    Mistake(LOSSES, '`temperature=0`', ['MTKDHook: temperature is 0', 'above 0'], dict(temperature=0)),
    Mistake(LOSSES, '`adapter_lr=nan`', ['adapter_lr is nan', 'finite'], dict(adapter_lr=float('nan'))),
    Mistake(LOSSES, '`begin=5, end=2`', ['end is 2 and begin 5'], dict(begin=5, end=2)),
    Mistake(
        LOSSES,
        "a loss of one's own that is reduced",
        ['loss Reduced: it returned ()', 'one value a sample'],
        dict(logit_loss=dict(type='careless.Reduced')),
    ),
    Mistake(
        STRATEGIES,
        "`strategy=dict(type='PPOWeightin')`",
        ["'PPOWeightin'", 'PPOWeighting'],
        dict(strategy=dict(type='PPOWeightin')),
    ),
    Mistake(
        STRATEGIES,
        '`AverageWeighting` with `weights`',
        ['strategy', 'weights'],
        dict(strategy=dict(type='AverageWeighting', weights=1)),
    ),
    Mistake(
        STRATEGIES,
        'a weight of a teacher that is not there',
        ["there is no teacher 'r50'", 'a, b'],
        dict(strategy=dict(type='FixedWeighting', weights=dict(r50=1.0))),
    ),
    Mistake(
        STRATEGIES,
        'a weight that is no number',
        ["weight of a is 'x'"],
        teacher() | dict(strategy=dict(type='FixedWeighting', weights=dict(a='x'))),
    ),
    Mistake(STRATEGIES, '`rollout=1`', ['PPOWeighting: rollout is 1', 'at least 2'], ppo(rollout=1)),
    Mistake(STRATEGIES, "`learning_rate='x'`", ["learning_rate is 'x'", 'finite number'], ppo(learning_rate='x')),
    Mistake(STRATEGIES, '`lerning_rate=1e-3`', ["no option 'lerning_rate'", 'learning_rate'], ppo(lerning_rate=1e-3)),
    Mistake(STRATEGIES, '`strength=(-3, -1)`', ['-3, -1', '0 <= low < high'], ppo(strength=(-3, -1))),
    Mistake(STRATEGIES, '`strength=2.0`', ['strength is 2.0', '0 <= low < high'], ppo(strength=2.0)),
    Mistake(STRATEGIES, "`observation='compct'`", ["'compct'", 'compact'], ppo(observation='compct')),
    Mistake(STRATEGIES, "`reward=dict(type='Credit')`", ["'Credit'", 'CreditReward'], ppo(reward=dict(type='Credit'))),
    Mistake(
        STRATEGIES,
        'an argument that the reward lacks',
        ['effekt', 'effect'],
        ppo(reward=dict(type='CreditReward', effekt=1)),
    ),
    Mistake(STRATEGIES, '`frozen=True` without an agent', ['frozen=True', 'agent='], ppo(frozen=True)),
    Mistake(STRATEGIES, 'an agent file that is not there', ['no/agent.pth', 'not there'], ppo(agent='no/agent.pth')),
    Mistake(
        STRATEGIES,
        'an agent file that is a teacher',
        ['there is no agent in it'],
        ppo(agent='bad.pth'),
        change=bad_file('whole'),
    ),
    Mistake(
        STRATEGIES,
        'an agent of another observation',
        ['observation compact, this run paper'],
        ppo(agent='work/epoch_1.pth', observation='paper'),
    ),
    Mistake(
        STRATEGIES,
        "weights of another shape, of a strategy of one's own",
        ['decide returned (20, 5), (20, 5), (20,)', '(20, 2)'],
        dict(strategy=dict(type='careless.WrongShape')),
    ),
    Mistake(
        STRATEGIES,
        'a tensor instead of a decision',
        ['decide returned Tensor', 'everywhere'],
        dict(strategy=dict(type='careless.BareTensor')),
    ),
    Mistake(
        STRATEGIES,
        'a class that is no strategy',
        ['strategy NoStrategy: it has no wants_credit, prepare, decide', 'Formula'],
        dict(strategy=dict(type='careless.NoStrategy')),
    ),
    Mistake(
        STRATEGIES,
        "a reward of one's own that is reduced",
        ['reward ReducedReward: it returned ()', 'one value a sample, (20,)'],
        dict(strategy=dict(type='PPOWeighting', reward=dict(type='careless.ReducedReward'))),
    ),
    Mistake(
        STRATEGIES,
        "a strategy of one's own that raises",
        ["no attribute 'no_such_field'"],
        dict(strategy=dict(type='careless.Raising')),
        passes=AttributeError,
    ),
    Mistake(
        LAYERS,
        "`student_layer='backbone.stage.1'`",
        ['student: there is no layer', 'backbone.stages.1'],
        dict(student_layer='backbone.stage.1'),
    ),
    Mistake(
        LAYERS,
        "`layer='backbone.stage'` of a teacher",
        ['teacher a: there is no layer', 'backbone.stages'],
        teacher(layer='backbone.stage'),
    ),
    Mistake(LAYERS, 'a layer without an output', ['teacher a', 'gave no tensor'], teacher(layer='data_preprocessor')),
    Mistake(
        LAYERS,
        'a teacher that has no layer',
        ['teacher a', 'gave no tensor'],
        dict(teachers=dict(a=dict(type='Callable', build='careless.Bare'))),
    ),
    Mistake(
        LAYERS,
        "`activation_checkpointing` between the student's feature and its logits",
        ['activation_checkpointing covers layers', 'student_layer', 'feature_loss=None'],
        config=dict(student=runs.classifier(dropout=0.1), activation_checkpointing=['head.layers.0']),
    ),
    Mistake(LAYERS, 'a layer that never runs', ['teacher a', 'did not run'], network(layer='unused')),
    Mistake(
        LAYERS,
        'a student that regresses',
        ['of no task', 'classifier of mmpretrain'],
        config=dict(student=runs.classifier() | dict(head=dict(type='RegressionHead'))),
    ),
    Mistake(RESUME, 'a file that is not there', ['no/epoch_3.pth'], argv=('--resume', 'no/epoch_3.pth')),
    Mistake(
        RESUME, 'a truncated file', ['bad.pth', 'truncated'], change=resumed('truncated'), argv=('--resume', 'bad.pth')
    ),
    Mistake(RESUME, 'a text', ['bad.pth', 'no checkpoint'], change=resumed('text'), argv=('--resume', 'bad.pth')),
    Mistake(
        RESUME,
        'every checkpoint of the work dir truncated',
        ['none of its checkpoints is whole'],
        change=resumed('all truncated'),
        argv=('--resume',),
    ),
    Mistake(
        RESUME,
        'more teachers',
        ["'c' is in the pool and was not saved", 'allow_other_teachers'],
        dict(teachers=runs.two_teachers() | dict(c=A)),
        argv=('--resume',),
    ),
    Mistake(
        RESUME,
        'fewer teachers',
        ["'b' was saved and is not in the pool", 'allow_other_teachers'],
        teacher(),
        argv=('--resume',),
    ),
    Mistake(
        RESUME,
        'a teacher with other weights',
        ["'a' has other weights", 'allow_other_teachers'],
        dict(teachers=runs.two_teachers() | dict(a=runs.teacher((7, 12)))),
        argv=('--resume',),
    ),
    Mistake(
        RESUME,
        'another `student_layer`',
        ['another feature_loss, student_layer or layer'],
        dict(student_layer='backbone.stages.0'),
        argv=('--resume',),
    ),
    Mistake(DATA, 'a config that is not there', ['there is no file'], argv=('confg.json',)),
    Mistake(
        DATA,
        '`train_dataloader=None`',
        ['no train_dataloader', 'train_cfg'],
        change=lambda cfg: cfg.pop('train_dataloader'),
    ),
    Mistake(DATA, '`val_cfg` alone', ['no val_dataloader and no val_evaluator'], config=dict(val_cfg=dict())),
    Mistake(
        DATA,
        'a data root that is not there',
        ['no/where', 'MTKD_DATA_ROOT'],
        change=setting('train_dataloader.dataset.data_root', 'no/where'),
    ),
    Mistake(
        DATA,
        'an annotation file that is not there',
        ['no/train.json', 'no such file', 'train_dataloader.dataset.ann_file'],
        change=setting('train_dataloader.dataset', dict(type='CocoDataset', data_root='.', ann_file='no/train.json')),
    ),
    Mistake(
        DATA,
        'an annotation file of the metric that is not there',
        ['no/val.json', 'no such file', 'val_evaluator.ann_file'],
        change=lambda cfg: cfg.update(
            val_dataloader=cfg.train_dataloader,
            val_cfg=dict(),
            val_evaluator=dict(type='CocoMetric', ann_file='no/val.json'),
        ),
    ),
    Mistake(
        DATA,
        "the student's type misspelt",
        ['ImageClasifier is not in'],
        change=setting('model.type', 'ImageClasifier'),
    ),
    Mistake(
        DATA,
        'pictures without labels',
        ["no attribute 'gt_label'"],
        change=setting('train_dataloader.dataset.type', 'careless.NoLabels'),
        passes=AttributeError,
    ),
    Mistake(
        DATA,
        'an optimizer for each part of the student',
        ['OptimWrapperDict: several optimizers are not supported', 'one optim_wrapper'],
        change=setting('optim_wrapper.constructor', 'careless.TwoWrappers'),
    ),
    Mistake(
        DATA,
        'a data set without samples',
        ['train_dataloader: its data set has no samples', 'ann_file'],
        change=setting('train_dataloader.dataset.limit', 0),
    ),
    Mistake(
        DATA,
        "`runner_type='FlexibleRunner'`, as for FSDP and DeepSpeed",
        ['FlexibleRunner: sharded training (FSDP, DeepSpeed) is not supported', '--launcher pytorch'],
        change=lambda cfg: cfg.update(runner_type='FlexibleRunner', env_cfg={}),
    ),
    Mistake(
        DATA,
        'a work dir that cannot be made',
        ['config.json/below', '--work-dir'],
        argv=('--work-dir', 'config.json/below'),
    ),
    Mistake(
        DATA,
        '`--cfg-options custom_hooks.teachers=1`',
        ['--cfg-options', 'by its number'],
        argv=('--cfg-options', 'custom_hooks.teachers=1'),
    ),
    Mistake(DATA, '`--auto-scale-lr` without a planned batch size', ['base_batch_size'], argv=('--auto-scale-lr',)),
    Mistake(CODE, "a teacher's checkpoint", ['refused', 'trust=True'], BAD, change=bad_file('hostile')),
    Mistake(CODE, 'an agent', ['refused'], ppo(agent='bad.pth'), change=bad_file('hostile')),
    Mistake(
        CODE, 'what `--resume` names', ['refused', '--trust'], change=resumed('hostile'), argv=('--resume', 'bad.pth')
    ),
    Mistake(
        CODE,
        'what `load_from` names',
        ['refused', '--trust'],
        change=resumed('hostile'),
        argv=('--cfg-options', 'load_from=bad.pth'),
    ),
    Mistake(
        CODE,
        'initial weights of the student',
        ['init_cfg of the model', 'refused', '--trust'],
        config=dict(student=runs.classifier() | dict(init_cfg=dict(type='Pretrained', checkpoint='bad.pth'))),
        change=resumed('hostile'),
    ),
]


@pytest.mark.parametrize('mistake', MISTAKES, ids=lambda mistake: f'{mistake.topic}: {mistake.wrong}')
def test_a_mistake_is_told_in_one_line(earlier, capfd, table, mistake):
    work = Path('work')
    shutil.copytree(earlier, work, ignore=shutil.ignore_patterns('2*'))
    (work / 'last_checkpoint').write_text('work/epoch_1.pth')
    steps = []
    more = dict(epochs=2) | mistake.config
    hooks = more.pop('hooks', hooks_of(mistake.hook))
    cfg = runs.config(work, [*hooks, runs.watching(after_train_iter=steps.append)], **more)
    mistake.change(cfg)
    cfg.dump('config.json')
    before = checkpoints(work)
    config = [] if mistake.argv[:1] == ('confg.json',) else ['config.json']
    if mistake.passes is None:
        assert train_tool().main([*config, *mistake.argv]) == 1
        told = capfd.readouterr().err
        assert 'Traceback' not in told
        line = told.splitlines()[-1]
        assert line.startswith('error: ')
        assert 'class `' not in line  # the words that mmengine's registry puts before an error
        said = cell(line.removeprefix('error: '))
    else:
        with pytest.raises(mistake.passes) as raised:
            train_tool().main([*config, *mistake.argv])
        line = str(raised.value)
        said = f'traceback, {cell(f"{mistake.passes.__name__}: {line}")}'
    for part in mistake.told:
        assert part in line
    assert len(steps) == mistake.steps
    assert checkpoints(work) == before
    assert not Path('harm').exists()
    made = f'stops after {mistake.steps} steps, earlier checkpoints stay as they were'
    table(mistake.topic, mistake.wrong, said, made if mistake.steps else NOT_A_STEP)


def test_a_mistake_loses_no_checkpoint(earlier, folder):
    """What was trained before is still there, and a corrected config goes on from it."""
    shutil.copytree(earlier, 'work', ignore=shutil.ignore_patterns('2*'))
    Path('work/last_checkpoint').write_text(str(folder / 'work/epoch_1.pth'))
    with pytest.raises(MTKDError, match='other teachers'):
        runs.train(runs.config(folder / 'work', [runs.entry(**teacher())], epochs=2, resume=True))
    assert runs.train(runs.config(folder / 'work', [runs.entry()], epochs=2, resume=True)).epoch == 2


def test_a_mistake_in_python_is_the_same_error(folder):
    with pytest.raises(MTKDError, match=r"there is no layer 'nowhere'"):
        Runner.from_cfg(runs.config(folder, [runs.entry(student_layer='nowhere')])).train()


# ---- what goes wrong in training, and the student goes on


def logged(folder: Path) -> list[str]:
    """The warnings of a run's log, without their date."""
    lines = [line for path in folder.glob('*/*.log') for line in path.read_text().splitlines()]
    return [line.split(' - WARNING - ', 1)[1] for line in lines if ' - WARNING - mtkd_rl: ' in line]


def finite(values: Any) -> bool:
    return all(torch.isfinite(value).all() for value in values)


def test_a_strategy_that_decides_nothing_finite(folder, table):
    """The student is the one without the hook, bit by bit."""
    entry = runs.entry(strategy=dict(type='careless.NotFinite'))
    alone, left = (
        runs.weights_of(runs.train(runs.config(folder / str(len(hooks)), hooks, epochs=1))) for hooks in ([], [entry])
    )
    assert runs.same(alone, left)
    log = [line for line in logged(folder / '1') if 'not finite on' in line]
    table(TRAINING, 'a strategy that decides nothing finite', cell(log[-1]), 'the student is the one without the hook')


@pytest.mark.parametrize('observation', ['compact', 'paper'])
@pytest.mark.parametrize('reward', ['CreditReward', 'CombinedReward', 'PaperReward'])
@pytest.mark.parametrize('broken', [[2, 3, 6], range(1, 99)], ids=['at times', 'always'])
def test_a_teacher_that_is_not_finite(folder, table, observation, reward, broken):
    """It is left out of the batch and named when the counts are read; student and agent stay finite."""
    seen = []
    strategy = dict(type='PPOWeighting', rollout=40, batch_size=20, observation=observation, reward=dict(type=reward))
    # its first call is the one that finds its feature
    teachers = dict(a=A, bad=runs.counting(broken=broken))
    hooks = [runs.entry(teachers=teachers, strategy=strategy), runs.record_losses(seen)]
    runner = runs.train(runs.config(folder, hooks, epochs=3))
    times = sum(1 for call in range(1, 10) if call in broken)
    assert json.loads((folder / 'distillation.json').read_text())['left_out'] == dict(a=0, bad=times)
    log = [line for line in logged(folder) if 'left out of' in line]
    assert log
    assert all('teacher bad was left out of' in line for line in log)
    assert len(seen) == 9
    assert finite(value for losses in seen for value in losses.values())
    assert finite(runs.weights_of(runner).values())
    assert finite(runs.tensors(runs.hook_of(runner).strategy.state_dict()))
    how = 'at times' if times < 9 else 'always'
    table(TRAINING, f'a teacher that is {how} not finite', cell(log[-1]), 'student and agent stay finite and go on')


def test_nobody_finite_is_training_alone(folder, table):
    """The student is the one without the hook, bit by bit."""
    teachers = {name: runs.counting(broken=range(99)) for name in 'ab'}
    alone, left = (
        runs.weights_of(runs.train(runs.config(folder / str(len(hooks)), hooks)))
        for hooks in ([], [runs.entry(teachers=teachers)])
    )
    assert runs.same(alone, left)
    said = [line for line in logged(folder / '1') if 'left out of' in line]
    table(
        TRAINING, 'a pool of which nobody is finite', cell(said[0]), 'the student is bitwise the one without the hook'
    )


def test_a_feature_that_cannot_learn_is_told(folder, table):
    """The logits of a frozen backbone's head can still be taught, so it is a warning."""

    def freeze(runner):
        runner.model.backbone.requires_grad_(False)

    hooks = [runs.watching(before_train=freeze), runs.entry(strategy=dict(type='AverageWeighting'))]
    runner = runs.train(runs.config(folder, hooks, epochs=1))
    (line,) = [line for line in logged(folder) if 'has no gradient' in line]
    assert runner.epoch == 1
    table(TRAINING, 'a student whose backbone is frozen', cell(line), 'the run goes on, the head is taught')


def test_distillation_that_never_begins_is_told(folder, table):
    runner = runs.train(runs.config(folder, [runs.entry(begin=9)], epochs=1))
    (line,) = [line for line in logged(folder) if 'no iteration was distilled' in line]
    assert runner.epoch == 1
    table(TRAINING, '`begin=9` in a run of one epoch', cell(line), 'the run goes on, without distillation')


def test_interrupted_from_the_keyboard(folder, table):
    """The checkpoint of the last whole epoch is there, and the run goes on from it."""

    def interrupt(runner):
        if runner.iter == 4:
            raise KeyboardInterrupt

    hooks = [runs.entry(), runs.watching(after_train_iter=interrupt)]
    with pytest.raises(KeyboardInterrupt):
        runs.train(runs.config(folder, hooks, epochs=2, save=True))
    assert [path.name for path in folder.glob('*.pth')] == ['epoch_1.pth']
    assert runs.train(runs.config(folder, [runs.entry()], epochs=2, save=True, resume=True)).iter == 6
    table(
        TRAINING,
        'Ctrl-C in the second epoch',
        'traceback, `KeyboardInterrupt`',
        'the first epoch, from which it resumes',
    )


def test_a_checkpoint_without_our_hook_is_resumed(folder, table):
    runs.train(runs.config(folder, epochs=1, save=True))
    runner = runs.train(runs.config(folder, [runs.entry()], epochs=2, resume=True))
    (line,) = {line for line in logged(folder) if 'without MTKDHook' in line}
    assert runner.iter == 6
    table(TRAINING, 'resuming a run that had no hook', cell(line), 'the student goes on')


def test_other_teachers_that_are_allowed(folder, table):
    runs.train(runs.config(folder, [runs.entry()], epochs=1, save=True))
    entry = runs.entry(**teacher(), allow_other_teachers=True)
    runner = runs.train(runs.config(folder, [entry], epochs=2, resume=True))
    (line,) = {line for line in logged(folder) if 'other teachers' in line}
    assert runner.iter == 6
    table(
        TRAINING,
        'fewer teachers with `allow_other_teachers=True`',
        cell(line),
        'the student goes on, adapters and agent start anew',
    )


ENDURED = [
    'a teacher that is at times not finite',
    'a teacher that is always not finite',
    'a pool of which nobody is finite',
    'a strategy that decides nothing finite',
    'a student whose backbone is frozen',
    '`begin=9` in a run of one epoch',
    'Ctrl-C in the second epoch',
    'resuming a run that had no hook',
    'fewer teachers with `allow_other_teachers=True`',
]
KEYS = [*((mistake.topic, mistake.wrong) for mistake in MISTAKES), *((TRAINING, wrong) for wrong in ENDURED)]


def test_the_page_has_these_mistakes_and_no_others(request):
    if request.config.getoption('--write-docs'):
        pytest.skip('it is being written')
    assert len(KEYS) == len(set(KEYS)) >= 40
    assert list(rows_of(PAGE)) == KEYS


# ---- what is unusual but right


@pytest.mark.parametrize('feature', ['MSE', 'PKD', 'ChannelWiseKL', 'Cosine', None])
def test_a_batch_of_one(folder, feature):
    entry = runs.entry(
        feature_loss=feature and dict(type=feature),
        logit_loss=dict(type='DIST'),
        strategy=dict(type='PPOWeighting', rollout=3, batch_size=2),
    )
    runner = runs.train(runs.config(folder, [entry], epochs=1, batch=1, limit=7))
    assert finite(runs.weights_of(runner).values())
    assert finite(runs.hook_of(runner).strategy.agent.policy_state()['parameters'].values())


@pytest.mark.parametrize(
    'options',
    [
        dict(teachers=dict(a=dict(config=runs.classifier(), checkpoint='random'))),
        network('whole'),
        dict(teachers=dict(a=A | dict(layer='neck')), student_layer='neck'),
    ],
    ids=['the architecture of the student', 'whole numbers', 'features of one pixel'],
)
def test_an_odd_teacher_teaches(folder, options):
    seen = []
    runner = runs.train(runs.config(folder, [runs.entry(**options), runs.record_losses(seen)], epochs=1))
    assert finite(value for losses in seen for value in losses.values())
    assert all(losses['loss_kd_logit'] > 0 for losses in seen)
    assert finite(runs.weights_of(runner).values())
