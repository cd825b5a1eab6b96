"""Detectors and segmenters of the toolboxes' own configs, made tiny, pictures for them, and a distiller of them."""

import copy
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.model import revert_sync_batchnorm
from mmengine.registry import MODELS, DefaultScope
from mmengine.structures import InstanceData, PixelData
from torch import Tensor, nn

import mtkd_rl.compat  # noqa: F401  # before the models
from mtkd_rl.distiller import Distiller, Lesson
from mtkd_rl.losses import build_loss
from mtkd_rl.rng import isolated
from mtkd_rl.tasks import find_task
from mtkd_rl.teachers import build_pool, contract_of
from mtkd_rl.teachers.live import Live
from mtkd_rl.teachers.openmmlab import packaged
from mtkd_rl.weighting import AverageWeighting

CONFIGS = {
    'RetinaNet': 'mmdet::_base_/models/retinanet_r50_fpn',
    'FCOS': 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco',
    'ATSS': 'mmdet::atss/atss_r50_fpn_1x_coco',
    'Faster R-CNN': 'mmdet::_base_/models/faster-rcnn_r50_fpn',
    'Mask R-CNN': 'mmdet::_base_/models/mask-rcnn_r50_fpn',
    'Cascade R-CNN': 'mmdet::_base_/models/cascade-rcnn_r50_fpn',
    'Dynamic R-CNN': 'mmdet::dynamic_rcnn/dynamic-rcnn_r50_fpn_1x_coco',
    'DETR': 'mmdet::detr/detr_r50_8xb2-150e_coco',
    'DINO': 'mmdet::dino/dino-4scale_r50_8xb2-12e_coco',
    'PSPNet': 'mmseg::_base_/models/pspnet_r50-d8',
    'FCN': 'mmseg::_base_/models/fcn_r50-d8',
    'EMANet': 'mmseg::_base_/models/emanet_r50-d8',
    'OCRNet': 'mmseg::_base_/models/ocrnet_r50-d8',
    'Mask2Former': 'mmseg::mask2former/mask2former_r50_8xb2-90k_cityscapes-512x1024',
}
CLASSES = ('cat', 'dog', 'bird', 'fish')
SIZES = {2048: 64, 1024: 32, 512: 16, 256: 16, 128: 8}
WIDTHS = ('in_channels', 'out_channels', 'feat_channels', 'channels', 'conv_out_channels', 'fc_out_channels')
WIDTHS += ('embed_dims', 'feedforward_channels', 'num_feats', 'ema_channels', 'ocr_channels')
OTHERS = dict(
    num_heads=2,
    num_groups=4,
    stacked_convs=1,
    num_layers=2,
    num_convs=1,
    num_queries=10,
    num_points=64,
    num_bases=4,
    dropout_ratio=0.0,
    ffn_drop=0.0,
    attn_drop=0.0,
    proj_drop=0.0,
    dropout=0.0,
)


def shrunk(node: Any, classes: int) -> Any:
    """A model's config with small numbers, and nothing that draws; of all pictures as many proposals as suffice."""
    if isinstance(node, list | tuple):
        return [shrunk(each, classes) for each in node]
    if not isinstance(node, Mapping):
        return node
    small = {}
    for key, value in node.items():
        if key in ('init_cfg', 'pretrained'):
            continue
        if key == 'num_points' and value < 100:  # of deformable attention
            small[key] = value
        elif key in OTHERS and value is not None:
            small[key] = OTHERS[key]
        elif key in ('num_classes', 'num_things_classes'):
            small[key] = classes
        elif key == 'class_weight' and isinstance(value, list):
            small[key] = [*value[:classes], value[-1]]
        elif key in WIDTHS and value == [256, 512, 1024, 2048]:
            small[key] = [8, 16, 32, 64]
        elif key in WIDTHS:
            small[key] = [SIZES.get(x, x) for x in value] if isinstance(value, list) else SIZES.get(value, value)
        elif key in ('rpn_proposal', 'rpn'):
            small[key] = shrunk(value, classes) | (dict(max_per_img=20) if 'max_per_img' in value else {})
        else:
            small[key] = shrunk(value, classes)
    return small


def config(name: str, classes: int = len(CLASSES), norm_eval: bool = True, **changes: Any) -> ConfigDict:
    """The config of a tiny model.

    Args:
        name: Of ``CONFIGS``.
        classes: How many it tells apart.
        norm_eval: Whether the backbone's BatchNorm keeps to its statistics in training.
        **changes: Deep ones, with ``__`` for a dot.
    """
    whole = Config.fromfile(packaged(CONFIGS[name]))
    model = ConfigDict(shrunk(whole.model.to_dict(), classes))
    model.backbone.update(depth=18, base_channels=8, stem_channels=8, norm_eval=norm_eval, frozen_stages=-1)
    model.backbone.norm_cfg = dict(type='BN', requires_grad=True)
    if name in ('FCOS', 'ATSS'):
        model.bbox_head.norm_cfg = dict(type='GN', num_groups=4)
    if name == 'DINO':
        model.bbox_head.embed_dims = 16
        model.backbone.norm_cfg.requires_grad = False
    if CONFIGS[name].startswith('mmseg'):
        model.data_preprocessor.update(size=None, size_divisor=32)
    cfg = Config(dict(model=model))
    cfg.merge_from_dict({f'model.{key.replace("__", ".")}': value for key, value in changes.items()})
    return cfg.model


def scope_of(name: str) -> str:
    return CONFIGS[name].split('::')[0]


def register(scope: str) -> None:
    """Imports the models of a toolbox, for which a Runner or a teacher's scope would see."""
    if scope == 'mmdet':
        import mmdet.models  # noqa: F401
    else:
        import mmseg.models  # noqa: F401


def model_of(name: str, seed: int = 0, **changes: Any) -> nn.Module:
    """A tiny model in training mode, whose statistics and weights are not those of a fresh one."""
    register(scope_of(name))
    with torch.random.fork_rng(), DefaultScope.overwrite_default_scope(scope_of(name)):
        torch.manual_seed(seed)
        model = revert_sync_batchnorm(MODELS.build(config(name, **changes)))
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
        settle(model)
    return model.train()


def enliven(model: nn.Module) -> None:
    """Draws weights as torch does: heads of detectors begin so that they say the same everywhere."""
    settle(model)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()


def settle(model: nn.Module) -> None:
    """Gives a value to parameters that only ``init_weights`` would."""
    for name, parameter in model.named_parameters():
        if name == 'level_embed':
            nn.init.normal_(parameter)


def teacher(name: str, **changes: Any) -> dict[str, Any]:
    """An entry of the hook's ``teachers``."""
    register(scope_of(name))
    more = {key: changes.pop(key) for key in ('layer', 'classes_named', 'temperature', 'input_size') if key in changes}
    if 'classes_named' in more:
        more['classes'] = more.pop('classes_named')
        changes.setdefault('classes', len(more['classes']))
    whole = dict(model=config(name, **changes).to_dict(), default_scope=scope_of(name))
    return dict(config=whole, checkpoint='random') | more


AS_IT_IS = Live(fold=False, channels_last=False)
"""Teachers are not changed."""


def distiller_of(
    model: nn.Module,
    teachers: Mapping[str, Any],
    strategy: Any = None,
    logit: str | None = 'KD',
    feature: str | None = 'MSE',
    temperature: float = 1.0,
    **options: Any,
) -> Distiller:
    source = contract_of(model.data_preprocessor, 'bgr')
    pool = build_pool(teachers, temperature=temperature, source=source, loaded='bgr')
    for each in pool:
        with isolated(zlib.crc32(each.name.encode())):
            enliven(each.model)
    return Distiller(
        model,
        pool,
        find_task(model),
        source,
        strategy or AverageWeighting(),
        logit_loss=logit and build_loss(dict(type=logit), 'logit'),
        feature_loss=feature and build_loss(dict(type=feature), 'feature'),
        **dict(logit_weight=1.0, feature_weight=1.0, student_layer=None, seed=0) | options,
    )


def lesson_of(distiller: Distiller, data: Mapping[str, Any], factor: float = 1.0) -> tuple[dict[str, Any], Lesson]:
    """One iteration: the student's own losses, and what came of the lesson."""
    samples = distiller.task.keep(data['data_samples'])
    distiller.student_taps.start()
    own = distiller.student(**data, mode='loss')
    return own, distiller.lesson(data['inputs'], samples, own, factor)


def sum_of(own: Mapping[str, Any]) -> Tensor:
    """The sum of a model's losses as mmengine's own ``parse_losses`` makes it."""
    from mmengine.model import BaseModel

    return BaseModel.parse_losses(None, dict(own))[0]  # it needs no self


# ---- pictures


def detected(
    model: nn.Module,
    counts: Sequence[int] = (3, 2),
    sizes: Sequence[tuple[int, int]] | None = None,
    seed: int = 0,
    classes: int = len(CLASSES),
    masks: bool = False,
) -> dict[str, Any]:
    """A batch of pictures with a few objects each, as the model's preprocessor hands it on."""
    from mmdet.structures import DetDataSample
    from mmdet.structures.mask import BitmapMasks

    rng = torch.Generator().manual_seed(seed)
    sizes = sizes or [(64, 64)] * len(counts)
    inputs, samples = [], []
    for n, (count, (height, width)) in enumerate(zip(counts, sizes, strict=True)):
        picture = torch.randint(0, 120, (3, height, width), generator=rng, dtype=torch.uint8)
        side = torch.tensor([width, height])
        corner = torch.rand(count, 2, generator=rng) * side * 0.5
        extent = (0.2 + 0.3 * torch.rand(count, 2, generator=rng)) * side
        boxes = torch.cat([corner, corner + extent], dim=1).round()
        for x1, y1, x2, y2 in boxes.int().tolist():
            picture[:, y1:y2, x1:x2] += torch.randint(20, 130, (3, 1, 1), generator=rng, dtype=torch.uint8)
        meta = dict(img_id=n, img_shape=(height, width), ori_shape=(height, width), scale_factor=(1.0, 1.0))
        sample = DetDataSample(metainfo=meta)
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.randint(classes, (count,), generator=rng))
        sample.ignored_instances = InstanceData(bboxes=torch.zeros(0, 4), labels=torch.zeros(0, dtype=torch.long))
        if masks:
            shapes = torch.zeros(count, height, width, dtype=torch.uint8)
            for shape, (x1, y1, x2, y2) in zip(shapes, boxes.int().tolist()):
                shape[y1:y2, x1:x2] = 1
            sample.gt_instances.masks = BitmapMasks(shapes.numpy(), height, width)
            sample.ignored_instances.masks = BitmapMasks(shapes[:0].numpy(), height, width)
        inputs.append(picture)
        samples.append(sample)
    return model.data_preprocessor(dict(inputs=inputs, data_samples=samples), training=True)


def segmented(
    model: nn.Module,
    count: int = 2,
    sizes: Sequence[tuple[int, int]] | None = None,
    seed: int = 0,
    classes: int = len(CLASSES),
    void: Sequence[int] = (),
) -> dict[str, Any]:
    """A batch of pictures with a label map each: blocks of 8, the upper ones void; of some pictures all void."""
    from mmseg.structures import SegDataSample

    rng = torch.Generator().manual_seed(seed)
    inputs, samples = [], []
    for n, (height, width) in enumerate(sizes or [(64, 64)] * count):
        labels = torch.randint(classes, (1, height // 8, width // 8), generator=rng)
        labels[:, 0] = 255
        labels = labels.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
        if n in void:
            labels[:] = 255
        noise = torch.randint(0, 60, (3, height, width), generator=rng)
        shape = (height, width)
        sample = SegDataSample(metainfo=dict(img_shape=shape, ori_shape=shape, pad_shape=shape))
        sample.gt_sem_seg = PixelData(data=labels)
        inputs.append((noise + 30 * labels.clamp(max=5)).to(torch.uint8))
        samples.append(sample)
    return model.data_preprocessor(dict(inputs=inputs, data_samples=samples), training=True)


def batch_for(model: nn.Module, **options: Any) -> dict[str, Any]:
    make = detected if type(model).__module__.startswith('mmdet') else segmented
    return make(model, **options)


# ---- references


def alone(model: nn.Module, data: Mapping[str, Any], i: int) -> Tensor:
    """The loss of a copy of a model run on one picture only: backbone, neck and heads anew, by its saved statistics."""
    single = copy.deepcopy(model).train()
    for module in single.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
        elif isinstance(module, nn.Dropout | nn.Dropout2d):
            module.p = 0.0
        elif isinstance(module, nn.MultiheadAttention):
            module.dropout = 0.0
    with isolated(0), torch.no_grad():  # for samplers, which draw
        own = single.loss(data['inputs'][i : i + 1], [copy.deepcopy(data['data_samples'][i])])
    return sum_of(own).float()


# ---- real runs


def run_config(
    work_dir: Path, name: str, hooks: Sequence[Any] = (), iters: int = 3, save: int = 10**6, **more: Any
) -> Config:
    """A training config of two scenes of digits an iteration; BatchNorm and the order of the scenes are as usual.

    Args:
        work_dir: Where it trains.
        name: Of ``CONFIGS``.
        hooks: Custom ones.
        iters: How many iterations.
        save: Iterations between checkpoints.
        **more: Of the config itself; ``changes`` are the model's.
    """
    scope = scope_of(name)
    register(scope)
    flip = [dict(type='RandomFlip', prob=0.5)]
    if scope == 'mmdet':
        load = [dict(type='LoadImageFromNDArray'), dict(type='LoadAnnotations', with_bbox=True)]
        dataset = dict(type='mtkd_rl.DetectionScenes', n=8, digits=range(4))
        pack = dict(type='PackDetInputs')
    else:
        load = [dict(type='LoadImageFromNDArray')]
        dataset = dict(type='mtkd_rl.SegmentationScenes', n=8, digits=range(3))
        pack = dict(type='PackSegInputs')
    cfg = dict(
        default_scope=scope,
        work_dir=str(work_dir),
        experiment_name=f'{work_dir.parent.name}-{work_dir.name}',
        log_level='WARNING',
        randomness=dict(seed=3),
        model=config(name, norm_eval=False, **more.pop('changes', {})).to_dict(),
        train_dataloader=dict(
            batch_size=2,
            num_workers=0,
            sampler=dict(type='InfiniteSampler', shuffle=True),
            dataset=dict(**dataset, serialize_data=False, pipeline=[*load, *flip, pack]),
        ),
        train_cfg=dict(by_epoch=False, max_iters=iters),
        optim_wrapper=dict(
            optimizer=dict(type='SGD', lr=1e-3, momentum=0.9), clip_grad=dict(max_norm=10), type='OptimWrapper'
        ),
        default_hooks=dict(
            logger=dict(type='LoggerHook', interval=1), checkpoint=dict(type='CheckpointHook', interval=save)
        ),
        visualizer=dict(type='Visualizer', vis_backends=[dict(type='LocalVisBackend')]),
        custom_hooks=list(hooks),
    )
    cfg['default_hooks']['checkpoint']['by_epoch'] = False
    return Config(cfg | more, format_python_code=False)
