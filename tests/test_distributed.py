"""Two processes are one: gloo on the CPU, with a student that has no statistics of the batch."""

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from mmengine.config import Config

from mtkd_rl.hook import KEY
from mtkd_rl.teachers.checkpoint import read_checkpoint

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def student(**backbone: Any) -> dict[str, Any]:
    """A small residual network; its norms are the variations of the tests."""
    model = runs.classifier((8, 16))
    model['backbone'] = dict(
        type='ResNet_CIFAR',
        depth=18,
        in_channels=1,
        stem_channels=8,
        base_channels=8,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(1,),
        **backbone,
    )
    return model


def launch(folder: Path, cfg: Config, processes: int) -> dict[str, Any]:
    """The last checkpoint of a run of tools/train.py, by one process or under torchrun."""
    folder.mkdir(exist_ok=True)
    cfg.work_dir = 'work'
    cfg.dump(folder / 'config.py')
    command = [sys.executable]
    if processes > 1:
        with socket.socket() as probe:
            probe.bind(('127.0.0.1', 0))
            port = probe.getsockname()[1]
        command += ['-m', 'torch.distributed.run', f'--nproc_per_node={processes}', f'--master_port={port}']
    command += [str(ROOT / 'tools' / 'train.py'), 'config.py', *(['--launcher', 'pytorch'] if processes > 1 else [])]
    environment = dict(os.environ, OMP_NUM_THREADS='1', CUDA_VISIBLE_DEVICES='', PYTHONPATH=str(ROOT / 'tests'))
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *_, last = sorted((folder / 'work').glob('epoch_*.pth'), key=lambda path: int(path.stem[6:]))
    return read_checkpoint(last)


def compared(one: Any, two: Any, name: str = '') -> dict[str, float]:
    """The largest difference of every pair of tensors in two trees of one shape."""
    if isinstance(one, torch.Tensor):
        assert one.shape == two.shape, name
        return {name: float((one.double() - two.double()).abs().max()) if one.numel() else 0.0}
    if isinstance(one, dict):
        assert one.keys() == two.keys(), name
        pairs = [(key, one[key], two[key]) for key in one]
    elif isinstance(one, list | tuple):
        assert len(one) == len(two), name
        pairs = [(str(i), *pair) for i, pair in enumerate(zip(one, two))]
    elif isinstance(one, float):
        return {name: abs(one - two)}
    else:
        assert one == two, (name, one, two)
        return {}
    return {key: value for k, a, b in pairs for key, value in compared(a, b, f'{name}.{k}').items()}


PPO = dict(type='PPOWeighting', rollout=64, batch_size=32)
ACCUMULATING = dict(optim=dict(accumulative_counts=2, clip_grad=dict(max_norm=1.0)))
VARIATIONS = {
    'group norm': (dict(norm_cfg=dict(type='GN', num_groups=4)), {}, {}),
    'frozen batch norm': (dict(norm_eval=True), {}, {}),
    'gradient accumulation': (dict(norm_eval=True), {}, ACCUMULATING),
    'average': (dict(norm_eval=True), dict(strategy=dict(type='AverageWeighting')), {}),
    'strength': (dict(norm_eval=True), dict(strategy=dict(PPO, strength=(0.0, 2.0))), {}),
    'reward of the paper': (dict(norm_eval=True), dict(strategy=dict(PPO, reward=dict(type='PaperReward'))), {}),
    'random weights': (dict(norm_eval=True), dict(strategy=dict(type='RandomWeighting')), {}),
    'shuffled weights': (dict(norm_eval=True), dict(strategy=dict(PPO, type='ShuffledWeighting')), {}),
    'a meta-network': (dict(norm_eval=True), dict(strategy=dict(type='MetaWeighting')), {}),
    'a short last batch': (dict(norm_eval=True), {}, dict(limit=46)),
}


@pytest.mark.parametrize('name', VARIATIONS)
def test_two_processes_agree_with_one(tmp_path, name):
    """Agent, adapters, guard, weights and losses; what is random in pictures or student differs, so there is none."""
    backbone, hook, options = VARIATIONS[name]
    saved = []
    for processes in (1, 2):
        cfg = runs.config(
            tmp_path,
            [runs.entry(**hook)],
            student=student(**backbone),
            epochs=4,
            batch=20 // processes,
            augment=False,
            optimizer=dict(type='SGD', lr=0.01, momentum=0.9),
            save=True,
            **dict(limit=80) | options,
        )
        saved.append(launch(tmp_path / str(processes), cfg, processes))
    one, two = saved
    told = {}
    for key in ('state_dict', 'optimizer'):
        told[key] = compared(one[key], two[key], key)
    for key in ('distiller', 'adapter_optimizer'):
        told[key] = compared(one[KEY][key], two[KEY][key], key)
    for key, differences in told.items():
        worst = max(differences, key=lambda name: differences[name])
        print(f'{name}: {key}: largest difference {differences[worst]:.1e} in {worst}')
    strategy = one[KEY]['distiller']['strategy']
    assert 'agent' not in strategy or strategy['agent']['n_updates'] > 0
    assert all(value < 1e-3 for differences in told.values() for value in differences.values())
