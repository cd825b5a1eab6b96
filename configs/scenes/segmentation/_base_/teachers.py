# The demo's pool, unequal on purpose. Train each config of ../teachers first (`make demo-segmentation` does).
teachers = dict(
    strong=dict(
        config='{{fileDirname}}/../teachers/strong_segmentation_scenes.py',
        checkpoint='work_dirs/strong_segmentation_scenes/epoch_6.pth',
    ),
    half=dict(
        config='{{fileDirname}}/../teachers/half_segmentation_scenes.py',
        checkpoint='work_dirs/half_segmentation_scenes/epoch_6.pth',
        classes=['background', '0', '1', '2', '3', '4'],
    ),
    weak=dict(
        config='{{fileDirname}}/../teachers/weak_segmentation_scenes.py',
        checkpoint='work_dirs/weak_segmentation_scenes/epoch_6.pth',
    ),
)
