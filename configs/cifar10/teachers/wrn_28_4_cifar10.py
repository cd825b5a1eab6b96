# WRN-28-4, the strong teacher of the pool.
# Paper: the pool of https://arxiv.org/abs/2502.18510 on CIFAR-100 has the same network
# Command: python tools/train.py configs/cifar10/teachers/wrn_28_4_cifar10.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/cifar10_30e.py'

model = dict(
    backbone=dict(type='mtkd_rl.WideResNet', depth=28, widen_factor=4),
    head=dict(in_channels=256),
)
