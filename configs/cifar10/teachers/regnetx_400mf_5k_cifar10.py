# RegNetX-400MF, the weak teacher of the pool: it sees a quarter of the pictures.
# Paper: the pool of https://arxiv.org/abs/2502.18510 on CIFAR-100 has the same network
# Command: python tools/train.py configs/cifar10/teachers/regnetx_400mf_5k_cifar10.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/cifar10_30e.py'

model = dict(
    backbone=dict(type='mtkd_rl.CIFARRegNet', arch='x_400mf'),
    head=dict(in_channels=384),
)

# The file is shuffled: the first pictures are a random part.
train_dataloader = dict(dataset=dict(indices=5000))
