# The demo's fusion student, taught by the pool with equal weights.
# Paper: https://arxiv.org/abs/2502.18510 (its baseline AVER)
# Command: python tools/train.py configs/scenes/fusion/average_tiny_fusion_scenes.py
# Time: a minute on one core
# Result: PSNR 14.6 dB to what there is to see, SSIM 0.68, mean of two seeds (`make demo-fusion`)
_base_ = ['students/tiny_fusion_scenes.py', '_base_/teachers.py']

custom_hooks = [
    dict(type='mtkd_rl.MTKDHook', teachers={{_base_.teachers}}, strategy=dict(type='AverageWeighting')),
]
