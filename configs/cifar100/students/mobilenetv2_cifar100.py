# MobileNetV2 (0.81M parameters) alone on CIFAR-100: the baseline of ../mtkd_rl_mobilenetv2_cifar100.py.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/cifar100/students/mobilenetv2_cifar100.py
# Time: not yet run here
# Result: not yet run here
#
# The authors' code starts this network at learning rate 0.01 when it trains alone (train_baseline.py), and at 0.05 with
# teachers. Here it is 0.05 in both, so that the teachers are the only difference; the other one:
# --cfg-options optim_wrapper.optimizer.lr=0.01
_base_ = '../_base_/cifar100_240e.py'

model = dict(
    backbone=dict(type='mtkd_rl.CIFARMobileNetV2', widen_factor=0.5),
    head=dict(in_channels=1280),
)
