"""The configs of detection and segmentation: they are complete, their models build, and they train on made data."""

import importlib.util
import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image

from mtkd_rl import tooling
from mtkd_rl.datasets import made_dense
from mtkd_rl.errors import MTKDError

ROOT = Path(__file__).resolve().parent.parent / 'configs'
PAPER = ('coco', 'cityscapes', 'ade20k', 'coco_stuff164k')
STUDENTS = sorted(path for folder in PAPER for path in (ROOT / folder / 'students').glob('*.py'))
TAUGHT = sorted(path for folder in PAPER for path in (ROOT / folder).glob('*.py'))
ALL = sorted(
    path
    for folder in (*PAPER, 'bccd', 'camvid')
    for path in (ROOT / folder).rglob('*.py')
    if '_base_' not in path.parts
)
# Classes, and what writes made data in the layout of the real set.
SETS: dict[str, tuple[int, Callable[[Path], Path]]] = {
    'coco': (80, lambda root: made_dense.write_coco(root, coco_classes())),
    'cityscapes': (19, made_dense.write_cityscapes),
    'ade20k': (150, made_dense.write_ade20k),
    'coco_stuff164k': (171, made_dense.write_coco_stuff164k),
}


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def coco_classes() -> tuple[str, ...]:
    from mmdet.datasets import CocoDataset

    return CocoDataset.METAINFO['classes']


@cache
def parsed(path: str) -> Config:
    return tooling.load_config(path)


def dicts(node: Any) -> Iterator[dict]:
    """Every dict of a tree of containers, itself included."""
    if isinstance(node, dict):
        yield node
    children = node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ()
    for child in children:
        yield from dicts(child)


def heads(model: dict) -> list[dict]:
    """The parts of a model that have a number of classes."""
    return [part for part in dicts(model) if 'num_classes' in part and part['type'] != 'RPNHead']


def small(path: Path, root: Path) -> Config:
    """A config for two iterations on pictures of 64x96 pixels on the CPU, with its data below a folder."""
    cfg = tooling.load_config(str(path))
    for node in dicts(cfg.model):
        if 'init_cfg' in node:
            node['init_cfg'] = None
        if isinstance(node.get('pretrained'), str):
            node['pretrained'] = None
    for node in dicts(cfg._cfg_dict):
        for key in ('size', 'crop_size', 'stride', 'scale'):
            if isinstance(node.get(key), list | tuple):
                node[key] = (96, 64) if key == 'scale' else (64, 64)
        if 'score_thr' in node:  # after two iterations a detector is sure of nothing
            node['score_thr'] = 0.0
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset['serialize_data'] = False
    cfg.train_dataloader.batch_size = 2
    if cfg.train_cfg.get('max_iters'):
        cfg.train_cfg.update(max_iters=2, val_interval=2)
    else:
        cfg.train_cfg.update(max_epochs=1)
    cfg.work_dir = str(root / 'work')
    cfg.experiment_name = f'{path.stem}_{root.name}'
    cfg.env_cfg.dist_cfg.backend = 'gloo'
    return cfg


def with_random_teachers(cfg: Config) -> Config:
    """The same, with teachers that need no checkpoint and an agent, if any, that is soon updated."""
    (hook,) = cfg.custom_hooks
    for entry in hook.teachers.values():
        entry.checkpoint = 'random'
    if hook.strategy.type == 'PPOWeighting':
        hook.strategy.update(rollout=4, batch_size=4)
    return cfg


def assert_taught(runner: Runner, kinds: tuple[str, ...]) -> None:
    """Two iterations with finite losses of these kinds, and nothing of the hook left in the student."""
    assert runner.iter == 2
    for kind in kinds:
        assert np.isfinite(runner.message_hub.get_scalar(f'train/loss_kd_{kind}').current()), kind
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    assert not runner.model._forward_hooks


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A folder with made data for the config that the test is about."""
    folder = request.getfixturevalue('path').relative_to(ROOT).parts[0]
    monkeypatch.setenv('MTKD_DATA_ROOT', str(tmp_path))
    SETS[folder][1](tmp_path)
    return tmp_path


@cache
def published(package: str, family: str) -> dict[str, set[str]]:
    """The files of weights that a toolbox's index names for each of its configs."""
    folder = tooling.find_config(f'{package}::_base_/default_runtime.py').parent.parent / family
    text = next(folder.glob('metafile.y*ml')).read_text()
    found: dict[str, set[str]] = {}
    for entry in re.split(r'^ *- Name: ', text, flags=re.MULTILINE):
        for config in re.findall(r'^ *Config: configs/(\S+)', entry, flags=re.MULTILINE):
            found.setdefault(config, set()).update(re.findall(r'^ *Weights: (\S+)', entry, flags=re.MULTILINE))
    return found


def test_names_are_unique_over_the_repository() -> None:
    stems = [path.stem for path in ROOT.rglob('*.py') if '_base_' not in path.parts]
    assert sorted(set(stems)) == sorted(stems), 'the name of a config is the name of its work dir'


@pytest.mark.parametrize('path', ALL, ids=name)
def test_header(path: Path) -> None:
    header = path.read_text().split('\n_base_', maxsplit=1)[0]
    assert f'\n# Command: python tools/train.py configs/{name(path)}\n' in header
    for word in ('Paper', 'Time', 'Result'):
        assert re.search(rf'^# {word}: \S', header, flags=re.MULTILINE), word


def test_three_students_a_data_set() -> None:
    assert len(STUDENTS) == len(TAUGHT) == 12
    assert {folder: sum(path.parts[-3] == folder for path in STUDENTS) for folder in PAPER} == dict.fromkeys(PAPER, 3)


@pytest.mark.parametrize('path', TAUGHT, ids=name)
def test_the_hook_is_the_only_difference(path: Path) -> None:
    student = path.parent / 'students' / path.name.removeprefix('mtkd_rl_')
    with_teachers, without = parsed(str(path)).to_dict(), parsed(str(student)).to_dict()
    hooks = with_teachers.pop('custom_hooks')
    assert [hook['type'] for hook in hooks] == ['mtkd_rl.MTKDHook']
    assert len(hooks[0]['teachers']) == 3
    assert with_teachers == without


@pytest.mark.parametrize('path', TAUGHT, ids=name)
def test_teachers_are_published_and_know_the_same_classes(path: Path) -> None:
    classes = SETS[path.parts[-2]][0]
    for teacher, entry in parsed(str(path)).custom_hooks[0].teachers.items():
        package, relative = entry.config.split('::')
        assert entry.checkpoint in published(package, relative.split('/')[0])[relative], teacher
        assert {head['num_classes'] for head in heads(parsed(entry.config).model)} == {classes}, teacher


@pytest.mark.parametrize('path', STUDENTS, ids=name)
def test_the_student_knows_the_classes_of_its_data(path: Path) -> None:
    assert {head['num_classes'] for head in heads(parsed(str(path)).model)} == {SETS[path.parts[-3]][0]}


@pytest.mark.parametrize('path', STUDENTS, ids=name)
def test_data_root_comes_from_the_environment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MTKD_DATA_ROOT', '/some/where')
    roots = {node['data_root'] for node in dicts(tooling.load_config(str(path)).to_dict()) if 'data_root' in node}
    assert all(root.startswith('/some/where/') for root in roots)
    evaluator = tooling.load_config(str(path)).test_evaluator
    assert evaluator.get('ann_file', '/some/where/').startswith('/some/where/')


@pytest.mark.slow
@pytest.mark.parametrize('path', STUDENTS, ids=name)
def test_the_student_trains_and_is_scored_on_made_data(path: Path, made: Path) -> None:
    cfg = small(path, made)
    tooling.check_parts(cfg)
    tooling.check_data_roots(cfg, ['train_dataloader', 'val_dataloader', 'test_dataloader'])
    runner = tooling.build_runner(cfg)
    before = {key: value.clone() for key, value in runner.model.state_dict().items()}
    runner.train()
    assert runner.iter == 2
    moved = [key for key, value in runner.model.state_dict().items() if not torch.equal(value, before[key])]
    assert any('head' in key for key in moved)
    assert all(value.isfinite().all() for value in runner.model.state_dict().values())
    score = 'val/coco/bbox_mAP' if path.parts[-3] == 'coco' else 'val/mIoU'
    assert np.isfinite(runner.message_hub.get_scalar(score).current())


@pytest.mark.slow
@pytest.mark.parametrize('path', TAUGHT, ids=name)
def test_the_student_is_taught_on_made_data(path: Path, made: Path) -> None:
    runner = tooling.build_runner(with_random_teachers(small(path, made)))
    runner.train()
    assert_taught(runner, ('logit', 'feature'))


def png_labels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_made_boxes_lie_in_their_pictures_and_the_splits_share_none(tmp_path: Path) -> None:
    folder = made_dense.write_coco(tmp_path, 'abc', n=5, size=(40, 70))
    pictures = {}
    for split in ('train', 'val'):
        content = json.loads((folder / f'annotations/instances_{split}2017.json').read_text())
        assert [entry['name'] for entry in content['categories']] == ['a', 'b', 'c']
        assert len(content['annotations']) == 15
        for box in content['annotations']:
            x, y, w, h = box['bbox']
            assert min(x, y, w - 8, h - 8, 70 - x - w, 40 - y - h) >= 0
            assert box['category_id'] in (1, 2, 3)
        pictures[split] = [(folder / f'{split}2017' / image['file_name']).read_bytes() for image in content['images']]
        assert Image.open(folder / f'{split}2017' / content['images'][0]['file_name']).size == (70, 40)
    assert len({*pictures['train'], *pictures['val']}) == 10


@pytest.mark.parametrize(
    ('write', 'pattern', 'allowed', 'void'),
    [
        (made_dense.write_cityscapes, 'gtFine/train/*/*_gtFine_labelTrainIds.png', range(19), 255),
        (made_dense.write_ade20k, 'annotations/training/*.png', range(1, 151), 0),
        (made_dense.write_coco_stuff164k, 'annotations/train2017/*_labelTrainIds.png', range(171), 255),
    ],
)
def test_made_maps_hold_the_ids_of_the_real_ones(
    write: Callable[..., Path], pattern: str, allowed: range, void: int, tmp_path: Path
) -> None:
    folder = write(tmp_path, n=60)
    found = {int(label) for path in folder.glob(pattern) for label in np.unique(png_labels(path))}
    assert found <= {*allowed, void}
    assert void in found
    assert len(found) > len(allowed) / 2


def test_made_data_come_of_the_seed_alone(tmp_path: Path) -> None:
    first, second = (made_dense.write_ade20k(tmp_path / name, n=2, seed=1) for name in 'ab')
    files = [path.relative_to(first) for path in sorted(first.rglob('*.*'))]
    assert len(files) == 8
    assert all((first / path).read_bytes() == (second / path).read_bytes() for path in files)
    other = made_dense.write_ade20k(tmp_path / 'c', n=2, seed=2)
    assert not any((first / path).read_bytes() == (other / path).read_bytes() for path in files)


@pytest.mark.parametrize('options', [dict(n=0), dict(classes=()), dict(size=(31, 64))])
def test_made_data_that_nobody_could_use_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(MTKDError, match='at least'):
        made_dense.write_coco(**{'root': tmp_path, 'classes': 'abc', **options})
    assert not list(tmp_path.iterdir())


# -- BCCD and CamVid


SMALL = {'bccd': ('tiny_atss_bccd', 'retinanet'), 'camvid': ('tiny_segformer_camvid', 'deeplab')}


@pytest.mark.parametrize('folder', SMALL)
@pytest.mark.parametrize('kind', ['single', 'average', 'mtkd_rl'])
def test_small_sets_are_taught_as_they_are_trained_alone(folder: str, kind: str) -> None:
    student = SMALL[folder][0]
    with_teachers = parsed(str(ROOT / f'{folder}/{kind}_{student}.py')).to_dict()
    without = parsed(str(ROOT / f'{folder}/students/{student}.py')).to_dict()
    assert len(with_teachers.pop('custom_hooks')) == 1
    with_teachers.pop('teachers')
    assert with_teachers == without


@pytest.mark.parametrize('folder', SMALL)
def test_pools_of_the_small_sets(folder: str) -> None:
    student, best = SMALL[folder]
    single, average, agent = (
        parsed(str(ROOT / f'{folder}/{kind}_{student}.py')).custom_hooks[0] for kind in ('single', 'average', 'mtkd_rl')
    )
    assert list(single.teachers) == [best]
    assert average.teachers == agent.teachers
    assert len(agent.teachers) == 3
    assert single.teachers.items() <= agent.teachers.items()
    alone = parsed(str(ROOT / f'{folder}/students/{student}.py'))
    kinds = set()
    for entry in agent.teachers.values():
        config = Path(entry.config)
        teacher = parsed(str(config.resolve()))
        assert entry.checkpoint == f'work_dirs/{config.stem}/epoch_{teacher.train_cfg.max_epochs}.pth'
        assert teacher.train_dataloader == alone.train_dataloader
        kinds.add((teacher.model.get('bbox_head') or teacher.model.decode_head).type)
    assert len(kinds) == 3


def tool(name: str) -> Callable[[list[str]], int]:
    spec = importlib.util.spec_from_file_location(f'dense_{name}', ROOT.parent / 'tools' / f'{name}.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def write_bccd(root: Path, seed: int) -> Path:
    """Made data in the layout of BCCD."""
    made = made_dense.write_coco(root, ('RBC', 'WBC', 'Platelets'), n=9, size=(96, 128), seed=seed)
    folder = root / 'bccd'
    (folder / 'images').mkdir(parents=True)
    for split in ('train', 'val'):
        (made / f'annotations/instances_{split}2017.json').rename(folder / f'{split}.json')
        for path in (made / f'{split}2017').iterdir():
            path.rename(folder / 'images' / path.name)
    return folder


def write_camvid(root: Path, seed: int) -> Path:
    """Made data in the layout of CamVid."""
    return made_dense.write_maps(
        root / 'camvid',
        lambda split, i: (f'images/{split}/{i:04d}.jpg', f'labels/{split}/{i:04d}.png'),
        ids=(*range(11), made_dense.VOID),
        n=9,
        seed=seed,
    )


@pytest.mark.slow
@pytest.mark.parametrize('folder', SMALL)
def test_a_student_of_the_small_sets_is_scored_on_other_data(
    folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('MTKD_DATA_ROOT', str(tmp_path))
    write = {'bccd': write_bccd, 'camvid': write_camvid}[folder]
    write(tmp_path, seed=0)
    config = str(ROOT / f'{folder}/students/{SMALL[folder][0]}.py')
    short = ['train_cfg.max_epochs=1', 'default_hooks.checkpoint.interval=1']
    assert tool('train')([config, '--no-validate', '--cfg-options', *short]) == 0
    checkpoint = f'work_dirs/{SMALL[folder][0]}/epoch_1.pth'

    def score(*options: str) -> dict[str, float]:
        # after so few steps a detector is sure of nothing
        changes = ['--cfg-options', 'model.test_cfg.score_thr=0.0', *options]
        assert tool('test')([config, checkpoint, '--out', 'metrics.json', *changes]) == 0
        return json.loads(Path('metrics.json').read_text())

    here = score()
    other = write(tmp_path / 'elsewhere', seed=1)
    root = f'test_dataloader.dataset.data_root={other}'
    if folder == 'bccd':
        (other / 'val.json').rename(other / 'unseen.json')
        there = score(
            root,
            'test_dataloader.dataset.ann_file=unseen.json',
            'test_dataloader.dataset.data_prefix.img=images/',
            f'test_evaluator.ann_file={other}/unseen.json',
        )
        assert 0 <= there['coco/bbox_mAP'] <= 1
    else:
        (other / 'images/val').rename(other / 'unseen')
        (other / 'labels/val').rename(other / 'truth')
        there = score(
            root,
            'test_dataloader.dataset.data_prefix.img_path=unseen',
            'test_dataloader.dataset.data_prefix.seg_map_path=truth',
        )
        assert there['aAcc'] != here['aAcc']
        assert 0 <= there['mIoU'] <= 100
    assert there.keys() == here.keys()


@pytest.mark.slow
@pytest.mark.parametrize('folder', SMALL)
@pytest.mark.parametrize('kind', ['single', 'average', 'mtkd_rl'])
def test_students_of_the_small_sets_are_taught(
    folder: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MTKD_DATA_ROOT', str(tmp_path))
    {'bccd': write_bccd, 'camvid': write_camvid}[folder](tmp_path, seed=0)
    cfg = tooling.load_config(str(ROOT / f'{folder}/{kind}_{SMALL[folder][0]}.py'))
    with_random_teachers(cfg)
    cfg.train_cfg.max_epochs = 1
    cfg.train_dataloader.batch_size = 5
    cfg.work_dir = str(tmp_path / 'work')
    cfg.experiment_name = f'{folder}_{kind}_{tmp_path.name}'
    cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    runner = tooling.build_runner(cfg)
    runner.train()
    assert_taught(runner, ('logit', 'feature'))
