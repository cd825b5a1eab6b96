# ResNet32x4 (7.43M parameters), a teacher of the CIFAR-100 pool of MTKD-RL.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/cifar100/teachers/resnet32x4_cifar100.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/cifar100_240e.py'

model = dict(
    backbone=dict(type='mtkd_rl.CIFARResNet', depth=32, stem_channels=32, base_channels=64),
    head=dict(in_channels=256),
)

# As the authors train their teachers (winycg/MTKD-RL, train_baseline.py).
optim_wrapper = dict(optimizer=dict(weight_decay=5e-4, nesterov=False))
