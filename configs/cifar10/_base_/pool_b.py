# Pool B of docs/evidence.md: three specialists, who have never seen the classes of the others, and one poor teacher.
# Train each config of ../teachers that it names first; the checkpoints are looked for where tools/train.py leaves them.
teachers = dict(
    vehicles=dict(
        config='{{fileDirname}}/../teachers/vehicles_cifar10.py',
        checkpoint='work_dirs/vehicles_cifar10/epoch_12.pth',
    ),
    mammals=dict(
        config='{{fileDirname}}/../teachers/mammals_cifar10.py',
        checkpoint='work_dirs/mammals_cifar10/epoch_12.pth',
    ),
    birds_and_frogs=dict(
        config='{{fileDirname}}/../teachers/birds_and_frogs_cifar10.py',
        checkpoint='work_dirs/birds_and_frogs_cifar10/epoch_12.pth',
    ),
    hasty=dict(
        config='{{fileDirname}}/../teachers/hasty_cifar10.py',
        checkpoint='work_dirs/hasty_cifar10/epoch_4.pth',
    ),
)
