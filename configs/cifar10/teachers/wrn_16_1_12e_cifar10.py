# WRN-16-1, a teacher of the quick pool.
# Paper: https://arxiv.org/abs/1605.07146 (the network)
# Command: python tools/train.py configs/cifar10/teachers/wrn_16_1_12e_cifar10.py
# Time: 12 minutes on one core
# Result: top-1 77.2
_base_ = '../_base_/cifar10_30e.py'

model = dict(
    backbone=dict(type='mtkd_rl.WideResNet', depth=16, widen_factor=1),
    head=dict(in_channels=64),
)
param_scheduler = dict(T_max=12)
train_cfg = dict(max_epochs=12, val_interval=4)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
