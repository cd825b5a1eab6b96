# A student of four convolutions (98 thousand parameters) alone on CIFAR-10, 24 epochs: seconds an epoch, for
# experiments of many runs.
# Paper: none
# Command: python tools/train.py configs/cifar10/students/tiny_cifar10.py
# Time: 6 minutes on one core
# Result: top-1 65.5 and 66.1 on 10,000 of the pictures (docs/performance.md)
_base_ = '../_base_/cifar10_30e.py'

model = dict(
    backbone=dict(type='mtkd_rl.TinyConvNet', widths=(16, 32, 64, 128)),
    head=dict(in_channels=128),
)
train_dataloader = dict(num_workers=0, persistent_workers=False)
val_dataloader = dict(num_workers=0, persistent_workers=False)
param_scheduler = dict(T_max=24)
train_cfg = dict(max_epochs=24, val_interval=24)
