"""The demos: configs that belong together, the table, and the pictures of what a student finds."""

import importlib.util
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib.image import imread
from mmengine.config import Config
from mmengine.registry import DATASETS, MODELS, DefaultScope
from rich.console import Console

from mtkd_rl.errors import MTKDError
from mtkd_rl.experiment import Job, Score, train
from mtkd_rl.pictures import Boxes, draw, look

ROOT = Path(__file__).resolve().parent.parent
CLASSES = tuple('0123456789')


def load_tool() -> Any:
    spec = importlib.util.spec_from_file_location('tool_demo', ROOT / 'tools' / 'demo.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TOOL = load_tool()
DEMOS = sorted(TOOL.DEMOS)


@pytest.mark.parametrize('task', DEMOS)
def test_the_hook_is_the_only_difference_between_the_ways(task) -> None:
    demo = TOOL.DEMOS[task]
    alone = Config.fromfile(demo.config('alone')).to_dict()
    assert 'custom_hooks' not in alone
    for way in demo.ways[1:]:
        taught = Config.fromfile(demo.config(way)).to_dict()
        (hook,) = taught.pop('custom_hooks')
        del taught['teachers']
        assert taught == alone, way
        assert list(hook['teachers']) == (['strong'] if way == 'single' else list(demo.teachers))


@pytest.mark.parametrize('task', DEMOS)
def test_the_pool_is_what_the_teachers_configs_write(task) -> None:
    demo = TOOL.DEMOS[task]
    (hook,) = Config.fromfile(demo.config('mtkd-rl')).custom_hooks
    for name, entry in hook['teachers'].items():
        path = demo.teacher(name)
        assert Path(entry['config']).resolve() == path
        assert entry['checkpoint'] == f'work_dirs/{path.stem}/epoch_{Config.fromfile(path).train_cfg.max_epochs}.pth'


@pytest.mark.parametrize('task', DEMOS)
def test_the_metric_is_of_the_last_epoch(task) -> None:
    demo = TOOL.DEMOS[task]
    for path in (demo.config('alone'), *map(demo.teacher, demo.teachers)):
        cfg = Config.fromfile(path)
        assert cfg.train_cfg.val_interval == cfg.train_cfg.max_epochs == cfg.default_hooks.checkpoint.interval
        assert len(list(path.parent.rglob(path.name))) == 1


def test_the_table_has_mean_and_spread() -> None:
    demo = TOOL.DEMOS['detection']
    reached = {'alone': (0.2, 0.3), 'mtkd-rl': (0.4, 0.4), 'teacher:strong': (0.648,)}
    scores = {name: [Score({'coco/bbox_mAP': each}, 1.0) for each in values] for name, values in reached.items()}
    rows = TOOL.rows_of(demo, scores)
    assert rows == [
        {'name': 'alone', 'mAP': 25.0, 'sd': 7.07},
        {'name': 'mtkd-rl', 'mAP': 40.0, 'sd': 0.0},
        {'name': 'teacher:strong', 'mAP': 64.8, 'sd': 0.0},
    ]
    console = Console(width=120, record=True, file=open('/dev/null', 'w'))  # noqa: PTH123, SIM115
    console.print(TOOL.table(demo, rows, 2))
    text = console.export_text()
    for part in ('mAP', '25.00 ± 7.07', 'has seen 1,000 scenes of all digits', 'weighted by the PPO agent', '2 seeds'):
        assert part in text


@pytest.mark.slow
def test_a_run_that_fails_says_its_last_line(tmp_path) -> None:
    job = Job('teacher:strong', str(tmp_path / 'nowhere.py'), tmp_path / 'work', 0)
    with pytest.raises(MTKDError, match=r'teacher:strong, seed 0: .*nowhere\.py.*all of it: .*log\.txt'):
        train(job, ['coco/bbox_mAP'])


@pytest.mark.slow
@pytest.mark.parametrize('task', ['detection', 'segmentation', 'fusion'])
def test_a_demo_of_short_runs_leaves_figures_and_pictures(task, tmp_path, monkeypatch) -> None:
    """With the demo's own configs, except that they train for an epoch on few scenes."""
    demo = TOOL.DEMOS[task]
    shutil.copytree(TOOL.CONFIGS, tmp_path / 'configs')
    for path in (tmp_path / 'configs' / demo.folder).rglob('*.py'):
        short = path.read_text().replace('score_thr=0.05', 'score_thr=0.0')  # else nothing may be found
        short = re.sub(r'\bmax_epochs = \d+', 'max_epochs = 1', short)
        path.write_text(re.sub(r'\bn=\d+', 'n=32', re.sub(r'epoch_\d+', 'epoch_1', short)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(TOOL, 'CONFIGS', tmp_path / 'configs')
    assert TOOL.main([task, '--seeds', '1', '--workers', '2']) == 0
    summary = json.loads((demo.root / 'summary.json').read_text())
    names = [*demo.ways, *(f'teacher:{name}' for name in demo.teachers)]
    names += ['mean', 'maximum'] if task == 'fusion' else []
    assert [row['name'] for row in summary['rows']] == names
    assert all(-2 <= row[name] <= 100 for row in summary['rows'] for name in demo.metrics)
    for key in ('plot', 'picture', 'student_config', 'student_checkpoint'):
        assert Path(summary[key]).is_file()


def saved_student(task: str, folder: Path) -> tuple[Config, str, torch.nn.Module]:
    """The demo's student with random weights, and a checkpoint of it."""
    cfg = Config.fromfile(TOOL.DEMOS[task].config('alone'))
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model = MODELS.build(cfg.model).eval()
    path = folder / 'epoch_1.pth'
    torch.save({'state_dict': model.state_dict()}, path)
    return cfg, str(path), model


def test_what_a_detector_sees_is_beside_the_truth(tmp_path) -> None:
    cfg, path, model = saved_student('detection', tmp_path)
    seen = look(cfg, path, 3)
    assert seen.classes == CLASSES
    with DefaultScope.overwrite_default_scope('mmdet'):
        scenes = DATASETS.build({**cfg.val_dataloader.dataset, 'pipeline': []})
    inputs = {'inputs': [], 'data_samples': None}
    for i in range(3):
        scene = scenes[i]
        np.testing.assert_array_equal(seen.pictures[i], scene['img'][..., ::-1])
        np.testing.assert_array_equal(seen.truth[i].corners, [each['bbox'] for each in scene['instances']])
        np.testing.assert_array_equal(seen.truth[i].labels, [each['bbox_label'] for each in scene['instances']])
        inputs['inputs'].append(torch.from_numpy(scene['img']).permute(2, 0, 1))
    batch = model.data_preprocessor(inputs)['inputs']
    meta = [dict(img_shape=(64, 64), scale_factor=(1.0, 1.0))] * 3
    with torch.no_grad():
        found = model.bbox_head.predict_by_feat(
            *model.bbox_head(model.extract_feat(batch)), batch_img_metas=meta, rescale=True
        )
    for mine, theirs in zip(seen.found, found):
        np.testing.assert_allclose(mine.corners, theirs.bboxes.numpy(), atol=1e-3)
        np.testing.assert_array_equal(mine.labels, theirs.labels.numpy())


def test_what_a_segmenter_sees_is_beside_the_truth(tmp_path) -> None:
    cfg, path, model = saved_student('segmentation', tmp_path)
    seen = look(cfg, path, 3)
    assert seen.classes == ('background', *CLASSES)
    with DefaultScope.overwrite_default_scope('mmseg'):
        scenes = DATASETS.build({**cfg.val_dataloader.dataset, 'pipeline': []})
    for i in range(3):
        scene = scenes[i]
        np.testing.assert_array_equal(seen.truth[i], scene['gt_seg_map'])
        picture = torch.from_numpy(scene['img'].astype(np.float32)).permute(2, 0, 1)[None]
        with torch.no_grad():
            scores = model.encode_decode((picture - 87) / 62, [dict(img_shape=(64, 64))])
        np.testing.assert_array_equal(seen.found[i], scores[0].argmax(dim=0).numpy())


def drawn(folder: Path, seen: Any, classes: tuple[str, ...] = CLASSES) -> np.ndarray:
    draw(folder / 'picture.png', [np.full((64, 64, 3), 90, np.uint8)], {'truth': [seen]}, classes)
    return imread(folder / 'picture.png')[..., :3]


def boxes(*rows: tuple[float, int]) -> Boxes:
    """Boxes at one place: their scores and labels."""
    corners = np.array([[10.0, 12.0, 40.0, 50.0]] * len(rows)).reshape(-1, 4)
    return Boxes(corners, np.array([label for _, label in rows], int), np.array([score for score, _ in rows]))


def test_boxes_are_drawn_where_the_detector_is_sure(tmp_path) -> None:
    empty = drawn(tmp_path, boxes())
    np.testing.assert_array_equal(drawn(tmp_path, boxes((0.2, 3))), empty)
    three, four = drawn(tmp_path, boxes((0.9, 3))), drawn(tmp_path, boxes((0.9, 4)))
    assert (three != empty).any()
    assert (three != four).any()
    np.testing.assert_array_equal(drawn(tmp_path, boxes((0.5, 4), (0.9, 3))), three)


def test_label_maps_have_the_colours_of_the_legend(tmp_path) -> None:
    labels = np.zeros((64, 64), int)
    labels[:, 32:] = 4
    picture = drawn(tmp_path, labels, ('background', *CLASSES))
    red = np.array([214, 39, 40]) / 255  # the fourth of matplotlib's tab10, for the digit 3
    share = (np.abs(picture - red).max(axis=2) < 0.01).mean()
    assert 0.08 < share < 0.4
