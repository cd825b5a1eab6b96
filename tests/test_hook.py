import copy
import json
import os
import socket
import subprocess
import sys
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
import runs
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.optim import OptimWrapper
from mmengine.registry import MODELS, OPTIM_WRAPPERS
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from torch.nn import functional as F
from torch.utils.data import DataLoader

from mtkd_rl.errors import MTKDError
from mtkd_rl.hook import KEY, epoch_length, schedule
from mtkd_rl.plot import read_scalars
from mtkd_rl.rl.agent import read_policy
from mtkd_rl.teachers.safe import SAFE

ROOT = Path(__file__).parents[1]
AVERAGE = dict(type='AverageWeighting')


def read(path):
    """A checkpoint as anyone may read it who allows no code but what mmengine's files name."""
    with torch.serialization.safe_globals(SAFE):
        return torch.load(path, weights_only=True)


def hooks_on(module):
    return [len(part._forward_hooks) + len(part._forward_pre_hooks) for part in module.modules()]


# ---- the student stays itself


def test_the_students_own_losses_come_first_and_unchanged(tmp_path):
    own, all_of_them = [], []
    hooks = [runs.record_losses(own, 'HIGH'), runs.entry(), runs.record_losses(all_of_them)]
    runs.train(runs.config(tmp_path, hooks, epochs=1))
    assert len(own) == len(all_of_them) == 3
    for before, after in zip(own, all_of_them):
        assert list(after) == [*before, 'loss_kd_logit', 'loss_kd_feature']
        assert all(after[key] is value for key, value in before.items())
        assert after['loss_kd_logit'] > 0
        assert after['loss_kd_feature'] > 0


def test_nothing_is_left_on_the_student(tmp_path):
    runner = Runner.from_cfg(runs.config(tmp_path, [runs.entry()]))
    student = runner.model
    before, keys, attributes = hooks_on(student), list(student.state_dict()), set(vars(student))
    runner.train()
    assert runner.model is student
    assert type(student) is ImageClassifier
    assert hooks_on(student) == before
    assert list(student.state_dict()) == keys
    assert set(vars(student)) == attributes


def test_the_optimizer_holds_the_student_alone(tmp_path):
    runner = runs.train(runs.config(tmp_path, [runs.entry()]))
    held = [parameter for group in runner.optim_wrapper.param_groups for parameter in group['params']]
    assert list(map(id, held)) == list(map(id, runner.model.parameters()))
    for teacher in runs.hook_of(runner).pool:
        assert not teacher.model.training
        assert not any(
            parameter.requires_grad or parameter.grad is not None for parameter in teacher.model.parameters()
        )


def test_a_copy_of_the_student_learns_from_nobody(tmp_path):
    """As ``EMAHook`` copies it, but in the middle of training."""
    losses = []

    def ask_a_copy(runner):
        hook = runs.hook_of(runner)
        copied = copy.deepcopy(runner.model)
        calls = hook.pool[0].model.calls
        samples = [runner.train_dataloader.dataset[i]['data_samples'] for i in range(2)]
        losses.append(list(copied(inputs=torch.rand(2, 1, 8, 8), data_samples=samples, mode='loss')))
        assert hook.pool[0].model.calls == calls
        assert not any(isinstance(part, runs.Counting) for part in copied.modules())

    hooks = [runs.entry(teachers=dict(a=runs.counting())), runs.watching(after_train_iter=ask_a_copy)]
    runs.train(runs.config(tmp_path, hooks, epochs=1))
    assert losses == [['loss']] * 3


def test_moving_averages_see_no_teacher(tmp_path):
    hooks = [dict(type='EMAHook', momentum=0.1), runs.entry(teachers=dict(a=runs.counting()))]
    runner = runs.train(runs.config(tmp_path, hooks, val=True, save=True))
    ema = next(hook for hook in runner.hooks if type(hook).__name__ == 'EMAHook').ema_model
    assert not any(isinstance(part, runs.Counting) for part in ema.modules())
    assert hooks_on(ema.module) == [0] * len(list(ema.module.modules()))
    saved = read(tmp_path / 'epoch_2.pth')
    assert list(saved['state_dict']) == list(runner.model.state_dict())
    plain = runs.train(runs.config(tmp_path / 'plain', hooks[:1], val=True, save=True))
    assert saved['ema_state_dict'].keys() == read(tmp_path / 'plain' / 'epoch_2.pth')['ema_state_dict'].keys()
    assert plain.model is not runner.model


# ---- checkpoints


def test_a_checkpoint_is_the_students_and_holds_no_teacher(tmp_path):
    runner = runs.train(runs.config(tmp_path, [runs.entry()], save=True))
    saved = read(tmp_path / 'epoch_2.pth')

    plain = MODELS.build(dict(**runs.classifier(), data_preprocessor=dict(type='ClsDataPreprocessor')))
    plain.load_state_dict(saved['state_dict'], strict=True)
    pictures = torch.rand(4, 1, 8, 8)
    assert torch.equal(plain.eval()(pictures), runner.model.eval()(pictures))

    ours = saved[KEY]
    assert {each['name'] for each in ours['teachers']} == {'a', 'b'}
    kept = runs.tensors(ours)
    assert kept
    for teacher in runs.hook_of(runner).pool:
        for parameter in teacher.model.parameters():
            assert not any(parameter.shape == tensor.shape and torch.equal(parameter, tensor) for tensor in kept)


@pytest.mark.slow
def test_a_checkpoint_predicts_the_same_where_mtkd_rl_was_never_imported(tmp_path):
    student = runs.classifier() | dict(
        backbone=dict(
            type='ResNet_CIFAR', depth=18, in_channels=1, stem_channels=4, base_channels=4, num_stages=2,
            strides=(1, 2), dilations=(1, 1), out_indices=(1,),
        )
    )  # fmt: skip
    cfg = runs.config(tmp_path, [runs.entry()], student=student, save=True)
    runner = runs.train(cfg)
    pictures = torch.rand(4, 1, 8, 8)
    torch.save(dict(pictures=pictures, said=runner.model.eval()(pictures)), tmp_path / 'said.pth')
    script = f"""
import sys, torch
from mmengine.config import ConfigDict
from mmpretrain.registry import MODELS
model = MODELS.build(ConfigDict({student!r}))
model.load_state_dict(torch.load('epoch_2.pth', weights_only=False)['state_dict'], strict=True)
known = torch.load('said.pth')
assert torch.equal(model.eval()(known['pictures']), known['said'])
assert not any(name.startswith('mtkd_rl') for name in sys.modules)
"""
    environment = dict(os.environ, OMP_NUM_THREADS='1')
    done = subprocess.run([sys.executable, '-c', script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# ---- when it teaches


@pytest.mark.parametrize(
    ('now', 'begin', 'end', 'warmup', 'factor'),
    [
        (0, 0, None, 0, 1.0),
        (4, 5, None, 0, 0.0),
        (5, 5, None, 0, 1.0),
        (6.9, 0, 7, 0, 1.0),
        (7, 0, 7, 0, 0.0),
        (2, 2, None, 4, 0.0),
        (3, 2, None, 4, 0.25),
        (9, 2, None, 4, 1.0),
    ],
)
def test_schedule(now, begin, end, warmup, factor):
    assert schedule(now, begin, end, warmup) == factor


@pytest.mark.parametrize('processes', [1, 4])
@pytest.mark.parametrize('kind', [DefaultSampler, InfiniteSampler])
def test_an_epoch_is_when_all_processes_have_seen_all_samples(kind, processes, monkeypatch):
    monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda: (0, processes))
    monkeypatch.setattr('mtkd_rl.hook.get_world_size', lambda: processes)
    data = list(range(32))
    assert epoch_length(DataLoader(data, batch_size=2, sampler=kind(data, seed=0))) == 16 / processes


@pytest.mark.parametrize(
    ('options', 'taught'),
    [
        (dict(begin=2, end=5, by_epoch=False), [2, 3, 4]),
        (dict(begin=1, end=2), [3, 4, 5]),
        (dict(begin=3, by_epoch=False, warmup=2), [4, 5, 6, 7, 8]),
        (dict(end=0.5), [0, 1]),
    ],
)
def test_no_teacher_runs_while_it_does_not_teach(tmp_path, options, taught):
    calls, seen = [], []
    watch = runs.watching(after_train_iter=lambda runner: calls.append(runs.hook_of(runner).pool[0].model.calls))
    hooks = [runs.entry(teachers=dict(a=runs.counting()), **options), watch, runs.record_losses(seen)]
    runs.train(runs.config(tmp_path, hooks, epochs=3))
    # the first time the teacher is also run once to find its feature
    steps = [after - before for before, after in zip([0, *calls], calls)]
    assert [i for i, count in enumerate(steps) if count] == taught
    assert [i for i, losses in enumerate(seen) if 'loss_kd_logit' in losses] == taught


def test_warmup_grows_linearly(tmp_path):
    seen = {}
    for warmup in (0, 4):
        seen[warmup] = []
        entry = runs.entry(strategy=AVERAGE, logit_weight=1.0, feature_loss=None, warmup=warmup, by_epoch=False)
        still = dict(type='SGD', lr=0.0)
        runs.train(runs.config(tmp_path, [entry, runs.record_losses(seen[warmup])], optimizer=still))
    shares = [float(warm['loss_kd_logit'] / full['loss_kd_logit']) for warm, full in zip(seen[4][1:], seen[0][1:])]
    assert 'loss_kd_logit' not in seen[4][0]
    assert shares == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0])


def test_a_temperature_a_teacher(tmp_path):
    said, seen = {}, []

    def listen(runner):
        hook = runs.hook_of(runner)
        runner.model.head.fc.register_forward_hook(lambda module, args, output: said.update(student=output))
        for teacher in hook.pool:
            teacher.model.register_forward_hook(
                lambda module, args, output, name=teacher.name: said.update({name: output})
            )

    def by_hand(name, temperature):
        p, q = (F.softmax(said[whose].detach().double() / temperature, dim=1) for whose in (name, 'student'))
        return temperature**2 * (p * (p / q).log()).sum(dim=1).mean()

    checked = []

    def check(runner):
        expected = 0.3 * by_hand('a', 2.0) + 0.5 * by_hand('b', 7.0)
        assert float(seen[-1]['loss_kd_logit']) == pytest.approx(1.5 * float(expected), rel=1e-3)
        checked.append(True)

    entry = runs.entry(
        teachers=dict(a=runs.teacher((6, 12), temperature=2.0), b=runs.teacher((5, 10))),
        temperature=7.0,
        strategy=dict(type='FixedWeighting', weights=dict(a=0.3, b=0.5)),
        logit_weight=1.5,
        feature_loss=None,
    )
    hooks = [entry, runs.record_losses(seen), runs.watching(before_train=listen, after_train_iter=check)]
    runs.train(runs.config(tmp_path, hooks, epochs=1))
    assert len(checked) == 3


# ---- in every kind of loop


def test_adapters_step_when_the_student_does(tmp_path):
    """Under gradient accumulation over two iterations, of which the last is the end of the run."""
    moved = []

    def look(runner):
        hook = runs.hook_of(runner)
        adapters = copy.deepcopy(hook.distiller.adapters.state_dict())
        student = {name: value.clone() for name, value in runner.model.named_parameters()}
        moved.append((student, adapters))

    hooks = [runs.entry(), runs.watching(after_train_iter=look)]
    optim = dict(accumulative_counts=2, clip_grad=dict(max_norm=0.1))
    runs.train(runs.config(tmp_path, hooks, limit=100, epochs=1, optim=optim))
    changes = [[not runs.same(before, after) for before, after in zip(a, b)] for a, b in pairwise(moved)]
    assert changes == [[True, True], [False, False], [True, True], [True, True]]


@OPTIM_WRAPPERS.register_module()
class Bfloat16(OptimWrapper):
    """What mmengine's AmpOptimWrapper does, which wants a GPU, on the CPU."""

    @contextmanager
    def optim_context(self, model):
        with super().optim_context(model), torch.autocast('cpu', torch.bfloat16):
            yield


def test_mixed_precision_ends_at_the_models(tmp_path):
    """What is decided, learnt and lost is float32 also where the models speak bfloat16."""
    dtypes, seen = [], []

    def look(runner):
        hook = runs.hook_of(runner)
        kd = [seen[-1][name] for name in ('loss_kd_logit', 'loss_kd_feature')]
        rows, *_ = hook.strategy.agent._memory
        dtypes.append({x.dtype for x in (rows, hook.distiller.credit.reference, *kd)})

    def listen(runner):
        runner.model.head.fc.register_forward_hook(lambda module, args, output: dtypes.append(output.dtype))

    strategy = dict(type='PPOWeighting', rollout=1000)
    hooks = [
        runs.entry(strategy=strategy),
        runs.record_losses(seen),
        runs.watching(before_train=listen, after_train_iter=look),
    ]
    runner = runs.train(runs.config(tmp_path, hooks, epochs=1, optim=dict(type='Bfloat16')))
    assert dtypes == [torch.bfloat16, {torch.float32}] * 3
    assert all(torch.isfinite(value).all() for value in runner.model.state_dict().values())


@OPTIM_WRAPPERS.register_module()
class Scaled(OptimWrapper):
    """What mmengine's AmpOptimWrapper does with a loss scale, on the CPU; the scale doubles after every step."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.loss_scaler = torch.amp.GradScaler('cpu', init_scale=4.0, growth_factor=2.0, growth_interval=1)

    def backward(self, loss, **kwargs):
        self.loss_scaler.scale(loss).backward()
        self._inner_count += 1

    def step(self, **kwargs):
        self.loss_scaler.step(self.optimizer)
        self.loss_scaler.update()


def test_a_loss_scale_is_taken_off_the_adapters_gradients(tmp_path):
    """A power of two, so the adapters end bitwise where they do without a scale."""
    results = []
    for wrapper in ({}, dict(type='Scaled')):
        runner = runs.train(runs.config(tmp_path / str(len(results)), [runs.entry(strategy=AVERAGE)], optim=wrapper))
        results.append((runs.weights_of(runner), runs.hook_of(runner).distiller.adapters.state_dict()))
    assert runner.optim_wrapper.loss_scaler.get_scale() == 4.0 * 2**6
    assert runs.same(*results)


def test_clipping_does_not_see_the_adapters(tmp_path):
    """With the weights at zero the student's clipped steps are those without the hook."""
    optim = dict(accumulative_counts=2, clip_grad=dict(max_norm=0.05))
    results = [
        runs.weights_of(runs.train(runs.config(tmp_path, hooks, optim=optim)))
        for hooks in ([], [runs.entry(logit_weight=0.0, feature_weight=0.0)])
    ]
    assert runs.same(*results)


@pytest.mark.parametrize('batch', [2, 7, 50])
def test_batches_of_any_size_fill_the_rollout(tmp_path, batch):
    entry = runs.entry(strategy=dict(type='PPOWeighting', rollout=24, batch_size=8, n_epochs=1))
    runner = runs.train(runs.config(tmp_path, [entry], epochs=1, batch=batch))
    agent = runs.hook_of(runner).strategy.agent
    assert agent.ppo._n_updates == 50 // 24
    assert sum(map(len, agent._memory)) == 50 % 24


def test_an_iteration_based_loop(tmp_path):
    seen = []
    runner = runs.train(runs.config(tmp_path, [runs.entry(), runs.record_losses(seen)], iters=5, save=True))
    assert len(seen) == 5
    assert read(tmp_path / 'iter_5.pth')[KEY]['distiller']['adapters']
    assert runner.iter == 5


@pytest.mark.parametrize('augment', ['Mixup', 'CutMix'])
def test_teachers_see_the_mixed_pictures(tmp_path, augment):
    shown = []

    def listen(runner):
        hook = runs.hook_of(runner)
        runner.model.backbone.register_forward_pre_hook(lambda module, args: shown.append(args[0]))
        hook.pool[0].model.register_forward_pre_hook(lambda module, args: shown.append(args[0]))

    student = runs.classifier(train_cfg=dict(augments=dict(type=augment, alpha=1.0)))
    teacher = runs.counting() | dict(mean=[0.0], std=[255.0])
    hooks = [runs.entry(teachers=dict(a=teacher), strategy=AVERAGE), runs.watching(before_train=listen)]
    runner = runs.train(runs.config(tmp_path, hooks, student=student, epochs=1))
    assert all(torch.isfinite(value).all() for value in runs.weights_of(runner).values())
    student_saw, *_, teacher_saw = shown[:3]  # in the first iteration the teacher runs twice: see deepest_feature
    assert torch.allclose(teacher_saw, (student_saw * 96.0 + 78.0) / 255.0, atol=1e-5)
    pixels = runner.train_dataloader.dataset
    plain = torch.stack([pixels[i]['inputs'] for i in range(len(pixels))]).unique()
    if augment == 'Mixup':  # grey values that no picture has
        assert not torch.isin((255 * teacher_saw).round(decimals=1), plain.float()).all()


def test_activation_checkpointing(tmp_path):
    """The recomputation in the backward pass runs the tapped modules a second time (and counts twice in BatchNorm)."""
    plain, checkpointed = (
        dict(runs.train(runs.config(tmp_path, [runs.entry()], **cfg)).model.named_parameters())
        for cfg in ({}, dict(activation_checkpointing=['backbone.stages.1']))
    )
    assert all(torch.allclose(plain[name], checkpointed[name], atol=1e-6) for name in plain)


@pytest.mark.slow
def test_a_compiled_step_sees_the_hooks(tmp_path):
    results = [
        runs.weights_of(runs.train(runs.config(tmp_path, [runs.entry()], **cfg)))
        for cfg in ({}, dict(compile=dict(backend='eager')))
    ]
    assert all(
        torch.allclose(results[0][name], results[1][name], atol=1e-5) for name in results[0] if 'num' not in name
    )


@pytest.mark.slow
def test_two_processes_share_one_rollout(tmp_path):
    """Each shows the agent its half of 100 samples; 64 of them, from both, are one update."""
    cfg = runs.config(tmp_path / 'work', [runs.entry()], epochs=2, batch=5, save=True)
    cfg.dump(tmp_path / 'config.py')
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        port = probe.getsockname()[1]
    command = [sys.executable, '-m', 'torch.distributed.run', '--nproc_per_node=2', f'--master_port={port}']
    command += [str(ROOT / 'tools' / 'train.py'), 'config.py', '--launcher', 'pytorch']
    environment = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='')
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    saved = read(tmp_path / 'work' / 'epoch_2.pth')
    agent = saved[KEY]['distiller']['strategy']['agent']
    assert agent['n_updates'] == 4  # epochs of the one update
    assert sum(map(len, agent['memory'])) == 100 - 64
    assert all(torch.isfinite(tensor).all() for tensor in runs.tensors([saved['state_dict'], agent]))


def test_validation_and_test_need_no_teacher(tmp_path):
    gone = runs.entry(teachers=dict(gone=dict(config='no/where.py', checkpoint='no/where.pth')))
    runner = Runner.from_cfg(runs.config(tmp_path, [gone], val=True))
    assert 'accuracy/top1' in runner.test()
    assert 'accuracy/top1' in runner.val()
    assert not hasattr(runs.hook_of(runner), 'pool')


# ---- starting from a checkpoint


@pytest.mark.parametrize(
    ('options', 'middle'),
    [
        (dict(epochs=4), 'epoch_2.pth'),
        (dict(epochs=4, val=True), 'epoch_1.pth'),
        (dict(epochs=4, optimizer=dict(type='AdamW', lr=0.01)), 'epoch_3.pth'),
        (dict(iters=9), 'iter_6.pth'),
    ],
    ids=['epochs', 'validating', 'AdamW', 'iterations'],
)
def test_resumed_equals_uninterrupted(tmp_path, options, middle):
    student = runs.classifier(dropout=0.3)
    schedulers = [dict(type='MultiStepLR', milestones=[2], by_epoch='iters' not in options)]
    cfg = dict(student=student, save=True, param_scheduler=schedulers, **options)
    crop = dict(type='PPOWeighting', rollout=64, batch_size=32)
    runs.train(runs.config(tmp_path / 'whole', [runs.entry(strategy=crop)], **cfg))
    torch.rand(3)  # whatever the process has drawn meanwhile
    cfg |= dict(resume=True, load_from=str(tmp_path / 'whole' / middle))
    runs.train(runs.config(tmp_path / 'parted', [runs.entry(strategy=crop)], **cfg))
    last = 'iter_9.pth' if 'iters' in options else 'epoch_4.pth'
    whole, parted = (read(tmp_path / part / last) for part in ('whole', 'parted'))
    assert whole[KEY]['distiller']['strategy']['agent']['n_updates'] > 0
    for key in ('state_dict', 'optimizer', 'param_schedulers', KEY):
        assert runs.same(whole[key], parted[key]), key


def test_load_from_takes_the_student_alone(tmp_path):
    runs.train(runs.config(tmp_path / 'first', [runs.entry()], save=True))
    start = str(tmp_path / 'first' / 'epoch_2.pth')
    others = runs.entry(teachers=dict(c=runs.teacher((3, 6))))  # would be an error if it were resumed
    still = dict(optimizer=dict(type='SGD', lr=0.0), epochs=1)
    runner = runs.train(runs.config(tmp_path / 'second', [others], load_from=start, **still))
    assert runner.iter == 3
    expected = read(start)['state_dict']
    assert all(torch.equal(value, expected[name]) for name, value in runner.model.named_parameters())
    assert sum(map(len, runs.hook_of(runner).strategy.agent._memory)) == 50


def test_a_plain_checkpoint_is_resumed_with_a_new_agent(tmp_path):
    runs.train(runs.config(tmp_path / 'first', save=True, epochs=1))
    start = str(tmp_path / 'first' / 'epoch_1.pth')
    runner = runs.train(runs.config(tmp_path / 'second', [runs.entry()], resume=True, load_from=start, epochs=2))
    assert runner.epoch == 2
    assert (tmp_path / 'second' / 'agent.pth').is_file()


def test_other_teachers_are_no_way_to_resume(tmp_path):
    runs.train(runs.config(tmp_path / 'first', [runs.entry()], save=True, epochs=1))
    more = dict(resume=True, load_from=str(tmp_path / 'first' / 'epoch_1.pth'), epochs=2)
    others = runs.two_teachers() | dict(c=runs.teacher((3, 6)))
    with pytest.raises(MTKDError, match=r"other teachers: 'c' is in the pool and was not saved.*allow_other_teachers"):
        runs.train(runs.config(tmp_path / 'second', [runs.entry(teachers=others)], **more))
    entry = runs.entry(teachers=others, allow_other_teachers=True)
    runner = runs.train(runs.config(tmp_path / 'second', [entry], **more))
    assert runner.epoch == 2
    assert "'c' is in the pool" in ''.join(path.read_text() for path in (tmp_path / 'second').glob('*/*.log'))


def test_the_same_names_with_other_weights_keep_agent_and_adapters(tmp_path):
    runs.train(runs.config(tmp_path / 'first', [runs.entry()], save=True, epochs=1))
    more = dict(resume=True, load_from=str(tmp_path / 'first' / 'epoch_1.pth'), epochs=2)
    others = runs.two_teachers() | dict(b=dict(type='Callable', build=f'{__name__}.like_b'))
    with pytest.raises(MTKDError, match="'b' has other weights"):
        runs.train(runs.config(tmp_path / 'second', [runs.entry(teachers=others)], **more))
    entry = runs.entry(teachers=others, allow_other_teachers=True)
    runner = runs.train(runs.config(tmp_path / 'third', [entry], **more))
    agent = runs.hook_of(runner).strategy.agent
    assert (agent.ppo._n_updates, sum(map(len, agent._memory))) == (4, 100 - 64)


def like_b():
    from mmengine.config import ConfigDict

    model = MODELS.build(ConfigDict(runs.classifier((5, 10, 10))))
    model.head.fc.bias.data += 1  # random weights are those that the name stands for, so they would be b's
    return model


def test_one_hook_is_enough(tmp_path):
    with pytest.raises(MTKDError, match='more than one MTKDHook'):
        runs.train(runs.config(tmp_path, [runs.entry(), runs.entry()]))


# ---- what is written


def test_what_a_run_leaves(tmp_path):
    runner = runs.train(runs.config(tmp_path, [runs.entry()], epochs=3))
    summary = json.loads((tmp_path / 'distillation.json').read_text())
    assert summary['teachers'] == ['a', 'b']
    assert summary['left_out'] == dict(a=0, b=0)
    means = [summary['mean'][f'weight_logit/{name}/mean'] for name in 'ab']
    assert sum(means) == pytest.approx(1.0, abs=1e-4)
    leads = torch.tensor(summary['leads'])
    assert leads.shape == (10, 2)
    assert torch.allclose(leads.sum(dim=1), torch.ones(10), atol=1e-3)

    rows = read_scalars(tmp_path, 'mtkd/weight_logit/a/mean')
    assert [row['step'] for row in rows] == [2, 3, 5, 6, 8, 9]  # as LoggerHook: each second of an epoch, and its last
    for row in rows:
        assert row['mtkd/weight_logit/a/mean'] + row['mtkd/weight_logit/b/mean'] == pytest.approx(1.0, abs=1e-5)
        assert 0 <= row['mtkd/entropy/feature'] <= 1
    for name in ('loss_feature/b', 'reward/mean', 'strength/mean', 'alignment_logit/a', 'ppo/approx_kl'):
        assert any(f'mtkd/{name}' in row for row in rows), name
    agent = runs.hook_of(runner).strategy.agent
    assert runs.same(read_policy(str(tmp_path / 'agent.pth')), agent.policy_state())


def test_strategies_that_learn_nothing_leave_no_agent(tmp_path):
    runs.train(runs.config(tmp_path, [runs.entry(strategy=AVERAGE)], epochs=1))
    assert not (tmp_path / 'agent.pth').exists()
    mean = json.loads((tmp_path / 'distillation.json').read_text())['mean']
    assert (mean['weight_logit/a/mean'], mean['weight_feature/b/mean'], mean['entropy/logit']) == (0.5, 0.5, 1.0)


# ---- an agent in another run


@pytest.fixture(scope='module')
def learnt(tmp_path_factory):
    """The work dir of a run whose agent has learnt a little."""
    folder = tmp_path_factory.mktemp('learnt')
    runs.train(runs.config(folder, [runs.entry()], epochs=3, save=True))
    return folder


def ppo(**options):
    return dict(type='PPOWeighting', rollout=64, batch_size=32) | options


@pytest.mark.parametrize('file', ['agent.pth', 'epoch_3.pth'])
@pytest.mark.parametrize('names', ['ab', 'xyz'])
def test_a_frozen_agent_decides_and_stays_as_it_is(tmp_path, learnt, file, names):
    teachers = {name: runs.teacher((4 + i, 8)) for i, name in enumerate(names)}
    entry = runs.entry(teachers=teachers, strategy=ppo(agent=str(learnt / file), frozen=True))
    runner = runs.train(runs.config(tmp_path, [entry], epochs=2))
    assert runs.same(read_policy(str(tmp_path / 'agent.pth')), read_policy(str(learnt / 'agent.pth')))
    row = read_scalars(tmp_path, f'mtkd/weight_logit/{names[-1]}/mean')[0]
    assert sum(row[f'mtkd/weight_logit/{name}/mean'] for name in names) == pytest.approx(1.0, abs=1e-5)
    assert 'mtkd/reward/mean' not in row
    assert runs.hook_of(runner).distiller.credit.reference is None


def test_an_agent_is_a_start(tmp_path, learnt):
    policies = []
    watch = runs.watching(
        after_train_iter=lambda runner: policies.append(
            copy.deepcopy(runs.hook_of(runner).strategy.agent.policy_state()['parameters'])
        )
    )
    entry = runs.entry(teachers=dict(x=runs.teacher((3, 6))), strategy=ppo(agent=str(learnt / 'agent.pth')))
    runs.train(runs.config(tmp_path, [entry, watch], epochs=2))
    given = read_policy(str(learnt / 'agent.pth'))['parameters']
    assert runs.same(policies[0], given)
    assert not runs.same(policies[-1], given)


def test_a_resumed_run_goes_on_with_its_own_agent_not_the_start(tmp_path, learnt):
    entry = runs.entry(strategy=ppo(agent=str(learnt / 'agent.pth')))
    runs.train(runs.config(tmp_path, [entry], epochs=2, save=True))
    before = read(tmp_path / 'epoch_2.pth')[KEY]['distiller']['strategy']['agent']
    still = dict(type='SGD', lr=0.0)
    resumed = runs.config(
        tmp_path, [entry], optimizer=still, epochs=3, limit=10, resume=True, load_from=str(tmp_path / 'epoch_2.pth')
    )
    agent = runs.hook_of(runs.train(resumed)).strategy.agent
    assert agent.ppo._n_updates == before['n_updates']  # 10 samples more do not fill the rollout
    assert runs.same(agent.policy_state(), before['policy'])


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (dict(strategy=ppo(observation='paper')), 'has observation compact, this run paper'),
        (dict(strategy=ppo(scale=1.0)), 'scale'),
        (dict(strategy=ppo(strength=(0.0, 2.0))), 'strength'),
        (dict(feature_loss=None), 'kinds'),
    ],
)
def test_an_agent_of_other_settings(tmp_path, learnt, options, told):
    options = dict(strategy=ppo()) | options
    options['strategy'] |= dict(agent=str(learnt / 'agent.pth'))
    with pytest.raises(MTKDError, match=told):
        runs.train(runs.config(tmp_path, [runs.entry(**options)]))


def test_a_checkpoint_without_an_agent_is_none(tmp_path):
    torch.save(dict(state_dict=dict(weight=torch.ones(2))), tmp_path / 'plain.pth')
    entry = runs.entry(strategy=ppo(agent=str(tmp_path / 'plain.pth')))
    with pytest.raises(MTKDError, match='there is no agent in it'):
        runs.train(runs.config(tmp_path, [entry]))


@OPTIM_WRAPPERS.register_module()
class SkipsNotFinite(OptimWrapper):
    def step(self, **kwargs):
        gradients = [parameter.grad for group in self.param_groups for parameter in group['params']]
        if all(torch.isfinite(gradient).all() for gradient in gradients):
            super().step(**kwargs)


def test_a_batch_on_which_the_student_overflows_leaves_the_agent_well(tmp_path):
    """Under an optimizer that passes over such a step, as the scaler of mixed precision does."""

    def overflow(runner):
        if runner.iter == 2:
            handles.append(runner.model.head.fc.register_forward_hook(lambda module, args, output: output * torch.nan))
        elif handles:
            handles.pop().remove()

    handles = []
    hooks = [runs.entry(), runs.watching(before_train_iter=overflow)]
    runner = runs.train(runs.config(tmp_path, hooks, epochs=3, optim=dict(type='SkipsNotFinite')))
    hook = runs.hook_of(runner)
    assert hook.strategy.agent.ppo._n_updates > 0
    assert all(torch.isfinite(tensor).all() for tensor in runs.tensors(hook.distiller.state_dict()))
    assert all(torch.isfinite(value).all() for value in runner.model.state_dict().values())
