"""Detectors and segmenters in mmengine's own Runner: the invariants of the hook."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import dense
import pytest
import runs
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from mtkd_rl.hook import KEY
from mtkd_rl.rng import random_state
from mtkd_rl.teachers.safe import SAFE

TEACHERS = {'RetinaNet': 'ATSS', 'Dynamic R-CNN': 'Faster R-CNN', 'PSPNet': 'OCRNet'}
CHANGES = {'Dynamic R-CNN': dict(train_cfg__rcnn__dynamic_rcnn__update_iter_interval=2)}
"""A student to another teacher beside one of its own kind, and so that Dynamic R-CNN moves its thresholds in time."""


def entry(name: str, **options: Any) -> dict[str, Any]:
    changes = CHANGES.get(name, {})
    teachers = dict(own=dense.teacher(name, norm_eval=False, **changes), other=dense.teacher(TEACHERS[name]))
    strategy = dict(type='PPOWeighting', rollout=4, batch_size=4)
    return dict(type='mtkd_rl.MTKDHook', **dict(teachers=teachers, strategy=strategy) | options)


def config(work_dir: Path, name: str, hooks: list[Any], **more: Any) -> Config:
    return dense.run_config(work_dir, name, hooks, changes=CHANGES.get(name, {}), **more)


def read(path: Path) -> dict[str, Any]:
    """A checkpoint, read without running any code."""
    with torch.serialization.safe_globals(SAFE):
        return torch.load(path, weights_only=True)


def end_of(runner: Runner) -> dict[str, Any]:
    """All in which two runs could differ at their end, but for times."""
    roi_head = getattr(runner.model, 'roi_head', None)
    names = ('pos_iou_thr', 'neg_iou_thr', 'min_pos_iou')
    return dict(
        weights=runs.weights_of(runner),
        optimizer=runner.optim_wrapper.state_dict(),
        random=random_state(),
        books=[roi_head.iou_history, roi_head.beta_history] if roi_head else [],
        thresholds=[float(getattr(roi_head.bbox_assigner, name)) for name in names] if roi_head else [],
        beta=float(roi_head.bbox_head.loss_bbox.beta) if roi_head else 0,
        modes=[module.training for module in runner.model.modules()],
        own=[list(vars(module)) for module in runner.model.modules()],
    )


def train(cfg: Config) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    losses: list[dict[str, Any]] = []
    cfg.custom_hooks.append(runs.record_losses(losses))
    end = end_of(runs.train(cfg))
    kept = [{key: runs.tensors(value) for key, value in each.items()} for each in losses]
    return end, kept


@pytest.mark.slow
@pytest.mark.parametrize('name', TEACHERS)
def test_weight_zero_is_the_baseline(tmp_path, name):
    """Bit by bit, whoever sets the weights, and however they come to be zero; with other weights it is not."""
    plain, own = train(config(tmp_path / 'plain', name, []))
    zeros = entry(name, strategy=dict(type='FixedWeighting', weights=dict(own=0.0, other=0.0)))
    silent = entry(name, logit_weight=0.0, feature_weight=0.0)
    for folder, hook in (('fixed', zeros), ('agent', silent), ('taught', entry(name))):
        end, losses = train(config(tmp_path / folder, name, [hook]))
        assert len(losses) == 3
        taught = [{key: value for key, value in each.items() if key.startswith('loss_kd_')} for each in losses]
        assert all(set(each) == {'loss_kd_logit', 'loss_kd_feature'} for each in taught)
        student = [{key: value for key, value in each.items() if key not in taught[0]} for each in losses]
        if folder == 'taught':
            assert all(float(value[0]) > 0 for each in taught for value in each.values())
            assert not runs.same(plain['weights'], end['weights'])
            continue
        assert not any(float(value[0]) for each in taught for value in each.values())
        assert [key for key in plain if not runs.same(plain[key], end[key])] == []
        assert runs.same(own, student)


PREDICT = """
import sys
import mtkd_rl.compat
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, DefaultScope
torch.set_num_threads(1)  # as here: with several sums are in another order
scope, config, checkpoint, pictures, out = sys.argv[1:]
__import__(f'{scope}.models')
with DefaultScope.overwrite_default_scope(scope):
    model = MODELS.build(Config.fromfile(config).model)
foreign = [name for name in sys.modules if name.startswith('mtkd_rl.') and not name.startswith('mtkd_rl.compat')]
assert not foreign, foreign
model.load_state_dict(torch.load(checkpoint, weights_only=False)['state_dict'], strict=True)
with torch.no_grad():
    torch.save(model.eval()(torch.load(pictures), mode='tensor'), out)
"""


@pytest.mark.slow
@pytest.mark.parametrize('name', ['RetinaNet', 'PSPNet'])
def test_what_is_saved_is_the_plain_model(tmp_path, name):
    """Strictly loaded in a process that imported nothing but ``mtkd_rl.compat``, it predicts the same."""
    cfg = config(tmp_path, name, [entry(name)], save=3)
    runner = runs.train(cfg)
    checkpoint = tmp_path / 'iter_3.pth'
    saved = read(checkpoint)
    assert KEY in saved
    with DefaultScope.overwrite_default_scope(dense.scope_of(name)):
        plain = MODELS.build(Config(dict(model=cfg.model)).model)
    assert list(saved['state_dict']) == list(plain.state_dict())
    model = runner.model.eval()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())
    pictures = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    torch.save(pictures, tmp_path / 'pictures.pt')
    Config(dict(model=cfg.model), format_python_code=False).dump(tmp_path / 'model.json')
    files = [str(tmp_path / file) for file in ('model.json', 'iter_3.pth', 'pictures.pt', 'said.pt')]
    command = [sys.executable, '-W', 'ignore', '-c', PREDICT, dense.scope_of(name), *files]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    with torch.no_grad():
        expected = model(pictures, mode='tensor')
    assert runs.same(runs.tensors(torch.load(tmp_path / 'said.pt')), runs.tensors(expected))


class Interrupted(Exception):  # noqa: N818  # what happens to a run, not what is wrong with it
    """What ends a run in the middle."""


@pytest.mark.slow
@pytest.mark.parametrize('name', ['RetinaNet', 'PSPNet'])
def test_all_that_learns_is_saved(tmp_path, name):
    """Interrupted and resumed in its folder, a run ends bit by bit as one that was not."""

    def interrupt(runner: Runner) -> None:
        if runner.iter == 4:
            raise Interrupted

    runs.train(config(tmp_path / 'whole', name, [entry(name)], iters=6, save=3))
    hooks = [entry(name), runs.watching(after_train_iter=interrupt)]
    with pytest.raises(Interrupted):
        runs.train(config(tmp_path / 'parted', name, hooks, iters=6, save=3))
    torch.rand(3)  # whatever the next process has drawn before it resumes
    resumed = runs.train(config(tmp_path / 'parted', name, [entry(name)], iters=6, save=3, resume=True))
    assert resumed.iter == 6
    whole, parted = (read(tmp_path / folder / 'iter_6.pth') for folder in ('whole', 'parted'))
    assert whole[KEY]['distiller']['strategy']['agent']['n_updates'] > 0
    timed = ('meta', 'message_hub')
    assert [key for key in whole if key not in timed and not runs.same(whole[key], parted[key])] == []


def test_a_hooked_iteration(tmp_path):
    """The quick one: the classes of the data set are known to the hook, and its losses are the Runner's."""
    losses: list[dict[str, Any]] = []
    teachers = dict(t=dense.teacher('RetinaNet', classes_named=('3', '1', '9')))
    hook = entry('RetinaNet', teachers=teachers)
    runner = runs.train(config(tmp_path, 'RetinaNet', [hook, runs.record_losses(losses)], iters=1))
    common = runs.hook_of(runner).distiller.task.common['t']
    assert (common.student, common.teacher) == ((1, 3), (1, 0))
    assert float(losses[0]['loss_kd_logit']) > 0
    assert runner.message_hub.get_scalar('train/w_t').current() > 0
