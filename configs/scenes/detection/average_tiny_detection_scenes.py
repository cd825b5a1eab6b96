_base_ = ['students/tiny_detection_scenes.py', '_base_/teachers.py']

custom_hooks = [
    dict(type='mtkd_rl.MTKDHook', teachers={{_base_.teachers}}, strategy=dict(type='AverageWeighting'), warmup=2)
]
