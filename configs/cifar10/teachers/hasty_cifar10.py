# A teacher of four convolutions that saw a tenth of the pictures four times: the poor one of pool B.
# Paper: none
# Command: python tools/train.py configs/cifar10/teachers/hasty_cifar10.py
# Time: half a minute on one core
# Result: top-1 30.3
_base_ = '../students/tiny_cifar10.py'

train_dataloader = dict(dataset=dict(rows=(14000, 16000)))
param_scheduler = dict(T_max=4)
train_cfg = dict(max_epochs=4, val_interval=4)
