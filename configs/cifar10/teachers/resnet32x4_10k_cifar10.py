# ResNet32x4, the middle teacher of the pool: it sees half of the pictures.
# Paper: the pool of https://arxiv.org/abs/2502.18510 on CIFAR-100 has the same network
# Command: python tools/train.py configs/cifar10/teachers/resnet32x4_10k_cifar10.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/cifar10_30e.py'

model = dict(
    backbone=dict(type='mtkd_rl.CIFARResNet', depth=32, stem_channels=32, base_channels=64),
    head=dict(in_channels=256),
)

# The file is shuffled: the first pictures are a random part.
train_dataloader = dict(dataset=dict(indices=10000))
