# The demo's detector with the whole pool at equal weights.
# Paper: none
# Command: python tools/train.py configs/scenes/detection/average_tiny_detection_scenes.py
# Time: about a minute on one core
# Result: 20.8 mAP, standard deviation 1.4 over two seeds (`make demo-detection`)
_base_ = ['students/tiny_detection_scenes.py', '_base_/teachers.py']

custom_hooks = [
    dict(type='mtkd_rl.MTKDHook', teachers={{_base_.teachers}}, strategy=dict(type='AverageWeighting'), warmup=2)
]
