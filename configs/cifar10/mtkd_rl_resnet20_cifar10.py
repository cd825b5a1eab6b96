# ResNet-20 on CIFAR-10, taught by three teachers of different strength that a PPO agent weighs per sample.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/cifar10/mtkd_rl_resnet20_cifar10.py
# Time: about 8 hours on one core (9,390 iterations of 3.0 s, tools/benchmark.py); not yet run here
# Result: not yet run here
#
# Train the configs of teachers/ first.
_base_ = ['students/resnet20_cifar10.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        strategy=dict(type='PPOWeighting'),
    )
]
