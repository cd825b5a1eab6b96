# Pool A of docs/evidence.md, three networks of different kinds: the tiny student on 5,000 pictures, logits alone.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/cifar10/pool_a_tiny_cifar10.py
# Time: 1.5 minutes on one core of a busy machine
# Result: see docs/evidence.md
_base_ = ['students/tiny_5k_cifar10.py', '_base_/quick.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        live=dict(precision='bfloat16'),
        strategy=dict(type='PPOWeighting', scale=2.0),
        cache=dict(views=8),
        feature_loss=None,
        logit_weight=3.0,
    )
]
