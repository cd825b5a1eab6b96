# The demo's student with the whole pool at equal weights, and nothing to keep the poor teachers from it.
# Paper: none
# Command: python tools/train.py configs/digits/unguarded_tiny_digits.py
# Time: less than half a minute on one core
# Result: 87.8 top-1, standard deviation 0.9 over three seeds (`make demo`)
_base_ = 'average_tiny_digits.py'

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        strategy=dict(type='AverageWeighting'),
        warmup=25,
        guard=None,
    )
]
