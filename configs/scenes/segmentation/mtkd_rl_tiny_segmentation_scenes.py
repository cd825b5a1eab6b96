# The demo's segmenter with the whole pool, weighted per scene by a PPO agent.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/scenes/segmentation/mtkd_rl_tiny_segmentation_scenes.py
# Time: about a minute on one core
# Result: 37.5 mIoU, standard deviation 0.1 over two seeds (`make demo-segmentation`)
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
