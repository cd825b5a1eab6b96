# The tiny student of the quick pool, weighed by the agent; teachers are asked once about each of 8 views.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/cifar10/mtkd_rl_cached_tiny_cifar10.py
# Time: 8 minutes on one core with half of the pictures
# Result: see docs/performance.md
_base_ = ['students/tiny_cifar10.py', '_base_/quick.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        live=dict(precision='bfloat16'),
        strategy=dict(type='PPOWeighting'),
        cache=dict(views=8),
    )
]
