# Pool B of docs/evidence.md, three specialists and a poor teacher: the tiny student on 5,000 pictures, logits alone.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/cifar10/pool_b_tiny_cifar10.py
# Time: 1.5 minutes on one core of a busy machine
# Result: see docs/evidence.md
_base_ = ['students/tiny_5k_cifar10.py', '_base_/pool_b.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        live=dict(precision='bfloat16'),
        strategy=dict(type='PPOWeighting', n_epochs=1, batch_size=1024),  # softer than by default
        cache=dict(views=8),
        feature_loss=None,
        logit_weight=3.0,
    )
]
