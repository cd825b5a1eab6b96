# The demo's fusion student: the agent says who teaches, how strongly, and how hard the samples are on which the student
# teaches itself.
# Paper: https://arxiv.org/abs/2509.02424
# Command: python tools/train.py configs/scenes/fusion/mtkd_rl_tiny_fusion_scenes.py
# Time: a minute and a half on one core
# Result: PSNR 15.2 dB to what there is to see, SSIM 0.69, mean of two seeds (`make demo-fusion`)
_base_ = ['students/tiny_fusion_scenes.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        strategy=dict(type='PPOWeighting', strength=(0.0, 2.0), rollout=256),
        self_learning=dict(),
    ),
]
