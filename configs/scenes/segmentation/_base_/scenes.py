# Scenes of handwritten digits, a small semantic FPN and a short schedule: what every config of the demo has.
_base_ = '../../../_base_/default_runtime.py'

default_scope = 'mmseg'

# A config that is based on this one sets the widths.
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(type='SegDataPreProcessor', mean=[87.0] * 3, std=[62.0] * 3, size=(64, 64)),
    backbone=dict(
        type='ResNet',
        depth=18,
        num_stages=2,
        strides=(1, 2),
        dilations=(1, 1),
        out_indices=(0, 1),
        norm_cfg=dict(type='BN', requires_grad=True),
        norm_eval=False,
        style='pytorch',
    ),
    neck=dict(type='FPN', num_outs=2, norm_cfg=dict(type='BN', requires_grad=True)),
    # Most of a scene is background, which is not to drown the digits.
    decode_head=dict(
        type='FPNHead',
        in_index=(0, 1),
        feature_strides=(4, 8),
        dropout_ratio=0,
        num_classes=11,
        norm_cfg=dict(type='BN', requires_grad=True),
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, class_weight=[0.2] + [1.0] * 10),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

pipeline = [dict(type='LoadImageFromNDArray'), dict(type='PackSegInputs')]
train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    dataset=dict(type='mtkd_rl.SegmentationScenes', n=1000, pipeline=pipeline),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=50,
    num_workers=0,
    dataset=dict(type='mtkd_rl.SegmentationScenes', n=200, split='val', pipeline=pipeline),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_dataloader = val_dataloader
test_evaluator = val_evaluator

max_epochs = 6
optim_wrapper = dict(optimizer=dict(type='AdamW', lr=0.004, weight_decay=0.01), clip_grad=dict(max_norm=10))
warm_up = dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50)
param_scheduler = [
    warm_up,
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict()
test_cfg = dict()

visualizer = dict(type='SegLocalVisualizer')
default_hooks = dict(logger=dict(interval=10), checkpoint=dict(interval=max_epochs, max_keep_ckpts=1))
