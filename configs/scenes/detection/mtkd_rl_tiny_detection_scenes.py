# The demo's detector with the whole pool, weighted per scene by a PPO agent.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/scenes/detection/mtkd_rl_tiny_detection_scenes.py
# Time: about a minute on one core
# Result: 29.5 mAP, standard deviation 1.4 over two seeds (`make demo-detection`)
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
