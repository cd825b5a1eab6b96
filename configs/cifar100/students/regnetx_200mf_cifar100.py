# RegNetX-200MF (2.36M parameters) alone on CIFAR-100: the baseline of ../mtkd_rl_regnetx_200mf_cifar100.py.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/cifar100/students/regnetx_200mf_cifar100.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/cifar100_240e.py'

model = dict(
    backbone=dict(type='mtkd_rl.CIFARRegNet', arch='x_200mf'),
    head=dict(in_channels=368),
)
