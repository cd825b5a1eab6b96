# DeepLabV3+ on a ResNet-18 of 3/8 of the width, a teacher of the CamVid pool.
# Paper: https://arxiv.org/abs/1802.02611 (DeepLabV3+)
# Command: python tools/train.py configs/camvid/teachers/deeplab_camvid.py
# Time: 7 minutes on one core
# Result: mIoU 55.9 with seed 0
_base_ = '../_base_/camvid.py'

model = dict(
    backbone=dict(
        base_channels=24, stem_channels=24, strides=(1, 2, 2, 1), dilations=(1, 1, 1, 2), contract_dilation=True
    ),
    decode_head=dict(
        type='DepthwiseSeparableASPPHead',
        in_channels=192,
        in_index=3,
        channels=64,
        dilations=(1, 2, 4, 6),
        c1_in_channels=24,
        c1_channels=16,
    ),
)
