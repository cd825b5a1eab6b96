# A narrow ResNet-18 with the head of SegFormer on CamVid, taught by the best teacher alone.
# Paper: https://arxiv.org/abs/1503.02531 (knowledge distillation)
# Command: python tools/train.py configs/camvid/single_tiny_segformer_camvid.py
# Time: 7 minutes on one core
# Result: mIoU 49.8, standard deviation 1.1 over three seeds (docs/dense.md)
#
# Train the configs of teachers/ first.
_base_ = ['students/tiny_segformer_camvid.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(deeplab={{_base_.teachers.deeplab}}),
        strategy=dict(type='AverageWeighting'),
        logit_loss=dict(type='ChannelWiseLogits'),
        logit_weight=3.0,
        feature_loss=None,
    )
]
