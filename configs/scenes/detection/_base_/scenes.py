# Scenes of handwritten digits, a small RetinaNet and a short schedule: what every config of the demo has.
_base_ = '../../../_base_/default_runtime.py'

default_scope = 'mmdet'

# A config that is based on this one sets the widths.
model = dict(
    type='RetinaNet',
    data_preprocessor=dict(type='DetDataPreprocessor', mean=[87.0] * 3, std=[62.0] * 3, pad_size_divisor=8),
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(0, 1),
        frozen_stages=-1,
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
    ),
    neck=dict(type='FPN', num_outs=2, norm_cfg=dict(type='BN', requires_grad=True)),
    bbox_head=dict(
        type='RetinaHead',
        num_classes=10,
        stacked_convs=1,
        norm_cfg=dict(type='BN', requires_grad=True),
        anchor_generator=dict(
            type='AnchorGenerator', octave_base_scale=3, scales_per_octave=2, ratios=[1.4], strides=[4, 8]
        ),
        bbox_coder=dict(type='DeltaXYWHBBoxCoder', target_stds=[0.1, 0.1, 0.2, 0.2]),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='L1Loss', loss_weight=0.3),
    ),
    train_cfg=dict(
        assigner=dict(type='MaxIoUAssigner', pos_iou_thr=0.5, neg_iou_thr=0.4, min_pos_iou=0, ignore_iof_thr=-1),
        sampler=dict(type='PseudoSampler'),
        allowed_border=-1,
        pos_weight=-1,
        debug=False,
    ),
    test_cfg=dict(
        nms_pre=200, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.5), max_per_img=30
    ),
)

load = [dict(type='LoadImageFromNDArray'), dict(type='LoadAnnotations', with_bbox=True)]
# mmdet asks how much a scene was scaled, though it is not.
scale = dict(type='Resize', scale=(64, 64))
pack = dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor'))
# the metric takes the truth from there
pack_all = dict(type='PackDetInputs', meta_keys=('img_id', 'ori_shape', 'img_shape', 'scale_factor', 'instances'))
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    dataset=dict(type='mtkd_rl.DetectionScenes', n=1000, pipeline=[*load, pack]),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    dataset=dict(type='mtkd_rl.DetectionScenes', n=200, split='val', pipeline=[*load, scale, pack_all]),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='CocoMetric', metric='bbox')
test_dataloader = val_dataloader
test_evaluator = val_evaluator

max_epochs = 10
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.004, weight_decay=0.01), clip_grad=dict(max_norm=10))
warm_up = dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50)
param_scheduler = [
    warm_up,
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict()
test_cfg = dict()

visualizer = dict(type='DetLocalVisualizer')
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=max_epochs, max_keep_ckpts=1))
