"""Scenes of digits: the same everywhere, true boxes, masks and labels, and what mmdet and mmseg make of them."""

import subprocess
import sys
from typing import Any

import mmseg.datasets
import mmseg.evaluation  # noqa: F401
import numpy as np
import pytest
import torch
from mmdet.registry import DATASETS as DET_DATASETS
from mmdet.registry import METRICS as DET_METRICS
from mmengine.registry import DefaultScope
from mmseg.registry import DATASETS as SEG_DATASETS
from mmseg.registry import METRICS as SEG_METRICS
from pycocotools import mask as coco_mask

from mtkd_rl.datasets import DetectionScenes, Digits, SegmentationScenes
from mtkd_rl.datasets.scenes import make_scene, run_lengths
from mtkd_rl.errors import MTKDError

META_KEYS = ('img_id', 'ori_shape', 'img_shape', 'instances')


def detection(**options: Any) -> Any:
    pipeline = [
        dict(type='LoadImageFromNDArray'),
        dict(type='LoadAnnotations', with_bbox=True, with_mask=True),
        dict(type='PackDetInputs', meta_keys=META_KEYS),
    ]
    with DefaultScope.overwrite_default_scope('mmdet'):
        return DET_DATASETS.build(dict(type='mtkd_rl.DetectionScenes', pipeline=pipeline, **options))


def segmentation(**options: Any) -> Any:
    pipeline = [dict(type='LoadImageFromNDArray'), dict(type='PackSegInputs')]
    with DefaultScope.overwrite_default_scope('mmseg'):
        return SEG_DATASETS.build(dict(type='mtkd_rl.SegmentationScenes', pipeline=pipeline, **options))


def handwriting(split: str) -> tuple[np.ndarray, np.ndarray]:
    samples = Digits(split=split).load_data_list()
    return np.stack([sample['img'][..., 0] for sample in samples]), np.array([each['gt_label'] for each in samples])


def test_a_scene_depends_on_its_number_alone() -> None:
    few, many = DetectionScenes(n=2), DetectionScenes(n=4)
    np.random.seed(7)
    again = DetectionScenes(n=4)
    for number in (1, 0):
        np.testing.assert_array_equal(few[number]['img'], many[number]['img'])
    for number in range(4):
        np.testing.assert_array_equal(many[number]['img'], again[number]['img'])
        assert many[number]['instances'] == again[number]['instances']


@pytest.mark.slow
def test_a_scene_is_the_same_in_another_process() -> None:
    script = 'from mtkd_rl.datasets import DetectionScenes; print(DetectionScenes(n=3)[2]["img"].tobytes().hex())'
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', script], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == DetectionScenes(n=3)[2]['img'].tobytes().hex()


def test_seeds_numbers_and_splits_make_other_scenes() -> None:
    scenes = [
        DetectionScenes(n=2)[0],
        DetectionScenes(n=2)[1],
        DetectionScenes(n=2, seed=1)[0],
        DetectionScenes(n=2, split='val')[0],
    ]
    assert len({scene['img'].tobytes() for scene in scenes}) == 4


@pytest.mark.parametrize(('split', 'part'), [('train', 0), ('val', 1)])
def test_a_split_draws_from_the_digits_of_that_split(split, part) -> None:
    images, labels = handwriting(split)
    scenes = DetectionScenes(n=3, split=split, seed=5)
    for number in range(3):
        scene = make_scene(images, labels, (5, part, number), 64)
        np.testing.assert_array_equal(scenes[number]['img'], scene.img)
        assert [instance['bbox_label'] for instance in scenes[number]['instances']] == scene.labels


def test_digits_lie_apart_and_are_light() -> None:
    images, labels = handwriting('train')
    for number in range(30):
        scene = make_scene(images, labels, (0, 0, number), 64)
        assert scene.img.shape == (64, 64, 3)
        assert scene.img.dtype == np.uint8
        assert 1 <= len(scene.labels) == len(scene.masks) <= 5
        assert scene.masks.any(axis=(1, 2)).all()
        assert scene.masks.sum(axis=0).max() == 1
        on = scene.masks.any(axis=0)
        assert scene.img[on].mean() > scene.img[~on].mean() + 50


@pytest.mark.parametrize('size', [32, 64, 97])
def test_scenes_of_any_size(size) -> None:
    scene = DetectionScenes(n=5, size=size)[4]
    assert scene['img'].shape == (size, size, 3)
    assert (scene['height'], scene['width']) == (size, size)
    for instance in scene['instances']:
        x1, y1, x2, y2 = instance['bbox']
        assert 0 <= x1 < x2 <= size
        assert 0 <= y1 < y2 <= size
        assert size / 8 < y2 - y1 < 0.6 * size


def test_run_lengths_are_those_of_coco() -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random((5, 7)) < share for share in (0.0, 0.2, 0.8, 1.0)]
    masks += [np.eye(4, dtype=bool), ~np.eye(4, dtype=bool)]
    for mask in masks:
        counts = run_lengths(mask)
        code = coco_mask.frPyObjects({'size': list(mask.shape), 'counts': counts}, *mask.shape)
        np.testing.assert_array_equal(coco_mask.decode(code).astype(bool), mask)
        assert all(type(count) is int for count in counts)


def test_mmdet_gets_the_boxes_of_the_masks() -> None:
    scenes = detection(n=8)
    assert scenes.metainfo['classes'] == tuple('0123456789')
    for item in scenes:
        truth = item['data_samples'].gt_instances
        assert item['inputs'].shape == (3, 64, 64)
        assert item['inputs'].dtype == torch.uint8
        assert len(truth) == len(truth.labels) > 0
        torch.testing.assert_close(truth.bboxes.tensor, truth.masks.get_bboxes('hbox').tensor)


def test_mmdets_metric_finds_the_truth_perfect() -> None:
    scenes = detection(n=20, split='val')
    metric = DET_METRICS.build(dict(type='mmdet.CocoMetric', metric=['bbox', 'segm']))
    metric.dataset_meta = scenes.metainfo
    for item in scenes:
        sample = item['data_samples']
        truth = sample.gt_instances
        found = dict(bboxes=truth.bboxes.tensor, labels=truth.labels, scores=torch.ones(len(truth)))
        found['masks'] = torch.from_numpy(truth.masks.masks).bool()
        metric.process({}, [dict(sample.to_dict(), pred_instances=found)])
    scores = metric.evaluate(len(scenes))
    assert scores['coco/bbox_mAP'] == scores['coco/segm_mAP'] == 1


def test_mmseg_gets_the_digits_of_the_same_scenes() -> None:
    for boxes, labels in zip(detection(n=8), segmentation(n=8)):
        torch.testing.assert_close(boxes['inputs'], labels['inputs'])
        truth = boxes['data_samples'].gt_instances
        expected = torch.zeros(64, 64, dtype=torch.int64)
        for label, mask in zip(truth.labels, truth.masks.masks):
            expected[torch.from_numpy(mask).bool()] = label + 1
        torch.testing.assert_close(labels['data_samples'].gt_sem_seg.data[0], expected)


def test_mmsegs_metric_finds_the_truth_perfect() -> None:
    scenes = segmentation(n=40, split='val')
    assert scenes.metainfo['classes'] == ('background', *'0123456789')
    metric = SEG_METRICS.build(dict(type='mmseg.IoUMetric', iou_metrics=['mIoU']))
    metric.dataset_meta = scenes.metainfo
    for item in scenes:
        sample = item['data_samples']
        metric.process({}, [dict(sample.to_dict(), pred_sem_seg=dict(data=sample.gt_sem_seg.data))])
    assert metric.evaluate(len(scenes))['mIoU'] == 100


def test_only_some_digits_are_classes_in_their_order() -> None:
    assert SegmentationScenes(n=1, digits=(7, 3)).metainfo['classes'] == ('background', '7', '3')
    scenes = DetectionScenes(n=6, digits=(7, 3))
    assert scenes.metainfo['classes'] == ('7', '3')
    images, labels = handwriting('train')
    kept = np.isin(labels, (7, 3))
    for number in range(6):
        drawn = make_scene(images[kept], labels[kept], (0, 0, number), 64).labels
        assert [(7, 3)[each['bbox_label']] for each in scenes[number]['instances']] == drawn


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(n=0), 'n=0 must be at least 1'),
        (dict(n=1, size=16), 'size=16 at least 32'),
        (dict(n=1, seed=-1), 'seed=-1 at least 0'),
        (dict(n=1, digits=()), 'some of 0 to 9'),
        (dict(n=1, digits=(3, 10)), 'some of 0 to 9'),
        (dict(n=1, split='test'), "no split 'test'"),
    ],
)
def test_mistakes_are_named(options, words) -> None:
    with pytest.raises(MTKDError, match=words):
        DetectionScenes(**options)
