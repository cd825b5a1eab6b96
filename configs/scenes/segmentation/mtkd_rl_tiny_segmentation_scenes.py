_base_ = ['students/tiny_segmentation_scenes.py', '_base_/teachers.py']

# There are only 3,000 decisions in all: rollouts are short, and the agent learns while the teachers do not count
# for much yet.
custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        strategy=dict(type='PPOWeighting', rollout=256),
        warmup=2,
    )
]
