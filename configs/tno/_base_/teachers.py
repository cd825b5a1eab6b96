# The pool of the TNO configs. Train each config of ../teachers first; the checkpoints are looked for where
# tools/train.py leaves them.
teachers = dict(
    dense=dict(
        config='{{fileDirname}}/../teachers/dense_tno.py',
        checkpoint='work_dirs/dense_tno/epoch_40.pth',
    ),
    gradient=dict(
        config='{{fileDirname}}/../teachers/gradient_tno.py',
        checkpoint='work_dirs/gradient_tno/epoch_40.pth',
    ),
    swin=dict(
        config='{{fileDirname}}/../teachers/swin_tno.py',
        checkpoint='work_dirs/swin_tno/epoch_40.pth',
    ),
)
