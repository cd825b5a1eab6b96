# RegNetX-400MF (4.81M parameters), a teacher of the CIFAR-100 pool of MTKD-RL.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/cifar100/teachers/regnetx_400mf_cifar100.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/cifar100_240e.py'

model = dict(
    backbone=dict(type='mtkd_rl.CIFARRegNet', arch='x_400mf'),
    head=dict(in_channels=384),
)

# As the authors train their teachers (winycg/MTKD-RL, train_baseline.py).
optim_wrapper = dict(optimizer=dict(weight_decay=5e-4, nesterov=False))
