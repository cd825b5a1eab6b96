"""Every config of a classifier: it parses, its model builds, and its teachers are there and know the same classes."""

import math
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import init_default_scope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

ROOT = Path(__file__).resolve().parent.parent / 'configs'
FOLDERS = ('cifar10', 'cifar100', 'digits', 'imagenet')
ALL = sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob('*.py') if '_base_' not in path.parts)
# The folders whose teachers are trained by the configs next to them.
PAPER = [path for path in ALL if path.relative_to(ROOT).parts[0] in ('cifar10', 'cifar100', 'imagenet')]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def parsed(path: Path) -> Config:
    return Config.fromfile(path)


def hook_entries(cfg: Config) -> list[dict[str, Any]]:
    return [hook for hook in cfg.get('custom_hooks', []) if hook['type'] == 'mtkd_rl.MTKDHook']


def teachers(cfg: Config) -> Iterator[tuple[str, dict[str, Any]]]:
    for hook in hook_entries(cfg):
        yield from hook['teachers'].items()


def local_config(entry: Mapping[str, Any]) -> Path | None:
    """The teacher's config where it is a file, not a dict and not one of another library."""
    config = entry.get('config')
    return Path(config) if isinstance(config, str) and '::' not in config else None


@cache
def built(path: Path) -> nn.Module:
    """The model as the Runner builds it: the config's preprocessor goes into it."""
    init_default_scope('mmpretrain')
    cfg = parsed(path)
    model = {**cfg.model}
    model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    return MODELS.build(model).eval()


class RateHook(Hook):
    """Writes down the learning rate of every iteration."""

    def __init__(self, rates: list[float]) -> None:
        self.rates = rates

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        self.rates.append(runner.optim_wrapper.get_lr()['lr'][0])


def test_there_are_configs() -> None:
    assert {path.relative_to(ROOT).parts[0] for path in ALL} >= {'cifar10', 'cifar100', 'imagenet'}


def test_names_are_unique() -> None:
    stems = [path.stem for path in ALL]
    assert sorted(set(stems)) == sorted(stems), 'the name of a config is the name of its work dir'


@pytest.mark.parametrize('path', ALL, ids=name)
def test_header(path: Path) -> None:
    header = path.read_text().split('\n_base_', maxsplit=1)[0]
    assert re.search(r'^# Command: .*' + re.escape(f'configs/{name(path)}'), header, flags=re.MULTILINE)
    for word in ('Paper', 'Time', 'Result'):
        assert re.search(rf'^# {word}: \S', header, flags=re.MULTILINE), word


@pytest.mark.parametrize('path', ALL, ids=name)
def test_model_builds_and_predicts_its_classes(path: Path) -> None:
    cfg = parsed(path)
    model = built(path)
    classes = model.head.num_classes
    if path in PAPER:
        assert model.data_preprocessor.num_classes == classes
        side = 224 if cfg.train_dataloader.dataset.type == 'ImageNet' else 32
        with torch.no_grad():
            logits = model.head(model.extract_feat(torch.zeros(1, 3, side, side)))
        assert logits.shape == (1, classes)


@pytest.mark.parametrize('path', [path for path in ALL if hook_entries(parsed(path))], ids=name)
def test_teachers_are_there_and_know_the_same_classes(path: Path) -> None:
    cfg = parsed(path)
    classes = cfg.model.head.num_classes
    entries = dict(teachers(cfg))
    assert entries
    for teacher, entry in entries.items():
        config = local_config(entry)
        if config is not None:
            assert config.is_file(), teacher
            assert built(config.resolve()).head.num_classes == classes, teacher
        elif entry.get('type') == 'Torchvision':
            torchvision = pytest.importorskip('torchvision')
            weights = torchvision.models.get_model_weights(entry['model'])[entry['weights']]
            assert len(weights.meta['categories']) == classes, teacher


@pytest.mark.parametrize('path', [path for path in PAPER if hook_entries(parsed(path))], ids=name)
def test_checkpoints_are_what_the_teachers_configs_write(path: Path) -> None:
    for _, entry in teachers(parsed(path)):
        config = local_config(entry)
        if config is not None:
            epochs = parsed(config.resolve()).train_cfg.max_epochs
            assert entry['checkpoint'] == f'work_dirs/{config.stem}/epoch_{epochs}.pth'


@pytest.mark.parametrize(
    ('taught', 'alone'),
    [
        ('cifar10/mtkd_rl_resnet20_cifar10.py', 'cifar10/students/resnet20_cifar10.py'),
        ('cifar10/average_resnet20_cifar10.py', 'cifar10/students/resnet20_cifar10.py'),
        ('cifar10/single_resnet20_cifar10.py', 'cifar10/students/resnet20_cifar10.py'),
        ('cifar100/mtkd_rl_regnetx_200mf_cifar100.py', 'cifar100/students/regnetx_200mf_cifar100.py'),
        ('cifar100/mtkd_rl_mobilenetv2_cifar100.py', 'cifar100/students/mobilenetv2_cifar100.py'),
        ('cifar100/mtkd_rl_shufflenetv2_cifar100.py', 'cifar100/students/shufflenetv2_cifar100.py'),
        ('cifar100/mtkd_rl_resnet56_cifar100.py', 'cifar100/students/resnet56_cifar100.py'),
        ('imagenet/mtkd_rl_resnet18_imagenet.py', 'imagenet/resnet18_imagenet.py'),
    ],
)
def test_the_hook_is_the_only_difference(taught: str, alone: str) -> None:
    with_teachers, without = (parsed(ROOT / path).to_dict() for path in (taught, alone))
    assert len(with_teachers.pop('custom_hooks')) == 1
    with_teachers.pop('teachers', None)
    assert with_teachers == without


def test_cifar10_pools() -> None:
    single, average, agent = (
        hook_entries(parsed(ROOT / f'cifar10/{kind}_resnet20_cifar10.py'))[0]
        for kind in ('single', 'average', 'mtkd_rl')
    )
    assert list(single['teachers']) == ['wrn_28_4']
    assert average['teachers'] == agent['teachers']
    assert len(agent['teachers']) == 3
    assert single['teachers'].items() <= agent['teachers'].items()


def test_data_root_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    path = ROOT / 'cifar10/students/resnet20_cifar10.py'
    monkeypatch.setenv('MTKD_DATA_ROOT', '/some/where')
    cfg = Config.fromfile(path)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert loader.dataset.data_root == '/some/where/cifar10'
    monkeypatch.delenv('MTKD_DATA_ROOT')
    assert Config.fromfile(path).train_dataloader.dataset.data_root == 'data/cifar10'


def test_another_test_file_leaves_validation_as_it_is() -> None:
    cfg = Config.fromfile(ROOT / 'cifar10/students/resnet20_cifar10.py')
    cfg.merge_from_dict({'test_dataloader.dataset.ann_file': 'other.npz'})
    assert cfg.test_dataloader.dataset.ann_file == 'other.npz'
    assert cfg.val_dataloader.dataset.ann_file == 'val.npz'


def test_mixed_pictures_train_on_soft_labels() -> None:
    torch.manual_seed(0)
    model = built(ROOT / 'imagenet/mtkd_rl_resnet18_mixup_cutmix_imagenet.py')
    batch = {
        'inputs': [torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8) for _ in range(4)],
        'data_samples': [DataSample().set_gt_label(label) for label in (0, 1, 998, 999)],
    }
    mixed = model.data_preprocessor(batch, training=True)
    scores = torch.stack([sample.gt_score for sample in mixed['data_samples']])
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(4))
    assert ((scores > 0) & (scores < 1)).any()
    logits = model.head(model.extract_feat(mixed['inputs']))
    expected = -(scores * logits.log_softmax(dim=1)).sum(dim=1).mean()
    torch.testing.assert_close(model(**mixed, mode='loss')['loss'], expected)


def test_the_cifar10_student_trains_and_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / 'cifar10').mkdir()
    (tmp_path / 'cifar10/classes.txt').write_text('\n'.join('abcdefghij'))
    for split, amount in (('train', 130), ('val', 20)):
        images = rng.integers(0, 256, (amount, 32, 32, 3), dtype=np.uint8)
        np.savez(tmp_path / f'cifar10/{split}.npz', images=images, labels=np.arange(amount) % 10)
    monkeypatch.setenv('MTKD_DATA_ROOT', str(tmp_path))
    cfg = Config.fromfile(ROOT / 'cifar10/students/resnet20_cifar10.py')
    cfg.merge_from_dict(
        {
            'work_dir': str(tmp_path / 'work'),
            'train_cfg.max_epochs': 2,
            'train_dataloader.num_workers': 0,
            'val_dataloader.num_workers': 0,
            'env_cfg.dist_cfg.backend': 'gloo',
            'experiment_name': 'test_the_cifar10_student',
        }
    )
    runner = Runner.from_cfg(cfg)
    rates = []
    runner.register_hook(RateHook(rates))
    runner.train()
    assert runner.iter == 6
    # Half a cosine over 30 epochs of 3 iterations (Loshchilov and Hutter, 2017).
    assert rates == pytest.approx([0.05 * (1 + math.cos(math.pi * step / 90)) / 2 for step in range(6)])
    assert (tmp_path / 'work/epoch_2.pth').is_file()
    assert 0 <= runner.message_hub.get_scalar('val/accuracy/top1').current() <= 100
