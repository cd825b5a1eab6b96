# The pool of the LLVIP configs. Train each config of ../teachers first; the checkpoints are looked for where
# tools/train.py leaves them.
teachers = dict(
    dense=dict(
        config='{{fileDirname}}/../teachers/dense_llvip.py',
        checkpoint='work_dirs/dense_llvip/epoch_40.pth',
    ),
    gradient=dict(
        config='{{fileDirname}}/../teachers/gradient_llvip.py',
        checkpoint='work_dirs/gradient_llvip/epoch_40.pth',
    ),
    swin=dict(
        config='{{fileDirname}}/../teachers/swin_llvip.py',
        checkpoint='work_dirs/swin_llvip/epoch_40.pth',
    ),
)
