# A pool that a processor trains in three quarters of an hour, for experiments of many runs: three networks of different
# kinds. Train each config of ../teachers that it names first; the checkpoints are looked for where tools/train.py
# leaves them.
teachers = dict(
    resnet20=dict(
        config='{{fileDirname}}/../teachers/resnet20_12e_cifar10.py',
        checkpoint='work_dirs/resnet20_12e_cifar10/epoch_12.pth',
    ),
    wrn_16_1=dict(
        config='{{fileDirname}}/../teachers/wrn_16_1_12e_cifar10.py',
        checkpoint='work_dirs/wrn_16_1_12e_cifar10/epoch_12.pth',
    ),
    mobilenetv2=dict(
        config='{{fileDirname}}/../teachers/mobilenetv2_12e_cifar10.py',
        checkpoint='work_dirs/mobilenetv2_12e_cifar10/epoch_12.pth',
    ),
)
