# RegNetX-200MF on CIFAR-100, taught by RegNetY-400MF, RegNetX-400MF, ResNet32x4 and WRN-28-4.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/cifar100/mtkd_rl_regnetx_200mf_cifar100.py
# Time: not yet run here
# Result: not yet run here; the authors report top-1 79.93 with their --dynamic and 80.58 without
#
# Train the four configs of teachers/ first.
_base_ = ['students/regnetx_200mf_cifar100.py', '_base_/mtkd_rl.py']
