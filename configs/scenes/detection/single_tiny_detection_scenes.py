# The demo's detector with one teacher, the strong one: plain knowledge distillation.
# Paper: https://arxiv.org/abs/1503.02531
# Command: python tools/train.py configs/scenes/detection/single_tiny_detection_scenes.py
# Time: about half a minute on one core
# Result: 33.7 mAP, standard deviation 3.5 over two seeds (`make demo-detection`)
_base_ = ['students/tiny_detection_scenes.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(strong={{_base_.teachers.strong}}),
        strategy=dict(type='AverageWeighting'),
        warmup=2,
    )
]
