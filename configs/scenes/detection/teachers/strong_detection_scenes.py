_base_ = '../_base_/scenes.py'

model = dict(
    backbone=dict(stem_channels=16, base_channels=32),
    neck=dict(in_channels=[32, 64], out_channels=32),
    bbox_head=dict(in_channels=32, feat_channels=32),
)
