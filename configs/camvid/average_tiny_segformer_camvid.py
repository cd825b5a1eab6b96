# A narrow ResNet-18 with the head of SegFormer on CamVid, taught by three segmenters with equal weights.
# Paper: https://arxiv.org/abs/2502.18510 (its baseline AVER)
# Command: python tools/train.py configs/camvid/average_tiny_segformer_camvid.py
# Time: 10 minutes on one core
# Result: mIoU 48.4, standard deviation 0.8 over three seeds (docs/dense.md)
#
# Train the configs of teachers/ first.
_base_ = ['students/tiny_segformer_camvid.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        strategy=dict(type='AverageWeighting'),
        logit_loss=dict(type='ChannelWiseLogits'),
        logit_weight=3.0,
        feature_loss=None,
    )
]
