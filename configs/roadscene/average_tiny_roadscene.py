# The RoadScene student, taught by three networks with equal weights.
# Paper: https://arxiv.org/abs/2502.18510 (its baseline AVER)
# Command: python tools/train.py configs/roadscene/average_tiny_roadscene.py
# Time: 6 to 9 minutes on one core
# Result: PSNR 14.6, SSIM 1.37 with seed 0 (docs/fusion.md)
_base_ = ['students/tiny_roadscene.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        strategy=dict(type='AverageWeighting'),
    )
]
