# ResNet-20 on vehicles alone, a specialist of pool B.
# Paper: none
# Command: python tools/train.py configs/cifar10/teachers/vehicles_cifar10.py
# Time: 26 minutes on a third of two cores
# Result: top-1 35.0 of all classes; 88 of its own four, as it never names another
_base_ = 'resnet20_12e_cifar10.py'

train_dataloader = dict(dataset=dict(only=('airplane', 'automobile', 'ship', 'truck'), rows=(0, 16000)))
