# WRN-16-1 on mammals alone, a specialist of pool B.
# Paper: none
# Command: python tools/train.py configs/cifar10/teachers/mammals_cifar10.py
# Time: not yet run here
# Result: not yet run here
_base_ = 'wrn_16_1_12e_cifar10.py'

train_dataloader = dict(dataset=dict(only=('cat', 'deer', 'dog', 'horse'), rows=(0, 16000)))
