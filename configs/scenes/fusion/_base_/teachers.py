# The demo's pool: three networks that were taught to look for different things. Train each config of ../teachers first
# (`make demo-fusion` does).
teachers = dict(
    dense=dict(
        config='{{fileDirname}}/../teachers/dense_fusion_scenes.py',
        checkpoint='work_dirs/dense_fusion_scenes/epoch_8.pth',
    ),
    gradient=dict(
        config='{{fileDirname}}/../teachers/gradient_fusion_scenes.py',
        checkpoint='work_dirs/gradient_fusion_scenes/epoch_8.pth',
    ),
    swin=dict(
        config='{{fileDirname}}/../teachers/swin_fusion_scenes.py',
        checkpoint='work_dirs/swin_fusion_scenes/epoch_8.pth',
    ),
)
