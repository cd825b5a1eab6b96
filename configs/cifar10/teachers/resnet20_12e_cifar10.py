# ResNet-20, a teacher of the quick pool.
# Paper: https://arxiv.org/abs/1512.03385 (the network)
# Command: python tools/train.py configs/cifar10/teachers/resnet20_12e_cifar10.py
# Time: 18 minutes on one core
# Result: top-1 78.1
_base_ = '../_base_/cifar10_30e.py'

model = dict(
    backbone=dict(type='mtkd_rl.CIFARResNet', depth=20),
    head=dict(in_channels=64),
)
param_scheduler = dict(T_max=12)
train_cfg = dict(max_epochs=12, val_interval=4)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
