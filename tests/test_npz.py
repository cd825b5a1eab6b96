"""NpzClassification on small files, against the arrays that went in."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmpretrain.registry import DATASETS
from mmpretrain.registry import TRANSFORMS as MMPRETRAIN_TRANSFORMS

from mtkd_rl.datasets import NpzClassification
from mtkd_rl.errors import MTKDError

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 6, 5, 3), dtype=np.uint8)
LABELS = np.arange(12) % 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    np.savez_compressed(tmp_path / 'train.npz', images=IMAGES, labels=LABELS)
    (tmp_path / 'classes.txt').write_text('ant\nbee\ncat\n')
    return tmp_path


def one_line(error: pytest.ExceptionInfo[MTKDError]) -> str:
    message = str(error.value)
    assert '\n' not in message
    return message


def test_items_are_the_arrays(root: Path) -> None:
    data = NpzClassification('train.npz', data_root=str(root))
    assert len(data) == 12
    for i in range(12):
        np.testing.assert_array_equal(data[i]['img'], IMAGES[i])
        assert data[i]['img'].dtype == np.uint8
        assert data[i]['gt_label'] == LABELS[i]
        assert type(data[i]['gt_label']) is int
    assert data.get_gt_labels().tolist() == LABELS.tolist()


def test_built_by_name_from_a_config(root: Path) -> None:
    init_default_scope('mmpretrain')
    data = DATASETS.build(
        {
            'type': 'mtkd_rl.NpzClassification',
            'ann_file': 'train.npz',
            'data_root': str(root),
            'classes': 'classes.txt',
            'pipeline': [{'type': 'PackInputs'}],
        }
    )
    assert data.metainfo['classes'] == ('ant', 'bee', 'cat')
    assert data.get_cat_ids(5) == [2]
    np.testing.assert_array_equal(data[4]['inputs'].numpy(), IMAGES[4].transpose(2, 0, 1))
    assert data[4]['data_samples'].gt_label.item() == 1


def test_indices_take_the_same_rows(root: Path) -> None:
    data = NpzClassification('train.npz', data_root=str(root), indices=[7, 2])
    assert len(data) == 2
    np.testing.assert_array_equal(data[0]['img'], IMAGES[7])
    np.testing.assert_array_equal(data[1]['img'], IMAGES[2])
    assert data[1]['gt_label'] == LABELS[2]


def test_a_transform_that_writes_does_not_reach_the_data(root: Path) -> None:
    data = NpzClassification('train.npz', data_root=str(root))
    data[3]['img'][:] = 0
    np.testing.assert_array_equal(data[3]['img'], IMAGES[3])


def test_the_array_is_kept_once(root: Path) -> None:
    data = NpzClassification('train.npz', data_root=str(root))
    assert data.images.nbytes == IMAGES.nbytes
    listed = data.data_bytes.nbytes
    assert listed < 12 * 80, 'the pictures must not be in the serialized list'
    assert len(pickle.dumps(data)) < 2 * IMAGES.nbytes + 8000


def test_two_workers_read_what_one_process_reads(root: Path) -> None:
    init_default_scope('mmpretrain')
    pipeline = [MMPRETRAIN_TRANSFORMS.build({'type': 'PackInputs'})]
    data = NpzClassification('train.npz', data_root=str(root), pipeline=pipeline)
    loader = torch.utils.data.DataLoader(data, batch_size=4, num_workers=2, collate_fn=pseudo_collate)
    seen = torch.cat([torch.stack(batch['inputs']) for batch in loader])
    np.testing.assert_array_equal(seen.numpy(), IMAGES.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(('classes', 'file'), [(None, 'train.npz'), ('classes.txt', 'classes.txt')])
def test_missing_file_says_path_variable_and_key(tmp_path: Path, classes: str | None, file: str) -> None:
    with pytest.raises(MTKDError) as error:
        NpzClassification('train.npz', data_root=str(tmp_path / 'cifar10'), classes=classes)
    message = one_line(error)
    for part in (str(tmp_path / 'cifar10' / file), 'MTKD_DATA_ROOT', 'train_dataloader.dataset.data_root='):
        assert part in message


def test_missing_classes_file(root: Path) -> None:
    with pytest.raises(MTKDError, match=r'names\.txt'):
        NpzClassification('train.npz', data_root=str(root), classes='names.txt')


@pytest.mark.parametrize('share', [0.0, 0.1, 0.5, 0.99])
def test_truncated_file(root: Path, share: float) -> None:
    whole = (root / 'train.npz').read_bytes()
    (root / 'train.npz').write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(MTKDError, match='truncated'):
        NpzClassification('train.npz', data_root=str(root))


def test_damaged_inside(root: Path) -> None:
    content = bytearray((root / 'train.npz').read_bytes())
    content[200:260] = bytes(60)
    (root / 'train.npz').write_bytes(content)
    with pytest.raises(MTKDError, match='truncated') as error:
        NpzClassification('train.npz', data_root=str(root))
    one_line(error)


def test_a_file_that_holds_code_is_not_run(root: Path) -> None:
    labels = np.array([print] * 12, dtype=object)
    np.savez(root / 'train.npz', images=IMAGES, labels=labels)
    with pytest.raises(MTKDError, match='allow_pickle'):
        NpzClassification('train.npz', data_root=str(root))


@pytest.mark.parametrize(
    ('arrays', 'said'),
    [
        ({'images': IMAGES}, 'no array labels'),
        ({'x': IMAGES, 'y': LABELS}, 'no array images and labels'),
        ({'images': IMAGES[:7], 'labels': LABELS}, '7 images but 12 labels'),
        ({'images': IMAGES[..., 0], 'labels': LABELS}, r'uint8 \(12, 6, 5\)'),
        ({'images': IMAGES / 255, 'labels': LABELS}, 'images are float64'),
        ({'images': IMAGES, 'labels': LABELS[:, None]}, r'labels are int64 \(12, 1\)'),
        ({'images': IMAGES, 'labels': LABELS + 0.0}, 'labels are float64'),
        ({'images': IMAGES, 'labels': LABELS - 1}, 'from -1 to 1'),
        ({'images': IMAGES, 'labels': LABELS + 1}, r'from 1 to 3.*\(3\)'),
    ],
)
def test_wrong_arrays(root: Path, arrays: dict[str, np.ndarray], said: str) -> None:
    np.savez(root / 'train.npz', **arrays)
    with pytest.raises(MTKDError, match=said) as error:
        NpzClassification('train.npz', data_root=str(root), classes='classes.txt')
    assert 'train.npz' in one_line(error)


def test_some_rows_and_some_classes(root: Path) -> None:
    data = NpzClassification('train.npz', str(root), 'classes.txt', rows=(3, 10), only=('cat', 'ant'))
    assert [data.get_data_info(i)['gt_label'] for i in range(len(data))] == [0, 2, 0, 2, 0]
    np.testing.assert_array_equal(data[1]['img'], IMAGES[5])
    assert data.metainfo['classes'] == ('ant', 'bee', 'cat')


@pytest.mark.parametrize(
    ('options', 'said'), [({'only': ['dog']}, "'dog' is no class"), ({'only': ['bee'], 'rows': (0, 1)}, 'no picture')]
)
def test_nothing_that_is_wanted(root: Path, options: dict, said: str) -> None:
    with pytest.raises(MTKDError, match=said) as error:
        NpzClassification('train.npz', str(root), 'classes.txt', **options)
    one_line(error)
