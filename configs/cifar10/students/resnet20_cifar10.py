# ResNet-20 (0.27M parameters) alone on CIFAR-10: the baseline of the other configs of this folder.
# Paper: https://arxiv.org/abs/1512.03385 (the network)
# Command: python tools/train.py configs/cifar10/students/resnet20_cifar10.py
# Time: about 40 minutes on one core (9,390 iterations of 0.23 s, tools/benchmark.py); not yet run here
# Result: not yet run here
_base_ = '../_base_/cifar10_30e.py'

model = dict(
    backbone=dict(type='mtkd_rl.CIFARResNet', depth=20),
    head=dict(in_channels=64),
)
