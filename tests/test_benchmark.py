"""The benchmark tool, the parts behind it, and the made pictures that it runs on."""

import json
import os
import pickle
import shlex
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import MODELS, DefaultScope
from mmengine.runner import Runner

from mtkd_rl import benchmark
from mtkd_rl.benchmark import Options, naive
from mtkd_rl.benchmark.scale import Job, scale
from mtkd_rl.datasets import MadeClassification
from mtkd_rl.errors import MTKDError
from mtkd_rl.hook import MTKDHook

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / 'configs/digits/mtkd_rl_tiny_digits.py'
MIXUP = ROOT / 'configs/imagenet/mtkd_rl_resnet18_mixup_cutmix_imagenet.py'
NAMES = count()


def load_tool() -> Any:
    spec = spec_from_file_location('tool_benchmark', ROOT / 'tools/benchmark.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


# --- made pictures


@settings(max_examples=12, deadline=None)
@given(
    n=st.integers(1, 9),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    classes=st.integers(1, 20),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**31),
    data=st.data(),
)
def test_made_pictures_are_those_of_their_number(
    n: int, height: int, width: int, classes: int, channels: int, seed: int, data: st.DataObject
) -> None:
    idx = data.draw(st.integers(0, n - 1))
    made, again = (MadeClassification(n, (height, width), classes, channels, seed) for _ in range(2))
    list(again)  # whatever was asked for before
    sample, other = made[idx], again[idx]
    assert len(made) == n
    assert sample['inputs'].shape == (channels, height, width)
    assert sample['inputs'].dtype == torch.uint8
    assert torch.equal(sample['inputs'], other['inputs'])
    assert sample['data_samples'].gt_label == other['data_samples'].gt_label
    assert 0 <= int(sample['data_samples'].gt_label) < classes


def test_made_pictures_are_noise() -> None:
    made = MadeClassification(400, 16, 10)
    pictures = torch.stack([sample['inputs'] for sample in made]).double()
    labels = torch.cat([sample['data_samples'].gt_label for sample in made])
    assert pictures.shape == (400, 3, 16, 16)
    # a uniform integer in 0..255 has mean 127.5 and standard deviation 73.9; 307,200 of them
    assert pictures.mean() == pytest.approx(127.5, abs=0.7)
    assert pictures.std() == pytest.approx(73.9, abs=0.7)
    assert len(pictures.flatten(1).unique(dim=0)) == 400
    assert torch.bincount(labels, minlength=10).min() > 15
    other = MadeClassification(400, 16, 10, seed=1)
    assert not torch.equal(made[0]['inputs'], other[0]['inputs'])


def test_made_pictures_survive_the_way_to_a_loaders_worker() -> None:
    made = MadeClassification(5, 4, 3)
    assert torch.equal(pickle.loads(pickle.dumps(made))[3]['inputs'], made[3]['inputs'])


def test_made_pictures_go_through_a_pipeline() -> None:
    crop = [{'type': 'CenterCrop', 'crop_size': 4}, {'type': 'PackInputs'}]
    cropped, whole = MadeClassification(1, 8, 2, pipeline=crop), MadeClassification(1, 8, 2)
    assert torch.equal(cropped[0]['inputs'], whole[0]['inputs'][:, 2:6, 2:6])


@pytest.mark.parametrize('wrong', [{'n': 0}, {'size': 0}, {'num_classes': 0}, {'channels': 0}, {'seed': -1}])
def test_made_pictures_refuse_what_cannot_be_made(wrong: dict[str, int]) -> None:
    with pytest.raises(MTKDError, match=next(iter(wrong))):
        MadeClassification(**{'n': 1, 'size': 1, 'num_classes': 1, **wrong})


# --- configs of the variants


class Watch(Hook):
    """Keeps what the Runner ends with."""

    seen: list[Runner] = []

    def after_train(self, runner: Runner) -> None:
        self.seen.append(runner)


def config(**entry: Any) -> Config:
    """The digits' config, with other settings of its ``MTKDHook``, and another hook."""
    cfg = Config.fromfile(DIGITS)
    cfg.custom_hooks[0].update(entry)
    cfg.custom_hooks.append({'type': Watch})
    return cfg


@pytest.mark.parametrize('name', sorted({*benchmark.STEP.variants, *benchmark.POOL.variants}))
def test_a_variant_differs_in_its_hook_alone(name: str, tmp_path: Path) -> None:
    cfg = config(strategy={'type': 'PPOWeighting', 'rollout': 77}, begin=5, warmup=3, temperature=2.0)
    before = cfg.to_dict()
    changed = benchmark.variant(cfg, name, tmp_path / name)
    assert cfg.to_dict() == before
    for key in ('model', 'optim_wrapper', 'param_scheduler', 'train_dataloader', 'data_preprocessor'):
        assert changed[key] == cfg[key]
    assert changed.custom_hooks[-1] == {'type': Watch}
    assert changed.default_hooks == {**cfg.default_hooks, 'checkpoint': None}
    entries = [hook for hook in changed.custom_hooks if hook['type'] == 'mtkd_rl.MTKDHook']
    assert len(entries) == (name not in ('plain', 'naive'))
    for entry in entries:
        agent, average = {'type': 'PPOWeighting', 'rollout': 77}, {'type': 'AverageWeighting'}
        assert entry['strategy'] == (agent if name in ('ppo', 'ppo_cached') else average)
        folder = str(tmp_path / name / 'cache')
        assert (entry['cache'] or {}).get('folder') == (folder if name in ('cached', 'ppo_cached') else None)
        live = {'live_bf16': {'precision': 'bfloat16'}, 'live_compiled': {'compile': True}}.get(name, {})
        assert entry['live'] == live
        assert (entry['begin'], entry['end'], entry['warmup'], entry['temperature']) == (0, None, 0, 2.0)
        assert set(entry['teachers']) == {'strong', 'half', 'weak'}


def test_the_agent_of_a_config_without_one_has_its_defaults(tmp_path: Path) -> None:
    fixed = {'type': 'FixedWeighting', 'weights': {'strong': 1.0}}
    changed = benchmark.variant(config(strategy=fixed), 'ppo', tmp_path)
    assert changed.custom_hooks[0]['strategy'] == {'type': 'PPOWeighting'}


def test_a_plan_without_a_variant_compares_nothing_to_it() -> None:
    left = benchmark.without(benchmark.POOL, 'naive')
    assert 'naive' not in left.variants
    assert set(left.variants) == set(benchmark.POOL.variants) - {'naive'}
    assert set(left.ratios) == {'ppo/average', 'cached/plain', 'ppo cached/plain', 'ppo/average cached'}
    for plan in (benchmark.STEP, benchmark.POOL, left):
        assert {name for pair in plan.ratios.values() for name in pair} <= set(plan.variants)


def test_no_teacher_needs_a_file() -> None:
    teachers = {
        'lab': {'config': 'x.py', 'checkpoint': 'x.pth'},
        'tv': {'type': 'Torchvision', 'model': 'resnet18', 'weights': 'DEFAULT'},
        'tm': {'type': 'Timm', 'model': 'resnet18', 'pretrained': True},
        'mine': {'type': 'Callable', 'build': 'a.b', 'temperature': 2.0},
    }
    expected = {
        'lab': {'config': 'x.py', 'checkpoint': 'random'},
        'tv': {'type': 'Torchvision', 'model': 'resnet18', 'weights': None, 'checkpoint': 'random'},
        'tm': {'type': 'Timm', 'model': 'resnet18', 'pretrained': False, 'checkpoint': 'random'},
        'mine': {'type': 'Callable', 'build': 'a.b', 'temperature': 2.0, 'checkpoint': 'random'},
    }
    assert benchmark.untrained(teachers) == expected
    listed = benchmark.untrained([{'name': name, **entry} for name, entry in teachers.items()])
    assert listed == [{'name': name, **entry} for name, entry in expected.items()]


def test_a_cycle_fills_the_rollout() -> None:
    assert benchmark.cycle({}, 64) == 16  # 1,024 samples, as PPOWeighting has it
    assert benchmark.cycle({'strategy': {'type': 'PPOWeighting', 'rollout': 100}}, 64) == 2
    assert benchmark.cycle({'strategy': {'type': 'AverageWeighting'}}, 2000) == 1
    assert benchmark.cycle({'strategy': 'AverageWeighting'}, 64) == 16


def test_the_size_of_a_picture() -> None:
    size = benchmark.picture_size
    crops = [{'type': 'Resize', 'scale': 40}, {'type': 'RandomCrop', 'crop_size': (24, 32)}, {'type': 'PackInputs'}]
    assert size({'pipeline': crops}) == (24, 32)
    assert size({'type': 'RepeatDataset', 'dataset': {'pipeline': crops[:1]}}) == (40, 40)
    assert size({'pipeline': [*crops, {'type': 'RandomResize', 'scale': (0.5, 2.0)}]}) == (24, 32)
    assert size(Config.fromfile(MIXUP).train_dataloader.dataset) == (224, 224)
    assert size({'type': 'mtkd_rl.Digits', 'pipeline': [{'type': 'mmpretrain.PackInputs'}]}) == (8, 8)
    with pytest.raises(MTKDError, match='no-such-folder'):
        size({'type': 'mtkd_rl.NpzClassification', 'ann_file': 'x.npz', 'data_root': 'no-such-folder'})


# --- measuring


def test_the_summary_by_hand() -> None:
    seconds = {'plain': [1, 2, 4], 'teachers': [3, 3, 3], 'average': [4, 6, 8], 'ppo': [4.4, 9, 8.4]}
    memory = {'plain': 10 * 2**20, 'teachers': 2 * 2**20, 'average': 20 * 2**20, 'ppo': 21 * 2**20}
    said = benchmark.summarise(benchmark.STEP, seconds, memory, Options(1, 50, 3, 10))
    assert {name: each['ms'] for name, each in said['variants'].items()} == {
        'plain': 200,
        'teachers': 300,
        'average': 600,
        'ppo': 840,
    }
    assert said['variants']['ppo']['memory_mib'] == 21
    assert said['variants']['plain']['images'] == 250  # 10 batches of 50 in 2 seconds
    assert said['of_rounds'] == {
        'average/plain': [4, 3, 2],
        'ppo/average': [1.1, 1.5, 1.05],
        'teachers/average': [0.75, 0.5, 0.375],
    }
    assert said['ratios'] == {
        'average/plain': 3,
        'ppo/average': 1.1,  # not 8.4 / 6, the ratio of the medians
        'teachers/average': 0.5,
        'average/plain memory': 2,
        'ppo/average memory': 1.05,
        'teachers/average memory': 0.1,
    }


def test_an_environment_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('MTKD_OLD', 'old')
    monkeypatch.delenv('MTKD_NEW', raising=False)
    with benchmark.environment({'MTKD_OLD': 'a', 'MTKD_NEW': 'b'}):
        assert (os.environ['MTKD_OLD'], os.environ['MTKD_NEW']) == ('a', 'b')
    assert os.environ['MTKD_OLD'] == 'old'
    assert 'MTKD_NEW' not in os.environ


def test_the_peak_of_resident_memory() -> None:
    cpu = torch.device('cpu')
    start = benchmark.start_memory(cpu)
    torch.ones(64 * 2**20 // 4)
    peak = benchmark.peak_memory(cpu) - start
    assert 60 * 2**20 < peak < 90 * 2**20
    assert benchmark.peak_memory(cpu) - benchmark.start_memory(cpu) > 60 * 2**20
    assert benchmark.peak_memory(cpu) - start < 30 * 2**20  # the peak before the second start is forgotten


def take_turns(name: str, work_dir: Path, turns: list[int], *hooks: dict[str, Any], **entry: Any) -> list[Any]:
    """Runs a variant in this process; its parent has said beforehand what it wants. The Runner is in ``Watch.seen``."""
    parent, worker = Pipe()
    for times in [*turns, 0]:
        parent.send(times)
    cfg = config(**entry)
    cfg.custom_hooks.extend(hooks)
    cfg = benchmark.variant(cfg, name, work_dir)
    cfg.experiment_name = f'test_benchmark_{next(NAMES)}'
    benchmark.take_turns(worker, name, cfg, Options(torch.get_num_threads(), 50, 1, 2))
    heard = [parent.recv() for _ in range(1 + len(turns))]
    assert not parent.poll()
    return heard


def hook_of(runner: Runner) -> MTKDHook:
    return next(hook for hook in runner.hooks if isinstance(hook, MTKDHook))


def checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.rglob('*.pth') if path.name != 'agent.pth']


def test_the_agent_is_measured_over_whole_cycles(tmp_path: Path) -> None:
    strategy = {'type': 'PPOWeighting', 'rollout': 100, 'n_epochs': 2}
    ready, *turns = take_turns('ppo', tmp_path, [2, 1, 1], strategy=strategy)
    runner = Watch.seen.pop()
    assert ready[:3] == ('cpu', 'peak resident size of the process', torch.get_num_threads())
    assert ready.seconds > 0
    assert all(turn.seconds > 0 and turn.memory >= 0 for turn in turns)
    assert runner.iter == benchmark.WARMUP + 4
    # 200 samples of warm-up make two updates, and the two cycles one each; SB3 counts epochs
    assert hook_of(runner).strategy.agent.ppo._n_updates == 2 * 4
    assert all(torch.isfinite(parameter).all() for parameter in runner.model.parameters())
    assert not checkpoints(tmp_path)


def test_the_plain_student_has_no_trace_of_teachers(tmp_path: Path) -> None:
    assert len(take_turns('plain', tmp_path, [2])) == 2
    runner = Watch.seen.pop()
    assert runner.iter == benchmark.WARMUP + 2
    assert not [hook for hook in runner.hooks if isinstance(hook, MTKDHook)]
    assert not checkpoints(tmp_path)


def test_the_teachers_alone_leave_the_student_as_it_was(tmp_path: Path) -> None:
    asked = []

    class Count(Hook):
        def before_train(self, runner: Runner) -> None:
            self.start = [parameter.clone() for parameter in runner.model.parameters()]
            for teacher in hook_of(runner).pool:
                teacher.model.register_forward_hook(lambda *_, name=teacher.name: asked.append(name))

        def after_train(self, runner: Runner) -> None:
            assert all(torch.equal(a, b) for a, b in zip(self.start, runner.model.parameters(), strict=True))

    take_turns('teachers', tmp_path, [2], {'type': Count, 'priority': 'LOWEST'})
    assert sorted(set(asked)) == ['half', 'strong', 'weak']
    assert all(asked.count(name) == benchmark.WARMUP + 3 for name in set(asked))  # the first batch twice: see Live
    assert Watch.seen.pop().iter == 0


def test_the_cache_answers_once_it_has_seen_every_batch(tmp_path: Path) -> None:
    asked = []

    class Count(Hook):
        def before_train(self, runner: Runner) -> None:
            for teacher in hook_of(runner).pool:
                teacher.model.register_forward_hook(lambda *_, name=teacher.name: asked.append(name))

    take_turns(
        'cached', tmp_path, [3, 5], {'type': Count, 'priority': 'LOWEST'}, live={'fold': False, 'channels_last': False}
    )
    assert Watch.seen.pop().iter == benchmark.WARMUP + 8
    assert all(asked.count(name) == benchmark.WARMUP for name in ('strong', 'half', 'weak'))
    assert list(tmp_path.glob('cache/*/rows.bin'))


def test_the_naive_loop_asks_every_teacher_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    said = naive.said
    monkeypatch.setattr(naive, 'said', lambda model, x: (asked.append(model.training), said(model, x))[1])
    take_turns('naive', tmp_path, [2])
    runner = Watch.seen.pop()
    # the student learns, and three teachers evaluate, in this order
    assert asked == [True, False, False, False] * (benchmark.WARMUP + 2)
    assert not [hook for hook in runner.hooks if isinstance(hook, MTKDHook)]
    assert not checkpoints(tmp_path)


def test_what_the_naive_loop_reads_of_a_classifier_is_what_it_says() -> None:
    cfg = config()
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        student = MODELS.build(cfg.model).eval()
    x = torch.randn(5, 1, 8, 8)
    feature, logits = naive.said(student, x)
    assert torch.equal(feature, student.backbone(x)[-1])
    assert torch.equal(logits, student(x, mode='tensor'))
    one, other = naive.same_size(torch.randn(2, 3, 8, 4), torch.randn(2, 3, 4, 4))
    assert one.shape == other.shape == (2, 3, 4, 4)


# --- what follows for many GPUs

STEP_REPORT = {
    'batch_size': 7,
    'variants': {name: {'ms': ms} for name, ms in (('plain', 100.0), ('teachers', 250.0), ('ppo', 400.0))},
}
CACHE_REPORT = {'batch_size': 20, 'bytes': 10**6, 'ms': {'live': 50.0, 'fill': 60.0, 'read': 10.0, 'cold': 20.0}}


def test_the_scale_by_hand() -> None:
    job = Job(samples=8000, epochs=10, views=2, batch=10, rate=1000.0, storage=1000.0, network=1.0, parameters=10**6)
    one, many = scale(job, STEP_REPORT, CACHE_REPORT, [8, 16])
    # a picture: 1 ms plain, 4 ms live, 1.5 ms without the teachers; 0.5 ms to read, as much to store
    assert one['plain'] * 3600 == pytest.approx(10 * 1000 * 1e-3)
    assert one['live'] * 3600 == pytest.approx(10 * 1000 * 4e-3)
    assert one['cached'] * 3600 == pytest.approx((2 * 4.5e-3 + 8 * 2e-3) * 1000)
    assert (one['epoch_live'] * 60, one['epoch_cached'] * 60) == pytest.approx((4, 2))
    assert one['cache_gb'] == pytest.approx(16)
    assert (one['read_gb_s'], one['write_gb_s']) == pytest.approx((8 * 0.5, 8 / 4.5))
    assert (one['host'], one['storage'], one['network']) == pytest.approx((0.25, 0.004, 0))
    assert one['first'] == 'host'
    # two machines: 8 MB a step and machine over 1 GB/s, 8 ms for 10 pictures
    assert many['plain'] * 3600 == pytest.approx(10 * 500 * 1.8e-3)
    assert many['network'] == pytest.approx(0.8 / 2.8)


def test_a_slow_file_system_is_the_first_to_give_in() -> None:
    job = Job(samples=8000, epochs=10, views=2, batch=10, rate=1000.0, storage=1.0, network=1.0, parameters=0)
    (said,) = scale(job, STEP_REPORT, CACHE_REPORT, [8])
    assert said['cached'] * 3600 == pytest.approx(10 * 1000 * 8e-3)  # 8 GPUs, 1 MB a picture, 1 GB/s: slower than live
    assert (said['storage'], said['first'], said['read_gb_s']) == (1.0, 'storage', pytest.approx(1.0))
    assert said['write_gb_s'] == pytest.approx(1.0)


def test_no_more_views_are_stored_than_there_are_epochs() -> None:
    job = Job(samples=8000, epochs=3, views=8, batch=10, rate=1000.0, storage=1000.0, network=1.0, parameters=0)
    assert scale(job, STEP_REPORT, CACHE_REPORT, [8])[0]['cache_gb'] == pytest.approx(24)


def test_rates_are_above_zero(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ('0', '-1', 'inf', 'fast'):
        with pytest.raises(SystemExit, match='2'):
            tool.main(['scale', str(DIGITS), '--samples', '9', '--step', 'a', '--cache', 'b', f'--rate={wrong}'])
        assert 'expected a number above 0' in capsys.readouterr().err


def test_the_tool_scales(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step, cache, out = (tmp_path / name for name in ('step.json', 'cache.json', 'out.json'))
    step.write_text(json.dumps(STEP_REPORT))
    cache.write_text(json.dumps(CACHE_REPORT))
    command = ['scale', str(DIGITS), '--samples', '1000', '--rate', '5000', '--step', str(step), '--json', str(out)]
    assert tool.main([*command, '--cache', str(cache)]) == 0
    report = json.loads(out.read_text())
    assert [row['gpus'] for row in report['rows']] == [8, 64, 512]
    assert report['job']['epochs'] == Config.fromfile(DIGITS).train_cfg.max_epochs
    assert tool.main([*command, '--cache', str(step)]) == 1
    assert "it has no figure for 'cold'" in capsys.readouterr().err
    assert tool.main([*command, '--cache', str(tmp_path / 'none.json')]) == 1
    assert 'none.json: ' in capsys.readouterr().err


# --- the tool


def test_the_tool_wants_one_thing_to_measure(capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ([], [str(DIGITS), '--pool', 'paper']):
        with pytest.raises(SystemExit, match='2'):
            tool.main(['step', *wrong])
    assert 'not allowed with' in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_the_tool_wants_a_gpu_for_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(['gpu']) == 1
    assert capsys.readouterr().err.startswith('error: gpu: torch sees no CUDA device here')


def test_the_pool_of_the_paper() -> None:
    args = tool.parse(['step', '--pool', 'paper'])
    cfg = tool.configure(args, 'folder')
    assert set(cfg.custom_hooks[0]['teachers']) == {'resnet32x4', 'regnetx_400mf', 'wrn_28_4'}
    assert cfg.train_dataloader.batch_size == 64


def test_the_tool_wants_a_hook(capsys: pytest.CaptureFixture[str]) -> None:
    assert tool.main(['step', str(ROOT / 'configs/digits/students/tiny_digits.py')]) == 1
    assert capsys.readouterr().err.strip().startswith('error: the config has no MTKDHook')


def test_the_tool_checks_the_file_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / 'file').touch()
    assert tool.main(['step', str(DIGITS), '--json', str(tmp_path / 'file/report.json')]) == 1
    assert capsys.readouterr().err.startswith('error: --json ')


@pytest.mark.parametrize('flag', ['--rounds', '--threads', '--batch-size'])
def test_the_tool_counts_from_one(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match='2'):
        tool.main(['step', str(DIGITS), flag, '0'])
    assert f'argument {flag}' in capsys.readouterr().err


@pytest.mark.slow
def test_the_tool_measures_four_variants(tmp_path: Path) -> None:
    file = tmp_path / 'deep/report.json'
    command = [sys.executable, str(ROOT / 'tools/benchmark.py'), 'step', str(DIGITS), '--rounds', '1', '--threads', '1']
    options = ['--batch-size', '10', '--json', str(file), '--cfg-options', 'custom_hooks.0.strategy.type=PPOWeighting']
    done = subprocess.run(
        [*command, *options, 'custom_hooks.0.strategy.rollout=30'],
        cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(file.read_text())
    assert list(report['variants']) == ['plain', 'teachers', 'average', 'ppo']
    assert {'average/plain', 'ppo/average', 'ppo/average memory'} <= report['ratios'].keys()
    times = {name: said['ms'] for name, said in report['variants'].items()}
    assert report['ratios']['ppo/average'] == pytest.approx(times['ppo'] / times['average'], rel=0.01)
    assert {key: report[key] for key in ('rounds', 'iterations', 'batch_size', 'threads', 'torch')} == {
        'rounds': 1,
        'iterations': 3,
        'batch_size': 10,
        'threads': 1,
        'torch': torch.__version__,
    }
    for word in (*report['variants'], 'ppo/average memory', 'are made', 'round 1 of 1'):
        assert word in done.stdout + done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ['deep'], 'nothing is left behind'


@pytest.mark.slow
def test_the_tool_measures_the_pool_of_the_paper(tmp_path: Path) -> None:
    file = tmp_path / 'report.json'
    command = ['step', '--pool', 'paper', '--rounds', '1', '--batch-size', '4', '--json', str(file)]
    assert tool.main([*command, '--cfg-options', 'custom_hooks.0.strategy.rollout=8']) == 0
    report = json.loads(file.read_text())
    plan = tool.plan_for(None)
    assert tuple(report['variants']) == plan.variants
    assert {*plan.ratios, 'ppo/average memory'} <= report['ratios'].keys()
    assert report['iterations'] == 2


@pytest.mark.slow
def test_the_tool_measures_the_cache(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / 'report.json'
    assert tool.main(['cache', str(DIGITS), '--batch-size', '5', '--json', str(file)]) == 0
    report = json.loads(file.read_text())
    assert set(report['ms']) == {'live', 'fill', 'read', 'cold'}
    assert set(report['teachers']) == {'strong', 'half', 'weak'}
    assert report['bytes'] == sum(said['bytes'] for said in report['teachers'].values())
    # half precision rounds by at most 2^-11 of a number
    assert all(0 < said['error'] < 2**-11 for said in report['teachers'].values())
    assert report['gb_s']['read'] == pytest.approx(report['bytes'] * 5 / 1e6 / report['ms']['read'], abs=1e-3)
    assert 'bytes a view of a sample' in capsys.readouterr().out


@pytest.mark.slow
def test_what_goes_wrong_in_a_worker_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    options = ['--cfg-options', 'custom_hooks.0.student_layer=nowhere']
    assert tool.main(['step', str(DIGITS), '--rounds', '1', *options]) == 1
    *progress, last = capfd.readouterr().err.strip().splitlines()
    assert last.startswith("error: teachers: student: there is no layer 'nowhere'")
    assert not [line for line in progress if 'Traceback' in line]


@pytest.mark.slow
def test_the_command_that_shows_the_mixup_config_run(tmp_path: Path) -> None:
    header = MIXUP.read_text().split('\n_base_', maxsplit=1)[0].replace('\n#', '\n')
    _, command = header.split('python tools/train.py configs/imagenet/', maxsplit=2)[1:]
    _, *arguments = shlex.split(command.replace('\\\n', ' '))
    done = subprocess.run(
        [sys.executable, str(ROOT / 'tools/train.py'), str(MIXUP), '--work-dir', str(tmp_path), *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert '[1][2/2]' in done.stdout
    assert 'loss_kd_logit' in done.stdout
    assert (tmp_path / 'epoch_1.pth').is_file()
