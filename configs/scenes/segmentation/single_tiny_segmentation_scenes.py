# The demo's segmenter with one teacher, the strong one: plain knowledge distillation.
# Paper: https://arxiv.org/abs/1503.02531
# Command: python tools/train.py configs/scenes/segmentation/single_tiny_segmentation_scenes.py
# Time: about 40 seconds on one core
# Result: 45.2 mIoU, standard deviation 2.8 over two seeds (`make demo-segmentation`)
_base_ = ['students/tiny_segmentation_scenes.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(strong={{_base_.teachers.strong}}),
        strategy=dict(type='AverageWeighting'),
        warmup=2,
    )
]
