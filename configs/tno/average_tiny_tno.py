# The TNO student, taught by three networks with equal weights.
# Paper: https://arxiv.org/abs/2502.18510 (its baseline AVER)
# Command: python tools/train.py configs/tno/average_tiny_tno.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['students/tiny_tno.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        strategy=dict(type='AverageWeighting'),
    )
]
