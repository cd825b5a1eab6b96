# The pool of the CamVid configs. Train each config of ../teachers first; the checkpoints are looked for where
# tools/train.py leaves them.
teachers = dict(
    segformer=dict(
        config='{{fileDirname}}/../teachers/segformer_camvid.py',
        checkpoint='work_dirs/segformer_camvid/epoch_20.pth',
    ),
    fpn=dict(
        config='{{fileDirname}}/../teachers/fpn_camvid.py',
        checkpoint='work_dirs/fpn_camvid/epoch_20.pth',
    ),
    pspnet=dict(
        config='{{fileDirname}}/../teachers/pspnet_camvid.py',
        checkpoint='work_dirs/pspnet_camvid/epoch_20.pth',
    ),
)
