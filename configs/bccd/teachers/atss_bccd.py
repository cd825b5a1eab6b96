# ATSS on a ResNet-18 of 3/8 of the width, a teacher of the BCCD pool: the student's own kind, wider.
# Paper: https://arxiv.org/abs/1912.02424 (ATSS)
# Command: python tools/train.py configs/bccd/teachers/atss_bccd.py
# Time: 6.6 minutes on one core
# Result: box AP 53.1 with seed 0
_base_ = ['../_base_/atss.py', '../_base_/schedule_40e.py']

model = dict(
    backbone=dict(base_channels=24, stem_channels=24),
    neck=dict(in_channels=[24, 48, 96, 192], out_channels=64),
    bbox_head=dict(in_channels=64, feat_channels=64, stacked_convs=2),
)
