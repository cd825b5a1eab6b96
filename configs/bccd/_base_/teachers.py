# The pool of the BCCD configs, the best first. Train each config of ../teachers first; the checkpoints are looked for
# where tools/train.py leaves them.
teachers = dict(
    retinanet=dict(
        config='{{fileDirname}}/../teachers/retinanet_bccd.py',
        checkpoint='work_dirs/retinanet_bccd/epoch_40.pth',
    ),
    atss=dict(
        config='{{fileDirname}}/../teachers/atss_bccd.py',
        checkpoint='work_dirs/atss_bccd/epoch_40.pth',
    ),
    fcos=dict(
        config='{{fileDirname}}/../teachers/fcos_bccd.py',
        checkpoint='work_dirs/fcos_bccd/epoch_40.pth',
    ),
)
