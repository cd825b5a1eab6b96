"""Pairs in folders of every layout, whatever files are among them, and the transforms that move them."""

import logging
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.logging import MMLogger
from PIL import Image

from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.colour import luma8
from mtkd_rl.fusion.datasets import PairDataset
from mtkd_rl.fusion.transforms import LoadPair, PackPair, PairRandomCrop, PairRandomFlip, PairResize
from mtkd_rl.fusion.transforms.loading import PairError, read_pair, read_picture
from mtkd_rl.registry import DATASETS

LOAD = [dict(type='mtkd_rl.LoadPair'), dict(type='mtkd_rl.PackPair')]


def put(path: Path, value: int = 0, channels: int = 1, size: tuple[int, int] = (4, 6)) -> Path:
    """Writes a picture; ``size`` is height and width."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size if channels == 1 else (*size, channels)
    Image.fromarray(np.full(shape, value, np.uint8)).save(path)
    return path


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """What is logged at the level of a warning or above."""
    told: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: told.append(record.getMessage())  # type: ignore[method-assign]
    logger = MMLogger.get_current_instance()
    logger.addHandler(handler)
    yield told
    logger.removeHandler(handler)


def names(data: PairDataset) -> list[str]:
    return [data.get_data_info(number)['name'] for number in range(len(data))]


def message(error: pytest.ExceptionInfo) -> str:
    text = str(error.value)
    assert '\n' not in text
    return text


@pytest.mark.parametrize(
    ('infrared', 'visible', 'split'),
    [
        ('train/ir/00001D.png', 'train/vi/00001D.png', 'train'),  # MSRS
        ('cropinfrared/FLIR_1.jpg', 'crop_LR_visible/FLIR_1.jpg', None),  # RoadScene
        ('Ir/00001.png', 'Vis/00001.png', None),  # M3FD
        ('infrared/test/1.jpg', 'visible/test/1.jpg', 'test'),  # LLVIP
        ('test/Infrared/1.png', 'test/Visible/1.png', 'test'),  # FMB
        ('ir/1.png', 'vi/1.bmp', None),  # TNO
        ('IR/1.png', 'VIS/1.jpeg', None),
        ('Test_ir/1.bmp', 'Test_vi/1.bmp', None),
        ('ir/IR1.png', 'vis/VIS1.png', None),
        ('IR12.png', 'VIS12.png', None),
        ('12_ir.PNG', '12_vi.Tif', None),
        ('Val/THERMAL/a.pgm', 'Val/RGB/a.ppm', 'val'),
    ],
)
def test_layouts(tmp_path, infrared, visible, split, lines) -> None:
    files = put(tmp_path / infrared, 10), put(tmp_path / visible, 20)
    for other in ('Thumbs.db', 'notes.txt', '._a.png'):
        (files[0].parent / other).write_bytes(b'x')
    (files[1].parent / 'more.png').mkdir()
    if split:
        put(tmp_path / infrared.lower().replace(split, 'other'))
        put(tmp_path / visible.lower().replace(split, 'other'))
    data = PairDataset(str(tmp_path), split=split)
    assert len(data) == 1
    found = data[0]
    assert (found['infrared_path'], found['visible_path']) == tuple(map(str, files))
    assert not lines


def test_aligned_pictures_of_roadscene_come_before_those_that_are_not(tmp_path) -> None:
    for folder in ('cropinfrared', 'infrared', 'crop_LR_visible', 'crop_HR_visible', 'visible'):
        put(tmp_path / folder / 'a.jpg')
    found = PairDataset(str(tmp_path))[0]
    assert Path(found['infrared_path']).parent.name == 'cropinfrared'
    assert Path(found['visible_path']).parent.name == 'crop_LR_visible'


def test_folders_by_name(tmp_path) -> None:
    put(tmp_path / 'a' / 'hot' / '1.png')
    put(tmp_path / 'a' / 'light' / '1.png')
    data = PairDataset(str(tmp_path / 'a'), data_prefix=dict(infrared='hot', visible='light'))
    assert names(data) == ['1']
    apart = PairDataset(data_prefix=dict(infrared=str(tmp_path / 'a/hot'), visible=str(tmp_path / 'a/light')))
    assert apart[0]['visible_path'] == str(tmp_path / 'a/light/1.png')
    for options in (dict(split='train'), dict(data_prefix=dict(ir='hot', vi='light'))):
        with pytest.raises(MTKDError, match='give data_prefix'):
            PairDataset(**{**dict(data_prefix=dict(infrared='hot', visible='light')), **options})


def test_names_that_look_marked_are_compared_whole_first(tmp_path) -> None:
    for name in ('ir_1.png', 'vi_1.png', '1.png'):
        put(tmp_path / 'ir' / name)
        put(tmp_path / 'vi' / name)
    assert names(PairDataset(str(tmp_path))) == ['1', 'ir_1', 'vi_1']


def test_pictures_without_partner_are_listed_in_one_line(tmp_path, lines) -> None:
    for number in range(3):
        put(tmp_path / 'ir' / f'{number}.png')
        put(tmp_path / 'vi' / f'{number + 1}.jpg')
    put(tmp_path / 'vi' / '1.png')  # the name is taken by 1.jpg
    data = PairDataset(str(tmp_path))
    assert names(data) == ['1', '2']
    assert data[0]['visible_path'] == str(tmp_path / 'vi' / '1.jpg')
    assert len(lines) == 1
    assert lines[0].endswith('are left out: ir/0.png, vi/1.png, vi/3.jpg')
    for number in range(100, 140):
        put(tmp_path / 'ir' / f'{number}.png')
    PairDataset(str(tmp_path))
    assert lines[1].endswith('ir/113.png and 28 more')  # 15 of 43


def test_split_files(tmp_path, lines) -> None:
    for number in range(4):
        put(tmp_path / 'ir' / f'a.{number}.png')
        put(tmp_path / 'vi' / f'a.{number}.png')
    (tmp_path / 'val.txt').write_text('a.3\na.1.png\n\nno\n a.1 \n')
    data = PairDataset(str(tmp_path), split_file='val.txt')
    assert names(data) == ['a.3', 'a.1']
    assert lines == [f'split file {tmp_path}/val.txt: names pairs that are not there: no']
    assert names(PairDataset(str(tmp_path), split_file='val.txt', indices=[1])) == ['a.1']
    (tmp_path / 'none.txt').write_text('no\n')
    for file, words in (('none.txt', 'names no pair that is there; pairs are a.0'), ('gone.txt', 'no such file')):
        with pytest.raises(MTKDError, match=words):
            PairDataset(str(tmp_path), split_file=file)


def test_what_is_missing_is_said(tmp_path) -> None:
    root = str(tmp_path)
    with pytest.raises(MTKDError) as error:
        PairDataset(f'{root}/gone')
    assert message(error).startswith(f'{root}/gone: there is no such folder')
    with pytest.raises(MTKDError) as error:
        PairDataset(root)
    assert 'no folders of infrared and visible pictures (it has no folders)' in message(error)
    put(tmp_path / 'ir' / 'a.png')
    with pytest.raises(MTKDError) as error:
        PairDataset(root, split='train')
    assert "of the split 'train' (it has ir)" in message(error)
    (tmp_path / 'vi').mkdir()
    (tmp_path / 'vi' / 'Thumbs.db').write_bytes(b'x')
    with pytest.raises(MTKDError) as error:
        PairDataset(root)
    assert message(error).startswith(f'{root}/vi: there is no picture in it')
    put(tmp_path / 'vi' / 'b.png')
    with pytest.raises(MTKDError) as error:
        PairDataset(root)
    assert 'no two pictures are named as a pair (there are a.png, b.png' in message(error)
    with pytest.raises(MTKDError, match='no such folder'):
        PairDataset(root, data_prefix=dict(infrared='ir', visible='gone'))


def gradient(height: int = 5, width: int = 7) -> np.ndarray:
    return np.arange(height * width, dtype=np.uint8).reshape(height, width) * 7


@pytest.mark.parametrize('ending', ['png', 'bmp', 'tif', 'webp'])
def test_grey_colour_and_alpha(tmp_path, ending) -> None:
    grey = gradient()
    colour = np.stack([grey, 255 - grey, grey // 2], axis=2)
    opaque = np.concatenate([colour, grey[..., None]], axis=2)
    options = dict(lossless=True, exact=True) if ending == 'webp' else {}
    for name, picture in (('grey', grey), ('colour', colour), ('alpha', opaque)):
        Image.fromarray(picture).save(tmp_path / f'{name}.{ending}', **options)
    np.testing.assert_array_equal(read_picture(tmp_path / f'colour.{ending}'), colour)
    if ending != 'bmp':
        np.testing.assert_array_equal(read_picture(tmp_path / f'alpha.{ending}'), colour)
    if ending != 'webp':  # which has no grey
        np.testing.assert_array_equal(read_picture(tmp_path / f'grey.{ending}'), grey)
    infrared, visible = read_pair(tmp_path / f'colour.{ending}', tmp_path / f'colour.{ending}')
    np.testing.assert_array_equal(infrared, luma8(colour))
    np.testing.assert_array_equal(visible, colour)


def test_rarer_kinds_of_pictures(tmp_path) -> None:
    colour = np.random.default_rng(0).integers(0, 256, (6, 5, 3), dtype=np.uint8)
    image = Image.fromarray(colour)
    image.quantize(30).save(tmp_path / 'palette.png')
    np.testing.assert_array_equal(read_picture(tmp_path / 'palette.png'), colour)
    image.convert('LA').save(tmp_path / 'la.png')
    np.testing.assert_array_equal(read_picture(tmp_path / 'la.png'), np.asarray(image.convert('L')))
    image.convert('1').save(tmp_path / 'bits.png')
    np.testing.assert_array_equal(read_picture(tmp_path / 'bits.png'), np.asarray(image.convert('1')) * np.uint8(255))
    cv2.imwrite(str(tmp_path / 'deep.png'), colour[..., ::-1].astype(np.uint16) * 256 + 200)
    np.testing.assert_array_equal(read_picture(tmp_path / 'deep.png'), colour)


@pytest.mark.parametrize(('ending', 'kind'), [('png', np.uint16), ('tif', np.uint16), ('tiff', np.float32)])
def test_16_bits_are_scaled_by_their_own_range(tmp_path, ending, kind) -> None:
    values = np.array([[7000, 7100, 7255], [7001, 7510, 7508]], dtype=kind)  # 2 a step
    cv2.imwrite(str(tmp_path / f'a.{ending}'), values)
    cv2.imwrite(str(tmp_path / f'flat.{ending}'), np.full((2, 3), 7000, dtype=kind))
    assert read_picture(tmp_path / f'a.{ending}').tolist() == [[0, 50, 128], [0, 255, 254]]  # 127.5 and 0.5 to even
    assert not read_picture(tmp_path / f'flat.{ending}').any()


def test_sizes_that_differ_are_named(tmp_path) -> None:
    files = put(tmp_path / 'ir/a.png', size=(4, 6)), put(tmp_path / 'vi/a.png', size=(8, 12), channels=3)
    with pytest.raises(PairError) as error:
        read_pair(*files)
    assert message(error).startswith(f'{files[0]} has 6x4 pixels and {files[1]} 12x8; ')


def damaged(path: Path) -> Iterator[bytes]:
    """What a file may hold in place of a picture."""
    whole = path.read_bytes()
    yield b''
    yield b'no picture'
    yield whole[: len(whole) // 2]
    yield whole[:20] + bytes(60) + whole[80:]


@pytest.mark.parametrize('ending', ['png', 'jpg', 'bmp', 'tif'])
def test_damaged_files_are_named(tmp_path, ending) -> None:
    file = tmp_path / f'a.{ending}'
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(file)
    read_picture(file)
    for content in list(damaged(file))[: 3 if ending in ('jpg', 'bmp') else 4]:  # those two have no checksums
        file.write_bytes(content)
        with pytest.raises(PairError) as error:
            read_picture(file)
        assert message(error).startswith(f'{file}: cannot be read (')
    file.unlink()
    with pytest.raises(PairError, match='No such file'):
        read_picture(file)
    cv2.imwrite(str(tmp_path / 'nan.tiff'), np.array([[1, np.nan]], dtype=np.float32))
    with pytest.raises(PairError, match='not finite'):
        read_picture(tmp_path / 'nan.tiff')


def test_training_goes_on_without_a_bad_pair(tmp_path, lines) -> None:
    for number in range(5):
        put(tmp_path / 'ir' / f'{number}.png', number)
        put(tmp_path / 'vi' / f'{number}.png', number)
    (tmp_path / 'ir' / '2.png').write_bytes(b'x')
    put(tmp_path / 'vi' / '3.png', size=(9, 9))
    data = DATASETS.build(dict(type='mtkd_rl.PairDataset', data_root=str(tmp_path), pipeline=LOAD))
    for _ in range(3):
        seen = [int(data[number]['inputs'][0, 0, 0]) for number in range(5)]
        assert seen[:2] == [0, 1]
        assert seen[4] == 4
        assert {*seen} == {0, 1, 4}
    assert len(lines) == 2
    assert f'{tmp_path}/ir/2.png: cannot be read' in lines[0]
    assert f'{tmp_path}/vi/3.png 9x9' in lines[1]
    assert all(line.endswith('another pair is taken') for line in lines)
    checked = PairDataset(str(tmp_path), pipeline=LOAD, test_mode=True)
    assert len(checked[1]['inputs']) == 4
    with pytest.raises(PairError, match=r'ir/2\.png'):
        checked[2]


def test_training_stops_where_no_pair_can_be_read(tmp_path) -> None:
    for number in range(3):
        put(tmp_path / 'ir' / f'{number}.png').write_bytes(b'x')
        put(tmp_path / 'vi' / f'{number}.png')
    with pytest.raises(PairError, match='cannot be read'):
        PairDataset(str(tmp_path), pipeline=LOAD)[0]


def test_a_pair_from_files_to_inputs(tmp_path) -> None:
    rng = np.random.default_rng(0)
    visible = rng.integers(0, 256, (5, 8, 3), dtype=np.uint8)
    infrared = rng.integers(0, 256, (5, 8), dtype=np.uint8)
    for folder, picture in (('ir', infrared), ('vi', visible)):
        (tmp_path / folder).mkdir()
        Image.fromarray(picture).save(tmp_path / folder / 'a.png')
    item = PairDataset(str(tmp_path), pipeline=LOAD, test_mode=True)[0]
    np.testing.assert_array_equal(item['inputs'].numpy(), np.stack([infrared, *visible.transpose(2, 0, 1)]))
    sample = item['data_samples']
    assert (sample.name, sample.ori_shape, sample.img_shape) == ('a', (5, 8), (5, 8))
    assert sample.visible_path == str(tmp_path / 'vi' / 'a.png')
    assert (sample.infrared.shape, sample.visible.shape) == ((1, 5, 8), (3, 5, 8))


def coordinates(height: int, width: int) -> dict[str, np.ndarray]:
    """A pair of which every pixel says where it is: infrared and the visible's channels its row and its column."""
    y, x = np.mgrid[:height, :width].astype(np.uint8)
    return {'infrared': y, 'visible': np.stack([x, y, x + y], axis=2), 'ideal': x}


def agree(pair: dict[str, np.ndarray]) -> bool:
    """Whether all pictures have been moved alike."""
    y, x = pair['infrared'], pair['ideal']
    return bool((pair['visible'] == np.stack([x, y, x + y], axis=2)).all())


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32 - 1))
def test_crops_are_windows_of_both(height, width, rows, columns, seed) -> None:
    pair = coordinates(height, width)
    np.random.seed(seed)
    cut = PairRandomCrop((rows, columns))(pair)
    assert cut['infrared'].shape == (rows, columns)
    assert agree(cut)
    y, x = cut['infrared'][:, 0].astype(int), cut['ideal'][0].astype(int)
    for places, side, wanted in ((y, height, rows), (x, width, columns)):
        if wanted <= side:
            assert (np.diff(places) == 1).all()  # a window
        else:  # to the border and back, again and again
            period = [*range(side), *range(side - 2, 0, -1)]
            assert places.tolist() == [period[number % len(period)] for number in range(wanted)]
    grey = PairRandomCrop((rows, columns))({**pair, 'visible': pair['infrared']})
    assert (grey['visible'] == grey['infrared']).all()


def test_crops_are_anywhere_and_follow_numpys_seed() -> None:
    def corner() -> tuple[int, int]:
        cut = PairRandomCrop(3)(coordinates(5, 6))
        return int(cut['infrared'][0, 0]), int(cut['ideal'][0, 0])

    np.random.seed(0)
    corners = [corner() for _ in range(300)]
    assert {*corners} == {(y, x) for y in range(3) for x in range(4)}
    np.random.seed(0)
    assert corners[:20] == [corner() for _ in range(20)]


def test_flips_are_the_eight_of_the_square() -> None:
    pair, flip = coordinates(4, 4), PairRandomFlip(0.5, 0.5, 0.5)
    np.random.seed(0)
    turned = [flip(pair) for _ in range(100)]
    assert all(map(agree, turned))
    places = pair['infrared'] * 4 + pair['ideal']
    expected = {np.rot90(picture, k).tobytes() for picture in (places, places.T) for k in range(4)}
    assert len(expected) == 8
    assert {(each['infrared'] * 4 + each['ideal']).tobytes() for each in turned} == expected


@pytest.mark.parametrize(
    ('options', 'wanted'),
    [
        (dict(horizontal=1), np.fliplr),
        (dict(horizontal=0, vertical=1), np.flipud),
        (dict(horizontal=0, transpose=1), np.transpose),
        (dict(horizontal=0), np.copy),
    ],
)
def test_each_flip_alone(options, wanted) -> None:
    pair = coordinates(3, 5)
    turned = PairRandomFlip(**options)(pair)
    for key in ('infrared', 'ideal'):
        np.testing.assert_array_equal(turned[key], wanted(pair[key]))
    assert agree(turned)
    assert PackPair()(turned)['inputs'].shape == (4, *wanted(pair['ideal']).shape)  # also of views


def test_resizing() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (8, 12), dtype=np.uint8)
    pair = {'infrared': picture, 'visible': np.stack([picture] * 3, axis=2)}
    small = PairResize((3, 2))(pair)
    means = picture.reshape(2, 4, 3, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(small['infrared'], means, atol=0.5)
    np.testing.assert_array_equal(small['visible'], np.stack([small['infrared']] * 3, axis=2))
    assert PairResize((30, 20))(pair)['infrared'].shape == (20, 30)
    for scale, size in (((6, 100), (4, 6)), ((100, 16), (16, 24)), ((12, 8), (8, 12)), ((1, 1), (1, 1))):
        kept = PairResize(scale, keep_ratio=True)(pair)
        assert kept['infrared'].shape == size
        assert kept['visible'].shape == (*size, 3)


def test_originals_are_left_as_they_are() -> None:
    pair = coordinates(6, 7)
    for transform in (PairRandomCrop(9), PairRandomFlip(1, 1, 1), PairResize((3, 3)), PackPair()):
        before = {key: picture.copy() for key, picture in pair.items()}
        out = transform(pair)
        torch.as_tensor(out['inputs'] if 'inputs' in out else out['infrared'].copy()).zero_()
        assert pair.keys() == before.keys()
        assert all((pair[key] == before[key]).all() for key in before)


@pytest.mark.parametrize(
    ('build', 'words'),
    [
        (lambda: PairResize((0, 3)), 'PairResize: width is 0'),
        (lambda: PairRandomCrop((3, 2.5)), 'PairRandomCrop: width is 2.5'),
        (lambda: PairRandomFlip(vertical=1.5), 'PairRandomFlip: vertical is 1.5'),
        (lambda: PairRandomFlip(-0.1), 'PairRandomFlip: horizontal is -0.1'),
    ],
)
def test_mistakes_in_options_are_named(build, words) -> None:
    with pytest.raises(MTKDError, match=words):
        build()


def test_loading_adds_what_it_says(tmp_path) -> None:
    files = {'infrared_path': put(tmp_path / 'a.png', 3), 'visible_path': put(tmp_path / 'b.png', 5, channels=3)}
    loaded = LoadPair()({**files, 'name': 'a'})
    assert {*loaded} == {*files, 'name', 'infrared', 'visible', 'ori_shape'}
    assert loaded['ori_shape'] == (4, 6)
    assert (loaded['infrared'] == 3).all()
    assert loaded['visible'].shape == (4, 6, 3)
