# A student of four convolutions (98 thousand parameters) alone on the first 5,000 pictures of CIFAR-10: the baseline of
# the experiments in docs/evidence.md, of which there are hundreds.
# Paper: none
# Command: python tools/train.py configs/cifar10/students/tiny_5k_cifar10.py
# Time: 1 minute on one core of a busy machine
# Result: see docs/evidence.md
_base_ = 'tiny_cifar10.py'

train_dataloader = dict(dataset=dict(rows=(0, 5000)))
param_scheduler = dict(T_max=16)
train_cfg = dict(max_epochs=16, val_interval=16)
default_hooks = dict(checkpoint=dict(interval=16))
