# ResNet-18 on ImageNet, taught by four networks of torchvision that a PPO agent weighs per sample.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/imagenet/mtkd_rl_resnet18_imagenet.py
# Time: not yet run here
# Result: not yet run here; the authors report 2.47 points of top-1 over the student alone
#
# The teachers are those whose weights the authors' code names (winycg/MTKD-RL, setting.py); torchvision downloads them.
_base_ = 'resnet18_imagenet.py'

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(
            resnet50=dict(type='Torchvision', model='resnet50', weights='IMAGENET1K_V1'),
            resnet101=dict(type='Torchvision', model='resnet101', weights='IMAGENET1K_V1'),
            wide_resnet50_2=dict(type='Torchvision', model='wide_resnet50_2', weights='IMAGENET1K_V1'),
            resnext50_32x4d=dict(type='Torchvision', model='resnext50_32x4d', weights='IMAGENET1K_V1'),
        ),
        strategy=dict(type='PPOWeighting'),
    )
]
