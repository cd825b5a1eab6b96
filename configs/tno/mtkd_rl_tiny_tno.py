# The TNO student: the agent says who teaches, how strongly, and how hard the samples are on which the student
# teaches itself.
# Paper: https://arxiv.org/abs/2509.02424
# Command: python tools/train.py configs/tno/mtkd_rl_tiny_tno.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['students/tiny_tno.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        strategy=dict(type='PPOWeighting', strength=(0.0, 2.0), rollout=256),
        self_learning=dict(),
    )
]
