# ResNet-18 alone on ImageNet: the baseline of mtkd_rl_resnet18_imagenet.py.
# Paper: https://arxiv.org/abs/1512.03385 (the network)
# Command: python tools/train.py configs/imagenet/resnet18_imagenet.py
# Time: not yet run here
# Result: not yet run here; torchvision's weights of this network, after 90 epochs, have top-1 69.76
_base_ = '_base_/imagenet_100e.py'

model = dict(
    type='ImageClassifier',
    backbone=dict(type='ResNet', depth=18, num_stages=4, out_indices=(3,), style='pytorch'),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=1000,
        in_channels=512,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5),
    ),
)
