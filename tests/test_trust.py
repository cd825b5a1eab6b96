"""Hostile files by every way a run may load one: nothing runs, one line says so, and the same file loads once trusted.

That it does is half of each test: it shows that the way is one by which code would run.
"""

import importlib.util
import json
import os
import zipfile
from pathlib import Path

import pytest
import runs
import torch
from mmengine.runner import Runner
from mmengine.runner.checkpoint import load_from_http

from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers import build_pool
from mtkd_rl.teachers.contract import InputContract
from mtkd_rl.teachers.restricted import restricted
from mtkd_rl.trust import check_before_loading, check_file

TOOLS = Path(__file__).parents[1] / 'tools'


class Hostile:
    """Makes the file 'harm' in the working directory when it is unpickled."""

    def __reduce__(self):
        return os.system, ('touch harm',)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MMENGINE_HOME', str(tmp_path))
    return tmp_path


@pytest.fixture(scope='module')
def saved(tmp_path_factory):
    """A checkpoint of a real run, and what it holds."""
    folder = tmp_path_factory.mktemp('saved')
    runs.train(runs.config(folder, epochs=1, save=True))
    return torch.load(folder / 'epoch_1.pth', weights_only=False)


@pytest.fixture
def evil(folder, saved):
    """The same checkpoint with code in it."""
    torch.save(saved | dict(extra=Hostile()), folder / 'evil.pth')
    return folder / 'evil.pth'


def tool(name):
    spec = importlib.util.spec_from_file_location(f'tool_{name}', TOOLS / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def harmed():
    """Whether a hostile file ran; tidies up."""
    ran = Path('harm').exists()
    Path('harm').unlink(missing_ok=True)
    return ran


def bare(cfg, trust=False):
    """A Runner as anybody's script makes it, with files guarded as the hook does it."""
    runner = Runner.from_cfg(cfg)
    check_before_loading(runner, trust)
    return runner


def student(init_cfg):
    model = runs.classifier()
    return model | dict(head=model['head'] | dict(init_cfg=init_cfg))


PRETRAINED = dict(type='Pretrained', checkpoint='evil.pth')
WAYS = {
    'load_from': dict(load_from='evil.pth'),
    'resume': dict(load_from='evil.pth', resume=True),
    'last_checkpoint': dict(resume=True),
    'of the model': dict(student=runs.classifier() | dict(init_cfg=PRETRAINED)),
    'pretrained': dict(student=runs.classifier() | dict(pretrained='evil.pth')),
    'of the head': dict(student=student(PRETRAINED)),
    'with a prefix': dict(student=student(PRETRAINED | dict(prefix='head.'))),
    'in a list': dict(student=student([dict(type='Kaiming', layer='Linear'), PRETRAINED])),
    'for a part': dict(student=student(dict(type='Kaiming', override=dict(name='fc', **PRETRAINED)))),
}


@pytest.mark.parametrize('trust', [False, True])
@pytest.mark.parametrize('way', WAYS)
def test_of_what_a_runner_loads(folder, evil, way, trust):
    (folder / 'work').mkdir()
    (folder / 'work/last_checkpoint').write_text(str(evil))
    runner = bare(runs.config(folder / 'work', epochs=2, **WAYS[way]), trust)
    if trust:
        runner.train()
        assert harmed()
    else:
        with pytest.raises(MTKDError, match=r'evil\.pth. is refused: it calls \w+\.system .* trust=True') as told:
            runner.train()
        assert '\n' not in str(told.value)
        assert runner.iter == 0
        assert not harmed()


@pytest.mark.parametrize('trust', [False, True])
@pytest.mark.parametrize('way', WAYS)
def test_of_what_the_training_tool_loads(folder, evil, capfd, way, trust):
    (folder / 'work').mkdir()
    evil.rename('work/epoch_1.pth')
    Path('evil.pth').symlink_to('work/epoch_1.pth')
    (folder / 'work/last_checkpoint').write_text(str(folder / 'work/epoch_1.pth'))
    runs.config(folder / 'work', epochs=2, **WAYS[way]).dump('config.py')
    assert tool('train')(['config.py', *(['--trust'] if trust else [])]) == (0 if trust else 1)
    assert harmed() == trust
    if not trust:
        assert '--trust' in capfd.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize('trust', [False, True])
@pytest.mark.parametrize('way', ['load_from', 'last_checkpoint', 'of the head'])
def test_of_what_a_runner_with_our_hook_loads(folder, evil, way, trust):
    (folder / 'work').mkdir()
    evil.rename('work/epoch_1.pth')
    Path('evil.pth').symlink_to('work/epoch_1.pth')
    (folder / 'work/last_checkpoint').write_text(str(folder / 'work/epoch_1.pth'))
    runner = Runner.from_cfg(runs.config(folder / 'work', [runs.entry(trust=trust)], epochs=2, **WAYS[way]))
    if trust:
        runner.train()
    else:
        with pytest.raises(MTKDError, match='refused'):
            runner.train()
    assert harmed() == trust


def test_the_tools_word_goes_before_the_hooks(folder, evil):
    runner = bare(runs.config(folder / 'work', load_from='evil.pth', epochs=1), trust=True)
    check_before_loading(runner, trust=False)
    runner.train()
    assert harmed()


# ---- what is not a local file


def test_a_url_is_read_unrestricted_by_mmengine_and_restricted_by_us(folder, evil, server):
    evil.rename('site/evil.pth')
    with pytest.raises(MTKDError, match=r'load_from: .*evil\.pth. is refused'):
        bare(runs.config(folder / 'work', load_from=f'{server}/evil.pth')).train()
    assert not harmed()
    load_from_http(f'{server}/evil.pth')
    assert harmed()


def test_a_file_that_we_and_mmengine_would_read_differently(folder, saved, evil, server):
    """To us an old checkpoint of PyTorch, to torch.hub a zip archive of a hostile one: so the local copy is loaded."""
    torch.save(saved, 'site/two.pth', _use_new_zipfile_serialization=False)
    with zipfile.ZipFile('site/two.pth', 'a') as archive:
        archive.write('evil.pth')
    bare(runs.config(folder / 'work', load_from=f'{server}/two.pth', epochs=1)).train()
    assert not harmed()
    load_from_http(f'{server}/two.pth')
    assert harmed()


def test_a_name_of_a_zoo(folder, evil, server):
    evil.rename('site/evil.pth')
    Path('open_mmlab.json').write_text(json.dumps(dict(evil=f'{server}/evil.pth')))
    cfg = runs.config(folder / 'work', student=student(PRETRAINED | dict(checkpoint='open-mmlab://evil')))
    with pytest.raises(MTKDError, match=r'init_cfg of head: .*evil\.pth. is refused'):
        bare(cfg).train()
    assert not harmed()


@pytest.mark.parametrize(
    ('name', 'told'),
    [
        ('mmcls://mobilenet_v2', 'download it and give its path'),
        ('s3://bucket/net.pth', 'download it and give its path'),
        ('torchvision://resnet51', 'no such model; did you mean: .*resnet50'),
        ('nothing.pth', 'is not there'),
    ],
)
def test_what_cannot_be_read_first_is_refused(name, told):
    with pytest.raises(MTKDError, match=told):
        check_file(name)


# ---- honest files are loaded as ever


def test_an_honest_run_is_the_same_with_files_guarded(folder, saved):
    torch.save(saved, 'good.pth')
    student_cfg = student(PRETRAINED | dict(checkpoint='good.pth', prefix='head.'))
    ends = []
    for name, build in dict(plain=Runner.from_cfg, guarded=bare).items():
        runner = build(runs.config(folder / name, student=student_cfg, epochs=1))
        runner.train()
        ends.append(runs.weights_of(runner))
    assert runs.same(*ends)


def test_honest_initial_weights_from_a_url(folder, saved, server):
    torch.save(saved, 'site/good.pth')
    init_cfg = dict(type='Pretrained', checkpoint=f'{server}/good.pth', prefix='head.')
    seen = []
    hooks = [runs.watching(before_train=lambda runner: seen.append(runs.weights_of(runner)))]
    bare(runs.config(folder / 'work', hooks, student=student(init_cfg), epochs=1)).train()
    ours = {name: value for name, value in seen[0].items() if name.startswith('head.')}
    assert len(ours) == 2
    assert runs.same(ours, {name: saved['state_dict'][name] for name in ours})


def test_initial_weights_are_not_asked_for_by_a_test(folder, saved):
    """As with mmengine: whoever tests a checkpoint need not have what training began with."""
    torch.save(saved, 'good.pth')
    runner = bare(runs.config(folder, student=student(PRETRAINED), val=True, load_from='good.pth'))
    assert 'accuracy/top1' in runner.test()


# ---- models that load files while they are built

NET = 'test_resnet'
MODEL = dict(type='TIMMBackbone', model_name=NET, checkpoint_path='evil.pth', features_only=False)


def timm_model(trust, **entry):
    source = InputContract(mean=(0.0,), std=(1.0,), channels=3)
    return build_pool(dict(a=dict(**entry, trust=trust)), temperature=4.0, source=source)


@pytest.fixture
def evil_timm(folder):
    """Weights of a model of timm, with code in the file."""
    import timm

    torch.save(dict(state_dict=timm.create_model(NET).state_dict(), extra=Hostile()), folder / 'evil.pth')


@pytest.mark.parametrize(
    'entry',
    [
        dict(type='Timm', model=NET, pretrained=True, pretrained_cfg_overlay=dict(file='evil.pth')),
        dict(type='Timm', model=NET, checkpoint_path='evil.pth', checkpoint='random'),
        dict(type='Torchvision', model='resnet18', weights='IMAGENET1K_V1'),
        dict(
            config=dict(type='ImageClassifier', backbone=MODEL, head=dict(type='ClsHead')),
            checkpoint='random',
        ),
    ],
    ids=['timm file', 'timm checkpoint', 'torchvision cache', 'timm of mmpretrain'],
)
def test_a_teacher_that_loads_a_file_by_itself(folder, evil_timm, monkeypatch, entry):
    """Also where the reader of the user's environment is set to no restriction."""
    monkeypatch.setenv('TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD', '1')
    monkeypatch.setattr(torch.hub, '_hub_dir', str(folder))
    (folder / 'checkpoints').mkdir()
    (folder / 'checkpoints/resnet18-f37072fd.pth').write_bytes((folder / 'evil.pth').read_bytes())
    with pytest.raises(MTKDError, match=r"teacher 'a': .*refused: it calls \w+\.system .*; name the file as `checkp"):
        timm_model(False, **entry)
    assert not harmed()
    assert os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] == '1'
    assert 'TORCH_FORCE_WEIGHTS_ONLY_LOAD' not in os.environ


def test_the_same_file_as_checkpoint_and_trusted(evil_timm):
    with pytest.raises(MTKDError, match=r"teacher 'a': .*refused: .* put trust=True in the teacher's entry"):
        timm_model(False, type='Timm', model=NET, checkpoint='evil.pth')
    assert not harmed()
    timm_model(True, type='Timm', model=NET, checkpoint='evil.pth')
    assert harmed()


def test_a_student_that_loads_a_file_by_itself(folder, evil_timm, capfd):
    head = dict(type='LinearClsHead', num_classes=10, in_channels=64)
    model = dict(type='ImageClassifier', backbone=MODEL, head=head)
    runs.config(folder / 'work', student=model).dump('config.py')
    assert tool('train')(['config.py']) == 1
    line = capfd.readouterr().err.splitlines()[-1]
    assert line.startswith('error: a file that it loads is refused: it calls posix.system')
    assert line.endswith('pass --trust')
    assert not harmed()


def test_what_libraries_load_within_is_restricted_whatever_they_ask_for(evil):
    with pytest.raises(MTKDError, match='refused: it calls'), restricted('do that'):
        torch.load(evil, weights_only=False)
    assert not harmed()
    torch.load(evil, weights_only=False)
    assert harmed()


def test_other_errors_within_pass():
    with pytest.raises(ZeroDivisionError), restricted(''):
        1 / 0  # noqa: B018


# ---- the agent


def test_an_agent_file(folder, evil):
    entry = runs.entry(strategy=dict(type='PPOWeighting', agent='evil.pth'))
    with pytest.raises(MTKDError, match=r'evil\.pth. is refused'):
        runs.train(runs.config(folder / 'work', [entry], epochs=1))
    assert not harmed()
