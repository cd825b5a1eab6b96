# The RoadScene student: the agent says who teaches, how strongly, and how hard the samples are on which the student
# teaches itself.
# Paper: https://arxiv.org/abs/2509.02424
# Command: python tools/train.py configs/roadscene/mtkd_rl_tiny_roadscene.py
# Time: 6 to 9 minutes on one core
# Result: PSNR 15.4, SSIM 1.38, mean of 3 seeds (docs/fusion.md)
_base_ = ['students/tiny_roadscene.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        strategy=dict(type='PPOWeighting', strength=(0.0, 2.0), rollout=256),
        self_learning=dict(),
    )
]
