# ResNet-56 (0.86M parameters) alone on CIFAR-100: the baseline of ../mtkd_rl_resnet56_cifar100.py.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/cifar100/students/resnet56_cifar100.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/cifar100_240e.py'

model = dict(
    backbone=dict(type='mtkd_rl.CIFARResNet', depth=56),
    head=dict(in_channels=64),
)
