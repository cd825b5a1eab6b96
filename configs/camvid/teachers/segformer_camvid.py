# A ResNet-18 of 3/8 of the width with SegFormer's head, a teacher of the CamVid pool: the student's own kind, wider.
# Paper: https://arxiv.org/abs/2105.15203 (the head)
# Command: python tools/train.py configs/camvid/teachers/segformer_camvid.py
# Time: half an hour on one core of a busy machine
# Result: mIoU 54.9 with seed 0
_base_ = '../_base_/camvid.py'

model = dict(
    backbone=dict(base_channels=24, stem_channels=24),
    decode_head=dict(in_channels=[24, 48, 96, 192], channels=64),
)
