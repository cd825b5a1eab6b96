# The demo's pool, unequal on purpose. Train each config of ../teachers first (`make demo-detection` does).
teachers = dict(
    strong=dict(
        config='{{fileDirname}}/../teachers/strong_detection_scenes.py',
        checkpoint='work_dirs/strong_detection_scenes/epoch_10.pth',
    ),
    half=dict(
        config='{{fileDirname}}/../teachers/half_detection_scenes.py',
        checkpoint='work_dirs/half_detection_scenes/epoch_10.pth',
        classes=['0', '1', '2', '3', '4'],
    ),
    weak=dict(
        config='{{fileDirname}}/../teachers/weak_detection_scenes.py',
        checkpoint='work_dirs/weak_detection_scenes/epoch_10.pth',
    ),
)
