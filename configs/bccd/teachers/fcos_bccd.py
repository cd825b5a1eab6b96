# FCOS on a ResNet-18 of 1/4 of the width, a teacher of the BCCD pool: without anchors.
# Paper: https://arxiv.org/abs/1904.01355 (FCOS)
# Command: python tools/train.py configs/bccd/teachers/fcos_bccd.py
# Time: 4.8 minutes on one core
# Result: box AP 46.9 with seed 0
_base_ = ['../_base_/bccd.py', '../_base_/schedule_40e.py']

model = dict(
    type='FCOS',
    backbone=dict(base_channels=16, stem_channels=16),
    neck=dict(in_channels=[16, 32, 64, 128], out_channels=48),
    bbox_head=dict(
        type='FCOSHead',
        num_classes=3,
        in_channels=48,
        feat_channels=48,
        stacked_convs=2,
        strides=[8, 16, 32],
        # Of the farthest side: platelets, red cells, white cells.
        regress_ranges=((-1, 16), (16, 32), (32, 1e8)),
        norm_on_bbox=True,
        centerness_on_reg=True,
        center_sampling=True,
        norm_cfg=dict(type='BN'),
        loss_cls=dict(type='FocalLoss', use_sigmoid=True, gamma=2.0, alpha=0.25, loss_weight=1.0),
        loss_bbox=dict(type='GIoULoss', loss_weight=2.0),
        loss_centerness=dict(type='CrossEntropyLoss', use_sigmoid=True, loss_weight=1.0),
    ),
)
