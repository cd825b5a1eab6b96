# The pool of the RoadScene configs. Train each config of ../teachers first; the checkpoints are looked for where
# tools/train.py leaves them.
teachers = dict(
    dense=dict(
        config='{{fileDirname}}/../teachers/dense_roadscene.py',
        checkpoint='work_dirs/dense_roadscene/epoch_40.pth',
    ),
    gradient=dict(
        config='{{fileDirname}}/../teachers/gradient_roadscene.py',
        checkpoint='work_dirs/gradient_roadscene/epoch_40.pth',
    ),
    swin=dict(
        config='{{fileDirname}}/../teachers/swin_roadscene.py',
        checkpoint='work_dirs/swin_roadscene/epoch_40.pth',
    ),
)
