# ResNet-18 on ImageNet with Mixup and CutMix: student and teachers see the same mixed pictures.
# Paper: https://arxiv.org/abs/2502.18510; 1710.09412 (Mixup) and 1905.04899 (CutMix)
# Command: python tools/train.py configs/imagenet/mtkd_rl_resnet18_mixup_cutmix_imagenet.py
# Time: not yet run here
# Result: not yet run here
_base_ = 'mtkd_rl_resnet18_imagenet.py'

model = dict(
    head=dict(loss=dict(use_soft=True)),
    train_cfg=dict(augments=[dict(type='Mixup', alpha=0.2), dict(type='CutMix', alpha=1.0)]),
)
