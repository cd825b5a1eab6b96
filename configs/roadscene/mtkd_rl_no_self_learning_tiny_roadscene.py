# The RoadScene student: the agent says who teaches, and how strongly; the student does not teach itself.
# Paper: https://arxiv.org/abs/2509.02424
# Command: python tools/train.py configs/roadscene/mtkd_rl_no_self_learning_tiny_roadscene.py
# Time: 6 to 9 minutes on one core
# Result: PSNR 14.5, SSIM 1.37 with seed 0 (docs/fusion.md)
_base_ = ['students/tiny_roadscene.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        strategy=dict(type='PPOWeighting', strength=(0.0, 2.0), rollout=256),
    )
]
