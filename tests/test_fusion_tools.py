"""Fusing, scoring and exporting: the tools on real files."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import fusions
import numpy as np
import pytest
import torch
from PIL import Image

from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.colour import luma8
from mtkd_rl.fusion.export import export
from mtkd_rl.fusion.inferencer import Inferencer, plan
from mtkd_rl.fusion.metrics import score, trivial
from mtkd_rl.fusion.transforms import PackPair, PairDegrade

ROOT = Path(__file__).resolve().parent.parent


def tool(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f'tool_{name}', ROOT / 'tools' / f'{name}.py')
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def trained(tmp_path) -> list[str]:
    """Config and checkpoint of a student, as the options of tools/fuse.py."""
    config = tmp_path / 'student.py'
    config.write_text(f"default_scope = 'mtkd_rl'\nmodel = {fusions.model()!r}\n")
    torch.save({'state_dict': fusions.built().state_dict()}, tmp_path / 'student.pth')
    return ['--config', str(config), '--checkpoint', str(tmp_path / 'student.pth')]


def write_pair(folder: Path, name: str, shape: tuple[int, int], colour: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    for side, channels in (('ir', ()), ('vi', (3,) if colour else ())):
        (folder / side).mkdir(exist_ok=True)
        picture = rng.integers(60, 200, (*shape, *channels), dtype=np.uint8)
        Image.fromarray(picture).save(folder / side / f'{name}.png')


def test_a_folder_of_all_sizes_and_colours(trained, tmp_path, capsys):
    shapes = [(20, 31), (33, 16), (5, 4), (1, 1)]
    for i, shape in enumerate(shapes):
        write_pair(tmp_path, f'colour{i}', shape, True, i)
        write_pair(tmp_path, f'grey{i}', shape, False, i)
    (tmp_path / 'vi' / 'Thumbs.db').write_bytes(b'no picture')
    Image.new('L', (4, 4)).save(tmp_path / 'vi' / 'alone.png')
    code = tool('fuse').main([str(tmp_path / 'ir'), str(tmp_path / 'vi'), '-o', str(tmp_path / 'out'), *trained])
    assert code == 0
    said = capsys.readouterr().out
    assert 'without a partner: alone.png' in said
    assert '8 of 8 pairs fused' in said
    for i, shape in enumerate(shapes):
        with Image.open(tmp_path / 'out' / f'colour{i}.png') as image:
            assert (image.mode, image.size) == ('RGB', shape[::-1])
        with Image.open(tmp_path / 'out' / f'grey{i}.png') as image:
            assert (image.mode, image.size) == ('L', shape[::-1])


def test_colours_are_those_of_the_visible(trained, tmp_path):
    """A student that says the visible's luma gives the visible back."""
    from mmengine.config import Config

    inferencer = Inferencer(Config.fromfile(trained[1]), trained[3], 'cpu')
    last = inferencer.model.network.decoder.head[0]
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
        last.bias[:4] = -50.0  # the mixture: nothing of the infrared
    rng = np.random.default_rng(0)
    visible = rng.integers(0, 256, (18, 23, 3), dtype=np.uint8)
    infrared = rng.integers(0, 256, (18, 23), dtype=np.uint8)
    assert np.abs(inferencer(infrared, visible).astype(int) - visible).max() <= 1
    np.testing.assert_array_equal(inferencer(infrared, visible[..., 0]), visible[..., 0])


def test_a_bad_file_costs_that_file(trained, tmp_path, capsys):
    for i in range(3):
        write_pair(tmp_path, f'p{i}', (16, 16), True, i)
    (tmp_path / 'ir' / 'p1.png').write_bytes(b'\x89PNG broken')
    Image.new('L', (9, 9)).save(tmp_path / 'vi' / 'p2.png')
    code = tool('fuse').main([str(tmp_path / 'ir'), str(tmp_path / 'vi'), '-o', str(tmp_path / 'out'), *trained])
    said = ' '.join(capsys.readouterr().out.split())
    assert code == 1
    assert '1 of 3 pairs fused' in said
    assert 'p1.png' in said
    assert '16x16' in said
    assert [path.name for path in (tmp_path / 'out').iterdir()] == ['p0.png']


def test_two_files(trained, tmp_path):
    write_pair(tmp_path, 'p', (16, 20), True, 0)
    out = tmp_path / 'deep' / 'fused.png'
    assert tool('fuse').main([str(tmp_path / 'ir/p.png'), str(tmp_path / 'vi/p.png'), '-o', str(out), *trained]) == 0
    assert out.is_file()


def test_a_file_and_a_folder(tmp_path):
    with pytest.raises(MTKDError, match='one is a folder'):
        plan(tmp_path, tmp_path / 'vi.png', tmp_path / 'out')


def test_folders_are_scored_beside_mean_and_maximum(tmp_path, capsys):
    for i in range(2):
        write_pair(tmp_path, f'p{i}', (40, 48), True, i)
    pairs = {}
    (tmp_path / 'ours').mkdir()
    for i in range(2):
        infrared = np.array(Image.open(tmp_path / 'ir' / f'p{i}.png'))
        visible = np.array(Image.open(tmp_path / 'vi' / f'p{i}.png'))
        Image.fromarray(visible).save(tmp_path / 'ours' / f'p{i}.png')
        pairs[i] = infrared, visible
    file = tmp_path / 'scores.json'
    folders = [str(tmp_path / name) for name in ('ir', 'vi', 'ours')]
    drawn = tmp_path / 'drawn' / 'sheet.png'
    options = ['--metrics', 'EN', 'PSNR', '--json', str(file), '--sheet', str(drawn)]
    assert tool('eval_fusion').main([*folders, *options]) == 0
    assert np.array(Image.open(drawn)).shape[0] > 2 * 160
    found = json.loads(file.read_text())
    assert found['protocol'] == 'mtkd'
    assert list(found['means']) == ['mean', 'maximum', 'ours']
    for row, fused in (('maximum', lambda a, b: np.maximum(a, luma8(b))), ('ours', lambda a, b: b)):
        want = [score(fused(*pair), *pair, metrics=['PSNR'])['PSNR'] for pair in pairs.values()]
        assert found['means'][row]['PSNR'] == pytest.approx(np.mean(want))
    want = np.mean([score(trivial(*pair)['mean'], *pair, metrics=['EN'])['EN'] for pair in pairs.values()])
    assert found['means']['mean']['EN'] == pytest.approx(want)
    assert 'mtkd' in capsys.readouterr().out


def test_a_method_that_lacks_a_picture_is_not_scored(tmp_path, capsys):
    for i in range(2):
        write_pair(tmp_path, f'p{i}', (40, 48), False, i)
    (tmp_path / 'ours').mkdir()
    Image.new('L', (48, 40)).save(tmp_path / 'ours' / 'p0.png')
    assert tool('eval_fusion').main([str(tmp_path / name) for name in ('ir', 'vi', 'ours')]) != 0
    assert 'no fused picture named p1' in capsys.readouterr().err


@pytest.mark.parametrize('network', sorted(fusions.NETWORKS))
@pytest.mark.parametrize('ending', ['onnx', 'pt'])
@pytest.mark.filterwarnings('ignore')
def test_what_is_exported_says_the_same_at_any_size(network, ending, tmp_path):
    if ending == 'onnx':
        pytest.importorskip('onnxruntime')
    if network == 'swin':
        pytest.skip('window attention is not traced for any size')
    parity = export(fusions.built(network), tmp_path / f'student.{ending}')
    assert parity.difference < 1e-5
    assert len(set(parity.sizes)) == 2


def test_export_to_another_ending(tmp_path):
    with pytest.raises(MTKDError, match=r'\.onnx and \.pt'):
        export(fusions.built(), tmp_path / 'student.xyz')


# ---- how a model fares with worse pictures


def packed(name: str = 'a', colour: bool = True, seed: int = 0) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    shape = (24, 30, 3) if colour else (24, 30)
    infrared, visible = (rng.integers(0, 256, size, dtype=np.uint8) for size in ((24, 30), shape))
    packed = PackPair().transform(dict(name=name, infrared=infrared, visible=visible))
    assert packed is not None
    return packed


@pytest.mark.parametrize('colour', [True, False])
def test_only_what_the_model_is_given_is_degraded(colour):
    clean = packed(colour=colour)
    worse = PairDegrade(severity=0.5).transform(packed(colour=colour))
    assert worse['inputs'].dtype == torch.uint8
    assert worse['inputs'].shape == clean['inputs'].shape
    assert (worse['inputs'][0] != clean['inputs'][0]).any()
    assert (worse['inputs'][1:] != clean['inputs'][1:]).any()
    assert torch.equal(worse['data_samples'].infrared, clean['data_samples'].infrared)
    assert torch.equal(worse['data_samples'].visible, clean['data_samples'].visible)
    grey = worse['inputs'][1:]
    assert colour or torch.equal(grey, grey[:1].expand(3, -1, -1))


def test_every_model_is_given_the_same_degraded_pictures():
    """Whatever was drawn before; other pairs and seeds have others; at severity 0 all stays as it was."""
    first = PairDegrade().transform(packed())['inputs']
    torch.rand(7)
    assert torch.equal(PairDegrade().transform(packed())['inputs'], first)
    assert not torch.equal(PairDegrade().transform(packed('b'))['inputs'], first)
    assert not torch.equal(PairDegrade(seed=1).transform(packed())['inputs'], first)
    assert torch.equal(PairDegrade(severity=0).transform(packed())['inputs'], packed()['inputs'])


def test_degrading_in_the_wrong_place_or_too_much():
    with pytest.raises(MTKDError, match='put it after PackPair'):
        PairDegrade().transform(dict(infrared=np.zeros((4, 4), np.uint8)))
    with pytest.raises(MTKDError, match=r'severity is 2; give a number from 0 to 1'):
        PairDegrade(severity=2)


SMALL = """
default_scope = 'mtkd_rl'
model = dict(type='FusionModel', network=dict(type='TinyFuser', width=4, depth=1))
data = dict(type='FusionScenes', n=4, size=32, serialize_data=False, pipeline=[dict(type='PackPair')])
train_dataloader = dict(batch_size=4, num_workers=0, dataset=data, sampler=dict(type='DefaultSampler', shuffle=True))
val_dataloader = dict(batch_size=2, num_workers=0, dataset=data, sampler=dict(type='DefaultSampler', shuffle=False))
test_dataloader = val_dataloader
val_evaluator = dict(type='FusionMetric', names=['PSNR'])
test_evaluator = val_evaluator
train_cfg = dict(by_epoch=True, max_epochs=1)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.01))
visualizer = dict(type='FusionVisualizer', vis_backends=[dict(type='LocalVisBackend')])
default_hooks = dict(visualization=dict(type='FusionVisualizationHook', pictures=3))
"""
WORSE = """
_base_ = 'small.py'
data = dict(pipeline=[dict(type='PackPair'), dict(type='PairDegrade')])
test_dataloader = dict(dataset=data)
"""


@pytest.mark.slow
def test_what_is_trained_is_compared_on_other_test_sets_too(tmp_path, capsys):
    """And the first pairs of every validation and test are drawn."""
    small, worse = tmp_path / 'small.py', tmp_path / 'worse.py'
    small.write_text(SMALL)
    worse.write_text(WORSE)
    out = tmp_path / 'out'
    command = [str(small), '--metric', 'mtkd/PSNR', '--seeds', '2', '--workers', '2', '--test', str(worse)]
    tool('compare').main([*command, '--work-dir', str(out)])
    summary = json.loads((out / 'summary.json').read_text())
    (clean,), (degraded,) = summary['rows'], summary['worse']
    assert clean['name'] == degraded['name'] == 'small'
    assert len(degraded['mtkd/PSNR']['values']) == 2
    assert degraded['mtkd/PSNR']['mean'] < clean['mtkd/PSNR']['mean']
    assert 'worse' in capsys.readouterr().out
    assert len(list((out / 'small' / 'seed_0').glob('2*/vis_data/vis_image/*.png'))) == 3
    assert len(list((out / 'small' / 'seed_0' / 'test_worse').glob('*/vis_data/vis_image/*.png'))) == 3
