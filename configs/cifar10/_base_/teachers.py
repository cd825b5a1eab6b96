# The pool of the CIFAR-10 configs, strong to weak. Train each config of ../teachers first; the checkpoints are looked
# for where tools/train.py leaves them.
teachers = dict(
    wrn_28_4=dict(
        config='{{fileDirname}}/../teachers/wrn_28_4_cifar10.py',
        checkpoint='work_dirs/wrn_28_4_cifar10/epoch_30.pth',
    ),
    resnet32x4=dict(
        config='{{fileDirname}}/../teachers/resnet32x4_10k_cifar10.py',
        checkpoint='work_dirs/resnet32x4_10k_cifar10/epoch_30.pth',
    ),
    regnetx_400mf=dict(
        config='{{fileDirname}}/../teachers/regnetx_400mf_5k_cifar10.py',
        checkpoint='work_dirs/regnetx_400mf_5k_cifar10/epoch_30.pth',
    ),
)
