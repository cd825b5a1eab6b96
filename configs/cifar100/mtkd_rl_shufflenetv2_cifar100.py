# ShuffleNetV2 on CIFAR-100, taught by RegNetY-400MF, RegNetX-400MF, ResNet32x4 and WRN-28-4.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/cifar100/mtkd_rl_shufflenetv2_cifar100.py
# Time: not yet run here
# Result: not yet run here; the authors report top-1 78.74 with their --dynamic and 78.35 without
#
# Train the four configs of teachers/ first.
_base_ = ['students/shufflenetv2_cifar100.py', '_base_/mtkd_rl.py']
