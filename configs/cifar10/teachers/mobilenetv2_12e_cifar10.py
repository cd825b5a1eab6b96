# MobileNetV2, half as wide, a teacher of the quick pool.
# Paper: https://arxiv.org/abs/1801.04381 (the network)
# Command: python tools/train.py configs/cifar10/teachers/mobilenetv2_12e_cifar10.py
# Time: 16 minutes on one core
# Result: top-1 65.4
_base_ = '../_base_/cifar10_30e.py'

model = dict(
    backbone=dict(type='mtkd_rl.CIFARMobileNetV2', widen_factor=0.5),
    head=dict(in_channels=1280),
)
param_scheduler = dict(T_max=12)
train_cfg = dict(max_epochs=12, val_interval=4)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
