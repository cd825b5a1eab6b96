# ResNet-20 on CIFAR-10, taught by the strong teacher alone.
# Paper: https://arxiv.org/abs/1503.02531 (knowledge distillation)
# Command: python tools/train.py configs/cifar10/single_resnet20_cifar10.py
# Time: not yet run here
# Result: not yet run here
#
# Train the configs of teachers/ first.
_base_ = ['students/resnet20_cifar10.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(wrn_28_4={{_base_.teachers.wrn_28_4}}),
        strategy=dict(type='AverageWeighting'),
    )
]
