# The demo's segmenter with the whole pool at equal weights.
# Paper: none
# Command: python tools/train.py configs/scenes/segmentation/average_tiny_segmentation_scenes.py
# Time: about a minute on one core
# Result: 35.6 mIoU, standard deviation 3.6 over two seeds (`make demo-segmentation`)
_base_ = ['students/tiny_segmentation_scenes.py', '_base_/teachers.py']

custom_hooks = [
    dict(type='mtkd_rl.MTKDHook', teachers={{_base_.teachers}}, strategy=dict(type='AverageWeighting'), warmup=2)
]
