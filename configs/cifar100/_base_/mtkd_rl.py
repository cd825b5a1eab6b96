# The pool and the losses of MTKD-RL on CIFAR-100: https://arxiv.org/abs/2502.18510. Temperature 4, weight 1 on the
# logits and 5 on the last feature maps, as in the authors' code (winycg/MTKD-RL, train_student_rl.py).
#
# Train each config of ../teachers first; the checkpoints are looked for where tools/train.py leaves them.
custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(
            regnety_400mf=dict(
                config='{{fileDirname}}/../teachers/regnety_400mf_cifar100.py',
                checkpoint='work_dirs/regnety_400mf_cifar100/epoch_240.pth',
            ),
            regnetx_400mf=dict(
                config='{{fileDirname}}/../teachers/regnetx_400mf_cifar100.py',
                checkpoint='work_dirs/regnetx_400mf_cifar100/epoch_240.pth',
            ),
            resnet32x4=dict(
                config='{{fileDirname}}/../teachers/resnet32x4_cifar100.py',
                checkpoint='work_dirs/resnet32x4_cifar100/epoch_240.pth',
            ),
            wrn_28_4=dict(
                config='{{fileDirname}}/../teachers/wrn_28_4_cifar100.py',
                checkpoint='work_dirs/wrn_28_4_cifar100/epoch_240.pth',
            ),
        ),
        logit_loss=dict(type='KD'),
        logit_weight=1.0,
        temperature=4.0,
        feature_loss=dict(type='MSE'),
        feature_weight=5.0,
        strategy=dict(type='PPOWeighting'),
    )
]
