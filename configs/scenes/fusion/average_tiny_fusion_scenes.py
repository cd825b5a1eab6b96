# The demo's fusion student, taught by the pool with equal weights.
# Paper: https://arxiv.org/abs/2502.18510 (its baseline AVER)
# Command: python tools/train.py configs/scenes/fusion/average_tiny_fusion_scenes.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['students/tiny_fusion_scenes.py', '_base_/teachers.py']

custom_hooks = [
    dict(type='mtkd_rl.MTKDHook', teachers={{_base_.teachers}}, strategy=dict(type='AverageWeighting')),
]
