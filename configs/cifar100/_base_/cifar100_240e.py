# CIFAR-100 (Krizhevsky, 2009) with the schedule of MTKD-RL: https://arxiv.org/abs/2502.18510 and its code,
# winycg/MTKD-RL, train_student_rl.py. Trained on the 50,000 training pictures, scored on the 10,000 test pictures; the
# last epoch counts, while the authors' code reports the best one on the test pictures.
#
# The data are looked for in $MTKD_DATA_ROOT/cifar100 (data/cifar100 where the variable is not set) and downloaded there
# when they are missing.
_base_ = '../../_base_/default_runtime.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/cifar100'

# mean and std of the training pictures, which are loaded as RGB.
data_preprocessor = dict(
    num_classes=100,
    mean=[129.304, 124.070, 112.434],
    std=[68.170, 65.392, 70.418],
    to_rgb=False,
)

# A config that is based on this one adds the backbone, and the head's in_channels.
model = dict(
    type='ImageClassifier',
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=100, loss=dict(type='CrossEntropyLoss', loss_weight=1.0)),
)

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    dataset=dict(
        type='CIFAR100',
        data_root=data_root,
        split='train',
        pipeline=[
            dict(type='RandomCrop', crop_size=32, padding=4),
            dict(type='RandomFlip', prob=0.5, direction='horizontal'),
            dict(type='PackInputs'),
        ],
    ),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=2,
    dataset=dict(type='CIFAR100', data_root=data_root, split='test', pipeline=[dict(type='PackInputs')]),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_dataloader = val_dataloader
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=1e-4, nesterov=True))
param_scheduler = dict(type='MultiStepLR', by_epoch=True, milestones=[150, 180, 210], gamma=0.1)
train_cfg = dict(by_epoch=True, max_epochs=240, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=64)

default_hooks = dict(checkpoint=dict(interval=10))
