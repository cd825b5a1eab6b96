"""The check of whole toolboxes: which configs, what data, what the processes answer, what is said and written."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.structures import BaseDataElement
from torch import nn

from mtkd_rl.compatibility import hooked, made, prepare
from mtkd_rl.compatibility.check import Verdict, add, read
from mtkd_rl.compatibility.reasons import in_words
from mtkd_rl.compatibility.reload import load_strictly
from mtkd_rl.compatibility.report import page, versions_of
from mtkd_rl.compatibility.server import Server
from mtkd_rl.compatibility.toolboxes import TOOLBOXES, families, family_of, root_of, size_by_name
from mtkd_rl.errors import MTKDError

ROOT = Path(__file__).parents[1]
TOOL = ROOT / 'tools' / 'check_compat.py'


# ---- which configs


@pytest.mark.parametrize('toolbox', TOOLBOXES)
def test_every_family_that_ships_is_there_with_configs_that_are(toolbox: str) -> None:
    root = root_of(toolbox) / 'configs'
    found = families(toolbox)
    assert set(found) == {path.name for path in root.iterdir() if path.is_dir() and not path.name.startswith('_')}
    assert all((root / config).is_file() for configs in found.values() for config in configs)
    assert all(config.split('/')[0] == family for family, configs in found.items() for config in configs)
    assert not any('_base_' in config for configs in found.values() for config in configs)


@pytest.mark.parametrize(
    ('smaller', 'larger'),
    [
        ('a/net_r18_x.py', 'a/net_r50_x.py'),
        ('a/net_r50.py', 'a/net_r101.py'),
        ('a/swin-tiny_16xb64.py', 'a/swin-base_16xb64.py'),
        ('a/vit-base-p16.py', 'a/vit-huge-p14.py'),
        ('a/yolox_s_8xb8-300e.py', 'a/yolox_m_8xb8-300e.py'),
        ('a/net_r50_fpn.py', 'a/swin-large_fpn.py'),
        ('a/regnetx-400mf_8xb128.py', 'a/regnetx-12gf_8xb64.py'),
        ('a/net_r50_8xb4-20k_512x512.py', 'a/net_r101_8xb4-20k_512x512.py'),
        ('a/net_r50_1x_longer_name.py', 'a/sub/net_r18.py'),
        ('a/net_r50.py', 'a/net_r50_fpn.py'),
        ('a/faster-rcnn_r50.py', 'a/mask-rcnn_r50.py'),
        ('a/mask-rcnn_r50.py', 'a/cascade-mask-rcnn_r18.py'),
    ],
)
def test_names_tell_the_smaller_config(smaller: str, larger: str) -> None:
    assert size_by_name(smaller) < size_by_name(larger)


def test_a_config_is_found_by_every_form_of_its_name(tmp_path: Path) -> None:
    config = 'lenet/lenet5_mnist.py'
    path = root_of('mmpretrain') / 'configs' / config
    assert {family_of('mmpretrain', name) for name in (config, f'mmpretrain::{config}', str(path))} == {
        ('lenet', config)
    }
    own = tmp_path / 'mine.py'
    own.touch()
    assert family_of('mmpretrain', str(own)) == (tmp_path.name, str(own))
    with pytest.raises(MTKDError, match=r'lenet5_mnist\.py'):
        family_of('mmpretrain', 'lenet/lenet5_mnis.py')


def test_what_would_be_downloaded_is_taken_out_and_other_initial_weights_stay(tmp_path: Path) -> None:
    model = dict(
        type='X',
        pretrained='torchvision://resnet50',
        backbone=dict(
            pretrained=True,
            norm_cfg=dict(type='SyncBN', requires_grad=True),
            init_cfg=dict(type='Pretrained', checkpoint='https://x/y.pth'),
        ),
        neck=[dict(init_cfg=[dict(type='Normal', std=0.1)], teacher_ckpt='https://x/y.pth')],
    )
    (tmp_path / 'configs').mkdir()
    Config(dict(model=model)).dump(tmp_path / 'configs' / 'a.py')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        got = prepare.read(tmp_path, 'a.py').model.to_dict()
    assert got == dict(
        type='X',
        pretrained=None,
        backbone=dict(pretrained=False, norm_cfg=dict(type='BN', requires_grad=True), init_cfg=None),
        neck=[dict(init_cfg=[dict(type='Normal', std=0.1)], teacher_ckpt=None)],
    )


def test_a_config_without_a_model_says_so(tmp_path: Path) -> None:
    (tmp_path / 'configs').mkdir()
    (tmp_path / 'configs' / 'a.py').write_text('batch_size = 3\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        with pytest.raises(prepare.NotOfTheTaskError, match='data alone'):
            prepare.read(tmp_path, 'a.py')


def test_what_pads_and_what_takes_regions_is_made_small() -> None:
    cfg = Config(
        dict(
            model=dict(
                data_preprocessor=dict(size=(512, 1024), batch_augments=[dict(type='Pad', size=(1024, 1024)), dict()]),
                backbone=dict(size=(9, 9)),
                train_cfg=dict(
                    rcnn=[dict(sampler=dict(num=512)), dict(sampler=dict(num=16))],
                    sampler=dict(),
                    rpn_proposal=dict(max_per_img=1000, nms_pre=2000),
                ),
            )
        )
    )
    prepare.shrink(cfg, 96, False)
    assert cfg.model.to_dict() == dict(
        data_preprocessor=dict(size=(96, 96), batch_augments=[dict(type='Pad', size=(96, 96)), dict()]),
        backbone=dict(size=(9, 9)),
        train_cfg=dict(
            rcnn=[dict(sampler=dict(num=32)), dict(sampler=dict(num=16))],
            sampler=dict(),
            rpn_proposal=dict(max_per_img=32, nms_pre=2000),
        ),
    )


# ---- made data


DETECTOR = dict(bbox_head=dict(num_classes=3), rpn_head=dict(num_classes=1), semantic_head=dict(num_classes=9))


def test_made_detections_lie_in_the_picture_and_in_the_classes() -> None:
    cfg = dict(model=DETECTOR, train_pipeline=[dict(type='LoadAnnotations', with_mask=True)])
    samples = made.batch('mmdet', cfg, 64)
    for sample in samples:
        assert sample['inputs'].shape == (3, 64, 64)
        assert sample['inputs'].dtype == torch.uint8
        truth = sample['data_samples'].gt_instances
        x1, y1, x2, y2 = truth.bboxes.unbind(1)
        assert ((x1 >= 0) & (y1 >= 0) & (x2 <= 64) & (y2 <= 64) & (x2 - x1 > 8) & (y2 - y1 > 8)).all()
        assert ((truth.labels >= 0) & (truth.labels < 3)).all()
        inside = truth.masks.to_tensor(torch.bool, 'cpu')
        for mask, box in zip(inside, truth.bboxes.int()):
            assert mask.any()
            assert mask[box[1] : box[3], box[0] : box[2]].sum() == mask.sum()
        assert set(sample['data_samples'].gt_sem_seg.sem_seg.unique().tolist()) <= {*range(9), 255}
    assert not torch.equal(samples[0]['inputs'], samples[1]['inputs'])
    again = made.batch('mmdet', cfg, 64)
    assert all(torch.equal(one['inputs'], other['inputs']) for one, other in zip(samples, again))
    assert 'masks' not in made.batch('mmdet', dict(model=DETECTOR), 64)[0]['data_samples'].gt_instances


def test_made_panoptic_maps_agree_with_the_masks() -> None:
    cfg = dict(
        model=dict(panoptic_head=dict(num_things_classes=4, num_stuff_classes=5)), train_pipeline=[dict(with_mask=True)]
    )
    for sample in made.batch('mmdet', cfg, 64):
        data = sample['data_samples']
        whole = data.gt_sem_seg.sem_seg[0]
        mask, label = data.gt_instances.masks.masks[-1].astype(bool), data.gt_instances.labels[-1]
        assert (whole[mask] == label).all()
        assert set(whole.unique().tolist()) <= {*range(9), 255}
        assert whole.unique().numel() > 2


def test_made_segments_have_void_and_only_classes_that_are() -> None:
    cfg = dict(model=dict(backbone=dict(num_classes=2), decode_head=[dict(num_classes=6), dict(num_classes=5)]))
    for sample in made.batch('mmseg', cfg, 33):
        labels = sample['data_samples'].gt_sem_seg.data
        assert labels.shape == (1, 33, 33)
        assert (labels == 255).any()
        assert set(labels.unique().tolist()) <= {*range(5), 255}


def test_made_classification_has_the_channels_and_classes_of_the_config() -> None:
    cfg = dict(model=dict(head=dict(num_classes=2)), data_preprocessor=dict(mean=[33.0], std=[78.0]))
    samples = made.batch('mmpretrain', cfg, 32, pictures=5)
    assert samples[0]['inputs'].shape == (1, 32, 32)
    assert {int(sample['data_samples'].gt_label) for sample in samples} == {0, 1}


def test_tensors_of_an_answer_come_in_one_order_without_the_truth() -> None:
    names = ['pred_b', 'gt_a', 'pred_a', 'other']
    for order in (names, names[::-1]):
        element = BaseDataElement(**{name: torch.tensor(i) for i, name in enumerate(order)})
        got = made.tensors([(torch.tensor(9),), {'x': element}])
        assert [int(each) for each in got] == [9, *(order.index(name) for name in ('other', 'pred_a', 'pred_b'))]


def test_small_pictures_are_tried_first_then_what_the_model_wants_then_the_data() -> None:
    cfg = dict(
        model=dict(backbone=dict(img_size=(768, 1024))), train_pipeline=[dict(scale=(1333, 800)), dict(crop_size=512)]
    )
    assert made.sizes('mmseg', cfg) == [(128, False), (128, True), (768, False), (512, False)]
    assert made.sizes('mmdet', dict(model={}, train_pipeline=[dict(size=256)])) == [(128, False), (256, False)]
    cfg = dict(model=dict(backbone=dict(img_size=224)))
    assert made.sizes('mmpretrain', cfg) == [(96, False), (224, False)]
    large = Config(dict(model=dict(backbone=dict(img_size=(640, 640)))))
    prepare.shrink(large, *made.sizes('mmseg', large)[1])
    assert large.model.backbone.img_size == 128


# ---- what the hooked run has to have done


def watched(*losses: dict[str, float], teaches: bool = True) -> hooked.Watch:
    watch = hooked.Watch()
    watch.losses = list(losses)
    watch.teaches = {'loss_kd_logit': teaches}
    return watch


GOOD_LOSS = {'loss_kd_logit': 0.5}


@pytest.mark.parametrize(
    ('watch', 'complaint'),
    [
        (watched(GOOD_LOSS, GOOD_LOSS), None),
        (watched(GOOD_LOSS), 'added no loss'),
        (watched(GOOD_LOSS, {}), 'added no loss'),
        (watched(GOOD_LOSS, {'loss_kd_logit': float('nan')}), 'not finite'),
        (watched(GOOD_LOSS, GOOD_LOSS, teaches=False), 'no gradient'),
    ],
)
def test_a_hooked_run_without_effect_is_no_pass(watch: hooked.Watch, complaint: str | None) -> None:
    student = nn.Linear(2, 2)
    before = {name: value.detach().clone() for name, value in student.named_parameters()}
    nn.init.ones_(student.weight)
    if complaint is None:
        hooked.check(watch, student, before)
        return
    with pytest.raises(FloatingPointError, match=complaint):
        hooked.check(watch, student, before)


def test_a_student_that_stays_as_it_was_or_breaks_is_no_pass() -> None:
    student = nn.Linear(2, 2)
    same = {name: value.detach().clone() for name, value in student.named_parameters()}
    with pytest.raises(FloatingPointError, match='has changed'):
        hooked.check(watched(GOOD_LOSS, GOOD_LOSS), student, same)
    nn.init.constant_(student.bias, float('inf'))
    with pytest.raises(FloatingPointError, match='parameter of the student is not finite'):
        hooked.check(watched(GOOD_LOSS, GOOD_LOSS), student, same)


def test_a_gradient_is_found_wherever_in_the_student_it_is() -> None:
    student = nn.Sequential(nn.Sequential(*[nn.Linear(2, 2) for _ in range(20)]), nn.Linear(2, 2))
    x = torch.ones(1, 2)
    early, late = student[0][0](x).sum(), student(x).sum()
    assert hooked.has_gradient(early, student)
    assert hooked.has_gradient(late, student)
    assert not hooked.has_gradient(late.detach(), student)
    assert not hooked.has_gradient(0 * late, student)
    student[0].requires_grad_(False)
    assert not hooked.has_gradient(torch.ones((), requires_grad=True) * early.detach(), student)


# ---- what is loaded


class Forgetful(nn.Linear):
    """Like Swin V2: it drops a buffer of whatever it loads, and so cannot load itself strictly."""

    def __init__(self) -> None:
        super().__init__(2, 2)
        self.register_buffer('table', torch.ones(1))
        self._register_load_state_dict_pre_hook(
            lambda state_dict, prefix, *args: state_dict.pop(prefix + 'table', None)
        )


@pytest.mark.parametrize('make', [lambda: nn.Linear(2, 2), Forgetful])
def test_checkpoints_load_as_strictly_as_the_model_loads_itself(make: Callable[[], nn.Module]) -> None:
    model, other = make(), make()
    load_strictly(model, other.state_dict())
    assert torch.equal(model.weight, other.weight)
    for wrong in ({**other.state_dict(), 'more': torch.ones(1)}, {'weight': other.weight}):
        with pytest.raises(RuntimeError, match=r'more|bias'):
            load_strictly(model, wrong)


# ---- processes

FUNCTIONS = """
import os, signal, time
state = []
def remember(what):
    print('this goes to the log')
    state.append(what)
    return state
def fail(line): raise ValueError(line)
def sleep(seconds): time.sleep(seconds)
def take(megabytes): return len(bytearray(megabytes << 20))
def die(): os.kill(os.getpid(), signal.SIGKILL)
"""


def test_each_task_has_a_process_of_its_own_and_no_failure_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'functions_of_a_test.py').write_text(FUNCTIONS)
    monkeypatch.setenv('PYTHONPATH', f'{tmp_path}:{ROOT}')
    log = tmp_path / 'log'
    server = Server(['functions_of_a_test'], log, memory=400 << 20)
    name = 'functions_of_a_test:'
    assert server.ask(name + 'remember', 20, what=1)['value'] == [1]
    assert server.ask(name + 'remember', 20, what=2)['value'] == [2]  # not [1, 2]
    failed = server.ask(name + 'fail', 20, line='two\nlines')
    assert failed['error'] == 'ValueError: two lines'
    assert 'raise ValueError(line)' in failed['trace']
    slow = server.ask(name + 'sleep', 0.2, seconds=60)
    assert slow['error'].startswith('TimeoutError')
    assert slow['seconds'] < 30
    assert server.ask(name + 'take', 20, megabytes=100)['value'] == 100 << 20
    assert server.ask(name + 'take', 20, megabytes=1000)['error'].startswith('MemoryError')
    assert 'status 9' in server.ask(name + 'die', 20)['error']
    assert server.ask(name + 'remember', 20, what=3)['value'] == [3]
    server.close()
    assert log.read_text().count('this goes to the log') == 3


def test_a_server_whose_module_is_missing_says_so(tmp_path: Path) -> None:
    server = Server(['there_is_no_such_module'], tmp_path / 'log')
    with pytest.raises(MTKDError, match='there_is_no_such_module'):
        server.ask('json:loads', 20, s='1')
    server.close()


# ---- what is said


@pytest.mark.parametrize(
    ('error', 'words'),
    [
        ('NotOfTheTaskError: tracker (ByteTrack)', 'tracker (ByteTrack)'),
        ("ModuleNotFoundError: No module named 'transformers'", 'needs the package transformers'),
        (
            'RuntimeError: operator top_pool_forward: mmcv was installed without its compiled extension',
            "needs mmcv's compiled operator top_pool_forward",
        ),
        ("OSError: We couldn't connect to 'https://huggingface.co' ... offline mode", 'needs a download'),
        (
            'ImportError: Blip2VQA requires extra multi-modal dependencies, please install it by `pip install ...`',
            'multi-modal, and needs optional packages',
        ),
        ('TimeoutError: it takes longer than 300 s', 'it takes longer than 300 s'),
        ('ZeroDivisionError: division by zero', 'ZeroDivisionError: division by zero'),
        ('OSError: no file "/opt/x-1.0/lib/a.py" at https://a.b/c/d', 'OSError: no file "a.py" at https://a.b/c/d'),
    ],
)
def test_reasons_are_told_in_words(error: str, words: str) -> None:
    assert in_words(error) == words


def verdict(config: str, **more: object) -> Verdict:
    return Verdict('mmdet', config.split('/')[0], config, True, {'torch': '2.0'}, **more)


GOOD = verdict('a/a.py', plain=True, hooked=True, checkpoint=True, knowledge=('feature',), side=128)
BROKEN = verdict('b/b.py', plain=True, hooked=False, side=128, reason='MTKDError: x | y')
UNFIT = verdict('c/c.py', reason='tracker (C)')


def test_a_verdict_is_broken_only_where_the_plain_step_went_well() -> None:
    assert [each.passed for each in (GOOD, BROKEN, UNFIT)] == [True, False, False]
    assert [each.broken for each in (GOOD, BROKEN, UNFIT)] == [False, True, False]
    assert GOOD._replace(checkpoint=False).broken


def test_verdicts_are_read_as_they_were_written_the_last_of_each_config(tmp_path: Path) -> None:
    path = tmp_path / 'x.jsonl'
    assert read(path) == []
    for each in (GOOD._replace(hooked=False), BROKEN, GOOD, GOOD._replace(chosen=False)):
        add(path, each)
    assert sorted(read(path)) == sorted([BROKEN, GOOD, GOOD._replace(chosen=False)])


def test_the_page_counts_and_shows_what_was_found() -> None:
    text = page({'mmdet': [GOOD, BROKEN, UNFIT], 'mmseg': []})
    assert (
        f'{len(families("mmdet"))} families ship, and 3 were tried. 2 of them train plainly; 1 of these 2 train' in text
    )
    assert '| a | a | yes | yes | yes | feature | 128 |' in text
    assert '| b | b | yes | **no** |  | MTKDError: x \\| y | 128 |' in text
    assert '| c | c | tracker (C) |' in text
    assert 'torch 2.0' in text
    assert '## mmseg' not in text


@pytest.mark.parametrize('toolbox', TOOLBOXES)
def test_the_page_that_travels_shows_shipped_configs_each_family_once_and_nothing_broken(toolbox: str) -> None:
    text = (ROOT / 'docs' / 'compatibility.md').read_text()
    section = text.split(f'## {toolbox}\n')[1].split('\n## ')[0].split('Other configs:')[0]
    rows = [[cell.strip() for cell in line.split('|')[1:-1]] for line in section.splitlines() if line.startswith('| ')]
    rows = [row for row in rows if row[0] not in ('family', '---')]
    assert len({row[0] for row in rows}) == len(rows)
    shipped = families(toolbox)
    assert all(f'{row[0]}/{row[1]}.py' in shipped[row[0]] for row in rows)
    trained = [row for row in rows if len(row) > 3]
    assert all(row[2:5] == ['yes'] * 3 for row in trained)
    assert (
        f'{len(trained)} of them train plainly; {len(trained)} of these {len(trained)} train with the hook' in section
    )


def test_versions_name_what_is_installed() -> None:
    versions = versions_of('mmpretrain')
    assert versions['torch'] == torch.__version__.split('+')[0]
    assert 'operators' in versions['mmcv']
    assert versions['mmpretrain'][0].isdigit()


# ---- all of it

BROKEN_MODEL = """
from mmpretrain.models import ImageClassifier
from mmpretrain.registry import MODELS

@MODELS.register_module()
class Counting(ImageClassifier):
    # what it says depends on how long it has trained, which no checkpoint knows
    steps = 0

    def loss(self, inputs, data_samples):
        self.steps += 1
        return super().loss(inputs, data_samples)

    def extract_feat(self, *args, **kwargs):
        return tuple(x + self.steps for x in super().extract_feat(*args, **kwargs))
"""


def run_tool(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment(folder), timeout=600)


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, 'PYTHONPATH': f'{folder}:{ROOT}', 'COLUMNS': '200'}


@pytest.mark.slow
def test_a_family_passes_is_recorded_and_is_not_run_again(tmp_path: Path) -> None:
    first = run_tool(tmp_path, 'mmpretrain', '--family', 'lenet')
    assert first.returncode == 0, first.stdout + first.stderr
    assert '1 of 1 train plainly, 1 of these with the hook' in first.stdout
    (record,) = map(json.loads, (tmp_path / 'work_dirs/compat/mmpretrain.jsonl').read_text().splitlines())
    assert [record['plain'], record['hooked'], record['checkpoint']] == [True] * 3
    assert record['config'] == 'lenet/lenet5_mnist.py'
    assert record['knowledge'] == ['logit', 'feature']
    assert record['side'] == 32  # a linear layer of LeNet fits no other
    second = run_tool(tmp_path, 'mmpretrain', '--family', 'lenet')
    assert '1 passed before' in second.stdout
    assert second.returncode == 0
    assert len((tmp_path / 'work_dirs/compat/mmpretrain.jsonl').read_text().splitlines()) == 1


@pytest.mark.slow
def test_a_model_that_is_not_what_its_checkpoint_says_gives_exit_status_1(tmp_path: Path) -> None:
    (tmp_path / 'counting.py').write_text(BROKEN_MODEL)
    (tmp_path / 'mine.py').write_text(
        "_base_ = 'mmpretrain::lenet/lenet5_mnist.py'\n"
        "custom_imports = dict(imports=['counting'])\nmodel = dict(type='Counting')\n"
    )
    done = run_tool(tmp_path, 'mmpretrain', '--config', str(tmp_path / 'mine.py'))
    assert done.returncode == 1, done.stdout + done.stderr
    assert 'plain yes  hooked yes  checkpoint no' in done.stdout
    assert 'predictions are not those of the trained model' in done.stdout


@pytest.mark.slow
def test_a_model_of_another_task_is_told_and_is_no_failure(tmp_path: Path) -> None:
    done = run_tool(tmp_path, 'mmpretrain', '--config', 'simsiam/simsiam_resnet50_8xb32-coslr-100e_in1k.py')
    assert done.returncode == 0, done.stdout + done.stderr
    assert 'self-supervised (SimSiam)' in done.stdout
    assert '0 of 1 train plainly' in done.stdout


def test_an_unknown_family_is_an_error_that_names_the_near_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = importlib.util.spec_from_file_location('check_compat', TOOL)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.main(['mmpretrain', '--family', 'resnext2']) == 1
    said = capsys.readouterr().err
    assert said.startswith('error: mmpretrain has no family resnext2')
    assert 'resnext' in said.split('did you mean')[1]


@pytest.mark.slow
def test_a_checkpoint_with_other_weights_is_noticed(tmp_path: Path) -> None:
    root = str(root_of('mmpretrain'))
    where = dict(toolbox='mmpretrain', root=root, config='lenet/lenet5_mnist.py', side=32, fit=False)
    where['folder'] = str(tmp_path)
    server = Server(['mtkd_rl.hook', 'mmpretrain.models'], tmp_path / 'log')
    assert 'value' in server.ask('mtkd_rl.compatibility.hooked:train', 200, **where)
    load = 'mtkd_rl.compatibility.reload:load'
    assert 'has imported mtkd_rl' in server.ask(load, 200, **where, grown=[])['error']
    server.close()
    plain = Server(['mtkd_rl.compat', 'mmpretrain.models'], tmp_path / 'log')
    assert plain.ask(load, 200, **where, grown=[])['value']['compared'] == 10
    path = tmp_path / 'iter_2.pth'
    checkpoint = torch.load(path, weights_only=False)
    name, value = list(checkpoint['state_dict'].items())[-1]
    checkpoint['state_dict'][name] = value + 0.1
    torch.save(checkpoint, path)
    assert 'predictions' in plain.ask(load, 200, **where, grown=[])['error']
    del checkpoint['state_dict'][name]
    torch.save(checkpoint, path)
    assert 'Missing key' in plain.ask(load, 200, **where, grown=[])['error']
    plain.close()
