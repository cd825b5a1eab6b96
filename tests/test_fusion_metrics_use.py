"""How fusion metrics are asked for: score(), the trivial pictures, mmengine's evaluator, the command line."""

import math

import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from PIL import Image

from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.metrics import NAMES, PROTOCOLS, FusionMetric, IdealMetric, means, score, to_ideal, trivial
from mtkd_rl.fusion.metrics.__main__ import main
from mtkd_rl.fusion.structures import FusionDataSample
from mtkd_rl.registry import METRICS


def pictures(seed: int = 0, height: int = 20, width: int = 24) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    fused, visible = rng.integers(0, 256, (2, height, width, 3), dtype=np.uint8)
    return fused, rng.integers(0, 256, (height, width), dtype=np.uint8), visible


# ---- score


def test_the_default_is_every_metric_of_ours():
    fused, infrared, visible = pictures()
    assert score(fused, infrared, visible) == score(fused, infrared, visible, 'mtkd', NAMES)


def test_metrics_come_as_asked_for():
    assert list(score(*pictures(), metrics=['VIF', 'EN'])) == ['VIF', 'EN']


def test_metrics_are_of_the_luma():
    fused, infrared, visible = pictures()
    luma = lambda rgb: np.floor(rgb @ [0.299, 0.587, 0.114] + 0.5).astype(np.uint8)  # noqa: E731
    assert score(fused, infrared, visible) == pytest.approx(score(luma(fused), infrared, luma(visible)), rel=1e-3)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda f, i, v: (f / 255, i, v), r'fused picture is float64 \(20, 24, 3\): .*uint8.*0\.\.255.*255 \* picture'),
        (lambda f, i, v: (f, i.astype(np.uint16), v), 'infrared picture is uint16'),
        (lambda f, i, v: (f, i, v[..., :2]), r'visible picture is uint8 \(20, 24, 2\): it must be grey'),
        (lambda f, i, v: (f[None], i, v), r'fused picture is uint8 \(1, 20, 24, 3\)'),
        (lambda f, i, v: (f[:0], i[:0], v[:0]), 'not empty'),
        (lambda f, i, v: (f[:-1], i, v), 'differ in size: fused 24x19, infrared 24x20, visible 24x20; fuse without'),
    ],
    ids=['0..1', '16 bits', 'two channels', 'a batch', 'empty', 'sizes'],
)
def test_a_wrong_picture_is_refused_in_one_line(change, message):
    with pytest.raises(MTKDError, match=message) as error:
        score(*change(*pictures()))
    assert '\n' not in str(error.value)


def test_a_wrong_name_gets_a_hint():
    with pytest.raises(MTKDError, match=r"no protocol 'cdd'.*did you mean: cddfuse"):
        score(*pictures(), protocol='cdd')
    with pytest.raises(MTKDError, match=r"protocol 'mtkd' has no metric 'psnr'; did you mean: .*PSNR"):
        score(*pictures(), metrics=['psnr'])
    with pytest.raises(MTKDError, match=r"protocol 'cddfuse' has no metric 'Nabf'; did you mean: Qabf"):
        FusionMetric('cddfuse', ['Nabf'])


def test_a_metric_has_one_meaning_only_under_one_protocol():
    by_protocol = [score(*pictures(height=180, width=180), name) for name in PROTOCOLS]
    assert len({round(values['SSIM'], 6) for values in by_protocol}) == len(PROTOCOLS) - 1  # two share a script's SSIM


# ---- trivial


def test_trivial_pictures():
    infrared = np.array([[0, 255], [7, 10]], dtype=np.uint8)
    visible = np.array([[[1, 1, 1], [254, 254, 254]], [[9, 9, 9], [255, 0, 0]]], dtype=np.uint8)  # the last: luma 76
    made = trivial(infrared, visible)
    assert list(made) == ['mean', 'maximum']
    assert made['mean'].tolist() == [[1, 255], [8, 43]]
    assert made['maximum'].tolist() == [[1, 255], [9, 76]]
    assert {picture.dtype for picture in made.values()} == {np.dtype(np.uint8)}


# ---- evaluator


def sample(seed: int) -> FusionDataSample:
    fused, infrared, visible = pictures(seed)
    as_planes = lambda picture: torch.from_numpy(np.atleast_3d(picture).transpose(2, 0, 1).copy())  # noqa: E731
    return FusionDataSample(fused=as_planes(fused), infrared=as_planes(infrared), visible=as_planes(visible))


def test_means_over_pictures_under_the_protocols_names():
    evaluator = Evaluator(
        [
            dict(type='mtkd_rl.FusionMetric'),
            dict(type='mtkd_rl.FusionMetric', protocol='cddfuse', names=['SSIM', 'MI']),
        ]
    )
    for batch in ([sample(0), sample(1)], [sample(2)]):
        evaluator.process(data_samples=batch)
    found = evaluator.evaluate(3)
    expected = {}
    for protocol, names in [('mtkd', NAMES), ('cddfuse', ['SSIM', 'MI'])]:
        values = [score(*pictures(seed), protocol, names) for seed in range(3)]
        expected |= {f'{protocol}/{name}': sum(each[name] for each in values) / 3 for name in names}
    assert found == pytest.approx(expected)


def test_samples_may_be_data_elements_or_dicts():
    metric = METRICS.build(dict(type='mtkd_rl.FusionMetric', names=['EN']))
    metric.process(None, [sample(0), sample(0).to_dict()])
    assert metric.results[0] == metric.results[1] == score(*pictures(0), metrics=['EN'])


def test_a_pair_without_a_number_is_left_out_of_its_mean():
    flat = np.full((20, 24), 7, np.uint8)
    tiny = tuple(picture[:12, :12] for picture in pictures())
    results = [score(*each, metrics=['PSNR', 'VIF'], lenient=True) for each in (pictures(), (flat,) * 3, tiny)]
    assert math.isinf(results[1]['PSNR'])
    assert math.isnan(results[2]['VIF'])  # its windows need 17 pixels
    with pytest.raises(MTKDError, match='VIF: a picture of 12x12 pixels is too small'):
        score(*tiny, metrics=['PSNR', 'VIF'])
    found, left_out = means(results, ['PSNR', 'VIF'])
    assert found['PSNR'] == pytest.approx((results[0]['PSNR'] + results[2]['PSNR']) / 2)
    assert found['VIF'] == pytest.approx((results[0]['VIF'] + results[1]['VIF']) / 2)
    assert left_out == {'PSNR': 1, 'VIF': 1}
    nothing, _ = means([results[2]], ['VIF'])
    assert math.isnan(nothing['VIF'])


# ---- command line


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f'{name}.png' for name in ('fused', 'infrared', 'visible')]
    for path, picture in zip(paths, pictures()):
        Image.fromarray(picture).save(path)
    return [str(path) for path in paths]


def test_the_table_has_the_fused_picture_and_both_trivial_ones(files, capsys, monkeypatch):
    monkeypatch.setenv('COLUMNS', '200')
    fused, infrared, visible = files
    assert main([infrared, visible, fused]) == 0
    printed = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split('│')[1:-1]] for line in printed.splitlines() if '│' in line]
    assert [row[0] for row in rows] == [*NAMES] * 3
    shown = [pictures()[0], *trivial(*pictures()[1:]).values()]
    for picture, block in zip(shown, (rows[:13], rows[13:26], rows[26:])):
        values = score(picture, *pictures()[1:])
        assert [row[1] for row in block] == [f'{values[name]:#.7g}' for name in NAMES]
    assert [row[2] for row in rows[:13] if row[0] in ('MS-SSIM', 'Nabf')] == ['', '']  # cddfuse has none
    assert rows[9][5] == 'too small'
    assert main([infrared, visible]) == 0
    assert fused not in capsys.readouterr().out


def test_sizes_that_differ_are_an_error(files, tmp_path, capsys):
    Image.fromarray(pictures()[0][:-1]).save(tmp_path / 'other.png')
    assert main([files[1], files[2], str(tmp_path / 'other.png')]) == 1
    assert capsys.readouterr().err.startswith('error: the pictures differ in size')


# ---- what there was to see


def test_distance_from_what_there_was_to_see():
    ideal = np.random.default_rng(0).integers(0, 200, (20, 24), dtype=np.uint8)
    brighter = to_ideal(ideal + np.uint8(10), ideal)
    assert brighter['PSNR'] == pytest.approx(20 * np.log10(255 / 10))
    assert to_ideal(ideal, ideal)['SSIM'] == 1
    assert brighter['SSIM'] < 1
    colour = np.repeat(ideal[..., None], 3, axis=2)
    assert to_ideal(colour + np.uint8(10), ideal) == brighter


def test_the_evaluator_of_made_scenes():
    ideal, fused = pictures()[1], pictures(1)[1]
    sample = FusionDataSample(ideal=torch.from_numpy(ideal)[None], fused=torch.from_numpy(fused)[None])
    evaluator = Evaluator(IdealMetric())
    evaluator.process([sample])
    assert evaluator.evaluate(1) == {f'ideal/{name}': value for name, value in to_ideal(fused, ideal).items()}
    with pytest.raises(MTKDError, match='score real pairs with FusionMetric'):
        evaluator.process([FusionDataSample(fused=torch.from_numpy(fused)[None])])
