# The pool of the M3FD configs. Train each config of ../teachers first; the checkpoints are looked for where
# tools/train.py leaves them.
teachers = dict(
    dense=dict(
        config='{{fileDirname}}/../teachers/dense_m3fd.py',
        checkpoint='work_dirs/dense_m3fd/epoch_40.pth',
    ),
    gradient=dict(
        config='{{fileDirname}}/../teachers/gradient_m3fd.py',
        checkpoint='work_dirs/gradient_m3fd/epoch_40.pth',
    ),
    swin=dict(
        config='{{fileDirname}}/../teachers/swin_m3fd.py',
        checkpoint='work_dirs/swin_m3fd/epoch_40.pth',
    ),
)
