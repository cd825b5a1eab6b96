_base_ = ['students/tiny_detection_scenes.py', '_base_/teachers.py']

# There are only 1,800 decisions in all: rollouts are short and learnt from often, also while the teachers do not count
# for much yet.
custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        strategy=dict(type='PPOWeighting', rollout=64, batch_size=64, n_epochs=8),
        warmup=2,
    )
]
