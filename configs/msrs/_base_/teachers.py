# The pool of the MSRS configs. Train each config of ../teachers first; the checkpoints are looked for where
# tools/train.py leaves them.
teachers = dict(
    dense=dict(
        config='{{fileDirname}}/../teachers/dense_msrs.py',
        checkpoint='work_dirs/dense_msrs/epoch_40.pth',
    ),
    gradient=dict(
        config='{{fileDirname}}/../teachers/gradient_msrs.py',
        checkpoint='work_dirs/gradient_msrs/epoch_40.pth',
    ),
    swin=dict(
        config='{{fileDirname}}/../teachers/swin_msrs.py',
        checkpoint='work_dirs/swin_msrs/epoch_40.pth',
    ),
)
