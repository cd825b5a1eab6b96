_base_ = ['students/tiny_detection_scenes.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(strong={{_base_.teachers.strong}}),
        strategy=dict(type='AverageWeighting'),
        warmup=2,
    )
]
