# The pool of the CamVid configs. Train each config of ../teachers first; the checkpoints are looked for where
# tools/train.py leaves them.
teachers = dict(
    deeplab=dict(
        config='{{fileDirname}}/../teachers/deeplab_camvid.py',
        checkpoint='work_dirs/deeplab_camvid/epoch_20.pth',
    ),
    segformer=dict(
        config='{{fileDirname}}/../teachers/segformer_camvid.py',
        checkpoint='work_dirs/segformer_camvid/epoch_20.pth',
    ),
    fpn=dict(
        config='{{fileDirname}}/../teachers/fpn_camvid.py',
        checkpoint='work_dirs/fpn_camvid/epoch_20.pth',
    ),
)
