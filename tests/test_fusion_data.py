"""Colours, batches, made scenes and pictures side by side."""

from fractions import Fraction

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from mmengine.dataset import pseudo_collate
from mmengine.visualization import LocalVisBackend
from PIL import Image

from mtkd_rl.datasets import Digits
from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.colour import as_written, from_ycbcr, luma, luma8, to_ycbcr
from mtkd_rl.fusion.datasets import FusionScenes
from mtkd_rl.fusion.datasets.scenes import make_pair_scene
from mtkd_rl.fusion.preprocessor import FusionDataPreprocessor
from mtkd_rl.fusion.structures import FusionDataSample
from mtkd_rl.fusion.transforms import PackPair
from mtkd_rl.fusion.visualizer import FusionVisualizer, picture_of, sheet, side_by_side
from mtkd_rl.registry import DATASETS, MODELS, TRANSFORMS, VISUALIZERS

pictures = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


def planes(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1).copy()) / 255


def pair(height: int, width: int, grey: bool = False, seed: int = 0) -> dict:
    rng = np.random.default_rng(seed)
    shape = (height, width) if grey else (height, width, 3)
    infrared = rng.integers(0, 256, (height, width), dtype=np.uint8)
    return PackPair()({'infrared': infrared, 'visible': rng.integers(0, 256, shape, dtype=np.uint8), 'name': 'a'})


@given(pictures)
def test_luma_is_that_of_bt601(picture) -> None:
    weighed = [[sum(Fraction(int(v) * w, 1000) for v, w in zip(p, (299, 587, 114))) for p in row] for row in picture]
    rounded = [[int(value + Fraction(1, 2)) for value in row] for row in weighed]
    assert luma8(picture).tolist() == rounded
    torch.testing.assert_close(luma(planes(picture))[0] * 255, torch.tensor(np.array(weighed, dtype=np.float32)))
    assert np.abs(luma8(picture).astype(int) - cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)).max() <= 1


def test_halves_are_rounded_upwards() -> None:
    colours = np.stack(np.meshgrid(*[np.arange(0, 256, 3)] * 3), axis=-1).reshape(-1, 1, 3)
    thousandths = colours @ [299, 587, 114]
    halves = thousandths[:, 0] % 1000 == 500
    assert halves.sum() > 100
    np.testing.assert_array_equal(luma8(colours[halves].astype(np.uint8)), (thousandths[halves] + 500) // 1000)


@given(pictures)
def test_chroma_is_that_of_jpeg(picture) -> None:
    expected = cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2YCrCb)  # with an offset of 0.5
    y, cb, cr = to_ycbcr(planes(picture)).numpy()
    np.testing.assert_allclose(y, expected[..., 0], atol=1e-5)
    np.testing.assert_allclose(cr, expected[..., 1] - 0.5, atol=1e-3)  # its constants have three digits
    np.testing.assert_allclose(cb, expected[..., 2] - 0.5, atol=1e-3)
    assert max(np.abs(cb).max(), np.abs(cr).max()) <= 0.5 + 1e-6


def test_every_colour_comes_back() -> None:
    values = torch.arange(0, 256, 3, dtype=torch.uint8)
    rgb = torch.cartesian_prod(values, values, values).T[:, None]
    ycbcr = to_ycbcr(rgb / 255)
    torch.testing.assert_close(from_ycbcr(ycbcr), rgb / 255, atol=1e-6, rtol=0)
    assert torch.equal(as_written(ycbcr[:1], ycbcr[1:]), rgb)


def test_colours_of_a_batch_are_those_of_its_pictures() -> None:
    batch = torch.rand(3, 3, 4, 5, generator=torch.manual_seed(0))
    for change in (luma, to_ycbcr, from_ycbcr):
        assert torch.equal(change(batch), torch.stack([change(each) for each in batch]))


def test_grey_is_its_own_luma_exactly() -> None:
    grey = torch.arange(256).reshape(1, 1, 256) / 255
    assert torch.equal(luma(grey.expand(3, 1, 256)), grey)
    picture = np.arange(256, dtype=np.uint8).reshape(16, 16)
    assert luma8(picture) is picture
    np.testing.assert_array_equal(luma8(np.stack([picture] * 3, axis=2)), picture)


def test_what_is_written_is_clipped_and_rounded() -> None:
    fused = torch.tensor([[[-0.2, 0.0, 0.4999 / 255, 0.5001 / 255, 1.0, 1.7]]])
    assert as_written(fused).tolist() == [[[0, 0, 0, 1, 255, 255]]]
    assert as_written(fused, torch.zeros(2, 1, 6)).tolist() == [[[0, 0, 0, 1, 255, 255]]] * 3
    red = to_ycbcr(torch.tensor([1.0, 0.0, 0.0]).reshape(3, 1, 1))[1:]
    assert as_written(torch.ones(1, 1, 1), red)[0, 0, 0] == 255  # red of luma 1 does not exist
    assert torch.equal(as_written(torch.full((1, 1, 1), -0.5), red), as_written(torch.zeros(1, 1, 1), red))


@pytest.mark.parametrize('picture', [np.zeros((2, 2)), np.zeros((2, 2, 4), np.uint8), np.zeros(3, np.uint8)])
def test_luma8_takes_pictures_alone(picture) -> None:
    with pytest.raises(MTKDError, match='uint8'):
        luma8(picture)


def test_a_batch_is_infrared_and_luma() -> None:
    item = pair(6, 7)
    out = FusionDataPreprocessor()(pseudo_collate([item]))
    assert out['inputs'].dtype == torch.float32
    assert torch.equal(out['inputs'][0, 0], item['inputs'][0] / 255)
    assert torch.equal((out['inputs'][0, 1] * 255).round(), torch.from_numpy(luma8(picture_of(item['inputs'][1:]))))
    sample = out['data_samples'][0]
    assert sample.img_shape == (6, 7)
    assert torch.equal(as_written(out['inputs'][0, 1:], sample.chroma), item['data_samples'].visible)
    assert 'chroma' not in item['data_samples']  # what the loader holds stays as it is


def test_pictures_of_several_sizes_are_padded_with_their_borders() -> None:
    items = [pair(4, 9, seed=1), pair(11, 3, grey=True, seed=2), pair(11, 9, seed=3)]
    out = FusionDataPreprocessor()(pseudo_collate(items), training=True)
    assert out['inputs'].shape == (3, 2, 11, 9)
    for item, got, sample in zip(items, out['inputs'], out['data_samples']):
        height, width = sample.img_shape
        assert (height, width) == item['inputs'].shape[1:]
        alone = FusionDataPreprocessor()(pseudo_collate([item]))['inputs'][0].numpy()
        expected = np.pad(alone, ((0, 0), (0, 11 - height), (0, 9 - width)), mode='edge')
        np.testing.assert_array_equal(got.numpy(), expected)
    colour, grey, _ = out['data_samples']
    assert colour.chroma.shape == (2, 11, 9)
    assert 'chroma' not in grey


def test_a_batch_needs_no_data_samples() -> None:
    items = [pair(5, 5, seed=seed) for seed in range(2)]
    inputs = torch.stack([item['inputs'] for item in items])
    out = FusionDataPreprocessor()({'inputs': inputs})
    assert out['data_samples'] is None
    assert torch.equal(out['inputs'], FusionDataPreprocessor()(pseudo_collate(items))['inputs'])


@pytest.mark.parametrize('wrong', [torch.zeros(2, 4, 4), torch.zeros(3, 4, 4, dtype=torch.uint8)])
def test_a_batch_of_something_else_is_refused(wrong) -> None:
    with pytest.raises(MTKDError, match=r'must be uint8 \(4, h, w\).*PackPair'):
        FusionDataPreprocessor()({'inputs': [wrong]})


def test_packed_pictures_share_the_memory_of_the_inputs() -> None:
    for grey, channels in ((False, 3), (True, 1)):
        item = pair(5, 6, grey)
        sample = item['data_samples']
        assert sample.visible.shape == (channels, 5, 6)
        assert (sample.ori_shape, sample.img_shape, sample.name) == ((5, 6), (5, 6), 'a')
        item['inputs'][0], item['inputs'][1] = 1, 2
        assert (sample.infrared == 1).all()
        assert (sample.visible[0] == 2).all()


def test_all_are_known_by_name() -> None:
    for registry, names in (
        (MODELS, ['FusionDataPreprocessor']),
        (DATASETS, ['PairDataset', 'FusionScenes']),
        (TRANSFORMS, ['LoadPair', 'PairResize', 'PairRandomCrop', 'PairRandomFlip', 'PackPair']),
        (VISUALIZERS, ['FusionVisualizer']),
    ):
        for name in names:
            assert registry.parent.get(f'mtkd_rl.{name}').__name__ == name


def test_a_scene_depends_on_its_number_alone() -> None:
    few = FusionScenes(n=2)
    np.random.seed(7)
    many = FusionScenes(n=4)
    for number in (1, 0):
        for key in ('infrared', 'visible', 'ideal'):
            np.testing.assert_array_equal(few[number][key], many[number][key])
    other = [FusionScenes(n=1, seed=1)[0], FusionScenes(n=1, split='val')[0], many[1], many[0]]
    assert len({scene['visible'].tobytes() for scene in other}) == 4


def test_each_modality_shows_what_the_other_hides() -> None:
    """Edges of the ideal picture, of which each source has some that the other lacks."""

    def edges(picture: np.ndarray) -> np.ndarray:
        gradient = np.gradient(cv2.GaussianBlur(picture.astype(float), (0, 0), 1.5))
        return np.hypot(*gradient) > 6

    lacking = {'infrared': [], 'visible': []}
    for scene in FusionScenes(n=30):
        ideal, infrared, visible = (edges(luma8(scene[key])) for key in ('ideal', 'infrared', 'visible'))
        lacking['infrared'].append((ideal & visible & ~infrared).mean())
        lacking['visible'].append((ideal & infrared & ~visible).mean())
    for shares in lacking.values():
        assert min(shares) > 0
        assert np.mean(shares) > 0.08


@pytest.mark.parametrize('size', [32, 49])
def test_scenes_of_any_size(size) -> None:
    images = np.stack([sample['img'][..., 0] for sample in Digits(split='val').load_data_list()])
    scenes = FusionScenes(n=3, split='val', size=size, seed=5, pipeline=[dict(type='mtkd_rl.PackPair')])
    for number in range(3):
        scene, sample = make_pair_scene(images, (5, 1, number), size), scenes[number]['data_samples']
        for key, shape in (('infrared', (size, size)), ('visible', (size, size, 3)), ('ideal', (size, size))):
            picture = getattr(scene, key)
            assert (picture.shape, picture.dtype) == (shape, np.uint8)
            np.testing.assert_array_equal(picture_of(sample.get(key)), picture)
        assert sample.name == f'val_{number:05d}'
        assert sample.ori_shape == (size, size)


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(n=0), 'n is 0'),
        (dict(n=1, size=31), 'size is 31'),
        (dict(n=1, seed=-1), 'seed is -1'),
        (dict(n=1, split='test'), "no split 'test'"),
    ],
)
def test_mistakes_in_scenes_are_named(options, words) -> None:
    with pytest.raises(MTKDError, match=words):
        FusionScenes(**options)


def test_pictures_stand_side_by_side_over_their_names() -> None:
    rng = np.random.default_rng(0)
    infrared, visible = rng.integers(0, 250, (90, 80), np.uint8), rng.integers(0, 250, (90, 80, 3), np.uint8)
    row = side_by_side(infrared, visible, {'ours': infrared})
    assert row.dtype == np.uint8
    for start, picture in ((0, infrared[..., None]), (84, visible), (168, infrared[..., None])):
        assert (row[:90, start : start + 80] == picture).all()
        assert (row[:90, start + 80 : start + 84] == 255).all()
        assert (row[90:, start : start + 80] < 128).any()  # the name
    assert (side_by_side(infrared, visible, {'ours': infrared})[90:] == row[90:]).all()
    assert (side_by_side(infrared, visible, {'theirs': infrared})[90:, :160] == row[90:, :160]).all()
    assert (side_by_side(infrared, visible, {'urso': infrared})[90:, 168:200] != row[90:, 168:200]).any()
    twice = side_by_side(infrared, visible, {}, height=180)
    assert (twice[:180, :160] == infrared.repeat(2, axis=0).repeat(2, axis=1)[..., None]).all()


@settings(max_examples=20)
@given(st.lists(st.tuples(st.integers(1, 20), st.integers(1, 20)), min_size=1, max_size=4))
def test_a_sheet_has_all_rows(sizes) -> None:
    rows = [np.full((*size, 3), number, np.uint8) for number, size in enumerate(sizes)]
    whole = sheet(rows)
    top = 0
    for row in rows:
        height, width = row.shape[:2]
        assert (whole[top : top + height, :width] == row).all()
        assert (whole[top : top + height, width:] == 255).all()
        top += height + 4
    assert whole.shape[0] == top - 4


def test_the_visualizer_writes_files_and_to_its_backends(tmp_path) -> None:
    item = pair(40, 60)
    sample = FusionDataPreprocessor()(pseudo_collate([item]))['data_samples'][0]
    sample.fused = sample.visible
    fused = picture_of(sample.fused)
    visualizer = FusionVisualizer(name='fusion-test', vis_backends=[LocalVisBackend(str(tmp_path))], height=80)
    visualizer.add_datasample('one', None, sample, step=3)
    (kept,) = tmp_path.rglob('one_3.png')
    sources = picture_of(sample.infrared), picture_of(sample.visible)
    np.testing.assert_array_equal(np.asarray(Image.open(kept)), side_by_side(*sources, {'fused': fused}, height=80))
    np.testing.assert_array_equal(visualizer.get_image(), np.asarray(Image.open(kept)))
    visualizer.add_datasample('two', None, sample, draw_pred=False, out_file=str(tmp_path / 'new' / 'two.png'))
    drawn = np.asarray(Image.open(tmp_path / 'new' / 'two.png'))
    np.testing.assert_array_equal(drawn, side_by_side(*sources, {}, height=80))
    with pytest.raises(MTKDError, match='no infrared and no visible'):
        visualizer.add_datasample('three', None, FusionDataSample())
