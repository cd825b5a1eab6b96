# The demo's student with one teacher, the strong one: plain knowledge distillation.
# Paper: https://arxiv.org/abs/1503.02531
# Command: python tools/train.py configs/digits/single_tiny_digits.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['students/tiny_digits.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(strong={{_base_.teachers.strong}}),
        strategy=dict(type='AverageWeighting'),
        warmup=25,
    )
]
