import importlib.util
import json
import os
import pickle
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.registry import DATASETS, HOOKS
from mmpretrain.structures import DataSample
from torch.utils.data import Dataset

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError

ROOT = Path(__file__).parents[1]
CONFIG = """
custom_imports = dict(imports=['test_tools'])
default_scope = 'mmpretrain'
randomness = dict(seed=0)
model = dict(
    type='ImageClassifier',
    data_preprocessor=dict(num_classes=2, mean=[127.5], std=[127.5]),
    backbone=dict(type='LeNet5'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=2, in_channels=120, topk=(1,)))
loader = dict(batch_size=4, num_workers=0, dataset=dict(type='StripesOfTestTools'))
train_dataloader = dict(**loader, sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(**loader, sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = test_evaluator = dict(type='Accuracy', topk=(1,))
train_cfg = dict(by_epoch=True, max_epochs=2)
val_cfg = test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01, momentum=0.9))
auto_scale_lr = dict(base_batch_size=16)
"""


@DATASETS.register_module(force=True)
class StripesOfTestTools(Dataset):
    """Twelve noisy pictures of 32 by 32, horizontal stripes against vertical ones."""

    metainfo = dict(classes=('across', 'down'))

    def __init__(self, data_root='', download=False):
        generator = torch.Generator().manual_seed(0)
        stripes = (torch.arange(32) % 4 < 2).float().expand(32, 32) * 150
        both = torch.stack([stripes.T, stripes])
        self.labels = torch.arange(12) % 2
        self.pictures = both[self.labels, None] + 100 * torch.rand(12, 1, 32, 32, generator=generator)

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return dict(inputs=self.pictures[index], data_samples=DataSample().set_gt_label(self.labels[index]))


@HOOKS.register_module(force=True)
class FailingOfTestTools:
    def __init__(self, broken=True):
        try:
            raise MTKDError('teacher r50: no\nsuch layer')
        except MTKDError as error:
            raise MTKDError('class FailingOfTestTools in test_tools: teacher r50: no such layer') from error


def load_tool(name):
    spec = importlib.util.spec_from_file_location(f'tool_{name}', ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


train = load_tool('train')
test = load_tool('test')


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('MTKD_DATA_ROOT', raising=False)
    (tmp_path / 'tiny.py').write_text(CONFIG)
    return tmp_path


@pytest.fixture(scope='module')
def trained(tmp_path_factory):
    """A work dir in which the tiny config was trained for both its epochs."""
    folder = tmp_path_factory.mktemp('trained')
    (folder / 'whole.py').write_text(CONFIG)
    assert train.main([str(folder / 'whole.py'), '--work-dir', str(folder)]) == 0
    return folder


def error_of(capfd, main, *argv):
    """The one line that a tool prints on stderr about these arguments."""
    assert main([str(item) for item in argv]) == 1
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith('error: ')
    return lines[0]


# ---- training and testing


def test_a_plain_config_trains_into_the_default_work_dir(folder):
    assert train.main(['tiny.py', '--no-validate', '--cfg-options', 'train_cfg.max_epochs=1']) == 0
    assert (folder / 'work_dirs/tiny/epoch_1.pth').is_file()
    assert not (folder / 'work_dirs/tiny/epoch_2.pth').exists()


@pytest.mark.parametrize('resume', [['--resume'], ['--resume', 'auto'], ['--resume', 'parted/epoch_1.pth']])
def test_interrupted_and_resumed_equals_uninterrupted(folder, trained, resume):
    assert train.main(['tiny.py', '--work-dir', 'parted', '--cfg-options', 'train_cfg.max_epochs=1']) == 0
    assert train.main(['tiny.py', '--work-dir', 'parted', *resume]) == 0
    ours, whole = (torch.load(path / 'epoch_2.pth', weights_only=False) for path in (folder / 'parted', trained))
    assert ours['meta']['iter'] == whole['meta']['iter'] == 6
    assert all(torch.equal(ours['state_dict'][key], value) for key, value in whole['state_dict'].items())


def test_the_test_tool_reports_the_accuracy_of_the_checkpoint(folder, trained, capfd):
    checkpoint = trained / 'epoch_1.pth'
    assert test.main(['tiny.py', str(checkpoint), '--out', 'metrics.json']) == 0
    reported = json.loads(Path('metrics.json').read_text())['accuracy/top1']

    weights = torch.load(checkpoint, weights_only=False)['state_dict']
    data = StripesOfTestTools()
    x = (data.pictures - 127.5) / 127.5
    for name in ('0', '3', '6'):
        x = torch.conv2d(
            x, weights[f'backbone.features.{name}.weight'], weights[f'backbone.features.{name}.bias']
        ).tanh()
        x = torch.nn.functional.avg_pool2d(x, 2) if name != '6' else x
    scores = x.flatten(1) @ weights['head.fc.weight'].T + weights['head.fc.bias']
    assert reported == pytest.approx(100 * (scores.argmax(1) == data.labels).double().mean().item())
    assert f'accuracy/top1: {reported}' in capfd.readouterr().out.splitlines()


def test_testing_needs_no_teacher(folder, trained):
    hook = "dict(type='mtkd_rl.MTKDHook', teachers=dict(gone=dict(config='no/where.py', checkpoint='no/where.pth')))"
    (folder / 'tiny.py').write_text(CONFIG + f'custom_hooks = [{hook}]\n')
    assert test.main(['tiny.py', str(trained / 'epoch_2.pth')]) == 0
    assert train.main(['tiny.py']) == 1


def test_predictions_are_saved_for_a_pkl_file(folder, trained):
    assert test.main(['tiny.py', str(trained / 'epoch_2.pth'), '--out', 'predictions.pkl']) == 0
    assert len(pickle.loads(Path('predictions.pkl').read_bytes())) == 12


@pytest.mark.slow
def test_two_processes_train_on_the_cpu(folder):
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = str(probe.getsockname()[1])
    environment = dict(
        os.environ, PYTHON=sys.executable, PORT=port, PYTHONPATH=str(ROOT / 'tests'), OMP_NUM_THREADS='1'
    )
    environment['CUDA_VISIBLE_DEVICES'] = ''
    command = [ROOT / 'tools/dist_train.sh', 'tiny.py', '2', '--cfg-options', 'train_cfg.max_epochs=1']
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # 12 samples, 4 a process and step: two steps where one process would take three
    assert torch.load('work_dirs/tiny/epoch_1.pth', weights_only=False)['meta']['iter'] == 2


# ---- what the command line does to a config


def configured(*argv):
    return train.configure(train.parse(argv))


def test_flags_and_options_reach_the_config(folder):
    cfg = configured(
        'tiny.py', '--auto-scale-lr', '--no-validate', '--resume', '--cfg-options', 'optim_wrapper.optimizer.lr=3.'
    )
    assert cfg.auto_scale_lr.enable
    assert (cfg.val_cfg, cfg.val_dataloader, cfg.val_evaluator) == (None, None, None)
    assert (cfg.resume, cfg.load_from) == (True, None)
    assert cfg.optim_wrapper.optimizer.lr == 3
    assert cfg.work_dir == 'work_dirs/tiny'


def test_work_dir_of_the_command_line_beats_that_of_the_config(folder):
    (folder / 'tiny.py').write_text(CONFIG + "work_dir = 'own'\n")
    assert configured('tiny.py').work_dir == 'own'
    assert configured('tiny.py', '--work-dir', 'other').work_dir == 'other'


def test_options_beat_the_loaders_defaults(folder):
    assert configured('tiny.py').train_dataloader.collate_fn.type == 'default_collate'
    cfg = configured(
        'tiny.py', '--cfg-options', 'train_dataloader.pin_memory=True', 'train_dataloader.collate_fn.type=x'
    )
    assert (cfg.train_dataloader.pin_memory, cfg.train_dataloader.collate_fn.type) == (True, 'x')


@pytest.mark.parametrize(
    ('name', 'scope'),
    [
        ('mmpretrain::resnet/resnet18_8xb32_in1k.py', 'mmpretrain'),
        ('mmdet::retinanet/retinanet_r18_fpn_1x_coco.py', 'mmdet'),
        ('mmseg::fcn/fcn_r50-d8_4xb2-40k_cityscapes-512x1024.py', 'mmseg'),
    ],
)
def test_configs_of_the_toolboxes_are_found_by_name_and_as_a_base(folder, name, scope):
    (folder / 'own.py').write_text(f"_base_ = '{name}'\n")
    for cfg in (configured(name), configured('own.py')):
        assert cfg.default_scope == scope
        assert ('collate_fn' in cfg.train_dataloader) == (scope == 'mmpretrain')


# ---- errors


def test_a_missing_config_names_its_neighbours(folder, capfd):
    assert 'there is no file tinny.py; that folder has tiny.py' in error_of(capfd, train.main, 'tinny.py')


@pytest.mark.parametrize('name', ['mmnothing::a/b.py', '::a.py', 'a b::c.py'])
def test_a_package_that_is_not_installed(folder, capfd, name):
    assert 'there is no installed package' in error_of(capfd, train.main, name)


def test_a_config_that_an_installed_package_lacks_names_the_closest(capfd):
    line = error_of(capfd, train.main, 'mmpretrain::resnet/resnet18_8xb32_in1.py')
    assert 'resnet18_8xb32_in1k.py' in line


def test_a_syntax_error_names_file_and_line(folder, capfd):
    (folder / 'base.py').write_text('a = 1\nb = dict(\nc = 2\n')
    (folder / 'child.py').write_text("_base_ = './base.py'\n")
    assert 'base.py, line 2' in error_of(capfd, train.main, 'base.py')
    assert 'base.py, line 2' in error_of(capfd, train.main, 'child.py')


@pytest.mark.parametrize(('base', 'told'), [('./nobody.py', 'nobody.py'), ('mmrotate::a/b.py', 'install mmrotate')])
def test_a_base_that_is_not_there(folder, capfd, base, told):
    (folder / 'child.py').write_text(f"_base_ = '{base}'\n")
    assert told in error_of(capfd, train.main, 'child.py')


def test_a_file_that_is_no_config(folder, capfd):
    (folder / 'notes.txt').write_text('hello')
    assert 'notes.txt' in error_of(capfd, train.main, 'notes.txt')


def test_a_missing_data_root_says_how_to_name_another(folder, capfd):
    line = error_of(capfd, train.main, 'tiny.py', '--cfg-options', 'train_dataloader.dataset.data_root=/no/where')
    assert 'data root /no/where' in line
    assert 'MTKD_DATA_ROOT' in line
    assert line.endswith('--cfg-options train_dataloader.dataset.data_root=PATH')
    assert not Path('work_dirs').exists()


def test_missing_data_roots_are_found_within_wrappers_and_only_in_the_loaders_of_the_run(folder):
    inner = dict(type='ConcatDataset', datasets=[dict(data_root='/no/a'), dict(data_root=str(folder)), dict(type='X')])
    cfg = tooling.Config(
        dict(train_dataloader=dict(dataset=inner), test_dataloader=dict(dataset=dict(data_root='/no/b')))
    )
    with pytest.raises(MTKDError, match=r'root /no/a: .* train_dataloader\.dataset\.datasets\.0\.data_root=PATH$'):
        tooling.check_data_roots(cfg, ['train_dataloader', 'val_dataloader'])
    with pytest.raises(MTKDError, match='root /no/b: '):
        tooling.check_data_roots(cfg, ['test_dataloader'])


@pytest.mark.parametrize(
    ('data', 'comes'),
    [
        (dict(type='StripesOfTestTools', data_root='/no'), False),
        (dict(type='StripesOfTestTools', data_root='/no', download=True), True),
        (dict(type='CIFAR10', data_root='/no'), True),  # mmpretrain's downloads unless told otherwise
        (dict(type='CIFAR10', data_root='/no', download=False), False),
        (dict(type='CustomDataset', data_root='s3://bucket/data'), True),
        (dict(type='CustomDataset', data_root='/no'), False),
        (dict(type='CustomDataset', data_root=''), True),
    ],
)
def test_data_that_comes_from_elsewhere_needs_no_folder(data, comes):
    cfg = tooling.Config(dict(default_scope='mmpretrain', test_dataloader=dict(dataset=data)))
    if comes:
        tooling.check_data_roots(cfg, ['test_dataloader'])
    else:
        with pytest.raises(MTKDError, match='data root /no'):
            tooling.check_data_roots(cfg, ['test_dataloader'])


def test_a_work_dir_that_cannot_be_written(folder, capfd):
    line = error_of(capfd, train.main, 'tiny.py', '--work-dir', 'tiny.py/below')
    assert 'work dir tiny.py/below' in line
    assert '--work-dir' in line


@pytest.mark.skipif(torch.cuda.is_available(), reason='mixed precision works here')
def test_mixed_precision_needs_a_gpu(folder, capfd):
    assert '--amp' in error_of(capfd, train.main, 'tiny.py', '--amp')


def test_scaling_the_learning_rate_needs_a_planned_batch_size(folder, capfd):
    (folder / 'tiny.py').write_text(CONFIG.replace('auto_scale_lr', 'unused'))
    assert 'base_batch_size' in error_of(capfd, train.main, 'tiny.py', '--auto-scale-lr')


class Harmful:
    def __reduce__(self):
        return Path.touch, (Path('harm'),)


@pytest.mark.parametrize('kind', ['missing', 'truncated', 'hostile'])
@pytest.mark.parametrize('use', ['test', 'resume', 'resume auto', 'load_from'])
def test_checkpoints_that_cannot_be_loaded_safely(folder, trained, capfd, kind, use):
    path = folder / 'bad.pth'
    if kind == 'truncated':
        whole = (trained / 'epoch_2.pth').read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
    if kind == 'hostile':
        torch.save(dict(state_dict={}, meta=Harmful()), path)
    (folder / 'work').mkdir()
    (folder / 'work/last_checkpoint').write_text(str(path))
    more = {'test': [path], 'resume': ['--resume', path], 'resume auto': ['--resume']}
    argv = more.get(use, ['--cfg-options', f'load_from={path}'])
    line = error_of(capfd, test.main if use == 'test' else train.main, 'tiny.py', *argv, '--work-dir', 'work')
    assert 'bad.pth' in line
    assert not Path('harm').exists()


def test_a_trusted_checkpoint_may_hold_anything(folder, trained):
    checkpoint = torch.load(trained / 'epoch_2.pth', weights_only=False)
    torch.save(checkpoint | dict(extra=Harmful()), 'mine.pth')
    assert test.main(['tiny.py', 'mine.pth', '--trust']) == 0
    assert Path('harm').exists()


def test_a_checkpoint_of_another_model(folder, trained, capfd):
    weights = torch.load(trained / 'epoch_2.pth', weights_only=False)['state_dict']
    torch.save({key: value for key, value in weights.items() if 'head' not in key}, 'headless.pth')
    assert test.main(['tiny.py', 'headless.pth']) == 1
    assert '2 of its 8 parameters are missing, among them head.fc.weight, head.fc.bias' in capfd.readouterr().err
    options = ['--cfg-options', 'model.head.num_classes=3']
    assert test.main(['tiny.py', str(trained / 'epoch_2.pth'), *options]) == 1
    assert '2 shapes differ, the first: size mismatch for head.fc.weight' in capfd.readouterr().err.splitlines()[-1]


def test_an_error_from_within_the_runner_is_told_once_and_in_one_line(folder, capfd):
    (folder / 'tiny.py').write_text(CONFIG + "custom_hooks = [dict(type='FailingOfTestTools')]\n")
    assert train.main(['tiny.py']) == 1
    assert capfd.readouterr().err.splitlines()[-1] == 'error: teacher r50: no such layer'


def test_other_exceptions_pass(folder):
    (folder / 'tiny.py').write_text('a = 1 / 0\n')
    with pytest.raises(ZeroDivisionError):
        train.main(['tiny.py'])


def test_options_before_the_config_are_a_usage_error(folder, capfd):
    with pytest.raises(SystemExit, match='2'):
        train.main(['--cfg-options', 'a=1', 'tiny.py'])
    assert 'KEY=VALUE' in capfd.readouterr().err


def test_predictions_go_into_known_formats_only(folder, capfd):
    with pytest.raises(SystemExit, match='2'):
        test.main(['tiny.py', 'any.pth', '--out', 'metrics.txt'])
    assert '--out' in capfd.readouterr().err


def test_a_tool_of_the_package_fails_with_one_line_and_status_1(folder):
    command = [sys.executable, '-m', 'mtkd_rl', 'train', 'nobody.py']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ['error: config nobody.py: there is no file nobody.py; that folder has tiny.py']


def test_an_unknown_tool_lists_those_there_are():
    done = subprocess.run([sys.executable, '-m', 'mtkd_rl', 'trian'], capture_output=True, text=True)
    assert done.returncode == 2
    assert 'test,train' in done.stderr
