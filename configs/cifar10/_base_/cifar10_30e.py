# A part of CIFAR-10 (Krizhevsky, 2009) in npz files: train.npz with 20,000 pictures, val.npz with 4,000, classes.txt.
#
# The files are looked for in $MTKD_DATA_ROOT/cifar10 (data/cifar10 where the variable is not set). Another test file,
# by its absolute path or as seen from there: --cfg-options test_dataloader.dataset.ann_file=FILE.npz
_base_ = '../../_base_/default_runtime.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/cifar10'

# mean and std of the 20,000 training pictures, which are stored as RGB.
data_preprocessor = dict(
    num_classes=10,
    mean=[125.320, 123.008, 114.028],
    std=[62.469, 61.905, 66.495],
    to_rgb=False,
)

# A config that is based on this one adds the backbone, and the head's in_channels.
model = dict(
    type='ImageClassifier',
    neck=dict(type='GlobalAveragePooling'),
    head=dict(type='LinearClsHead', num_classes=10, loss=dict(type='CrossEntropyLoss', loss_weight=1.0)),
)

train_dataloader = dict(
    batch_size=64,
    num_workers=2,
    dataset=dict(
        type='mtkd_rl.NpzClassification',
        data_root=data_root,
        ann_file='train.npz',
        classes='classes.txt',
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
    dataset=dict(
        type='mtkd_rl.NpzClassification',
        data_root=data_root,
        ann_file='val.npz',
        classes='classes.txt',
        pipeline=[dict(type='PackInputs')],
    ),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
val_evaluator = dict(type='Accuracy', topk=(1,))
test_dataloader = val_dataloader
test_evaluator = val_evaluator

optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True))
param_scheduler = dict(type='CosineAnnealingLR', by_epoch=True, T_max=30, convert_to_iter_based=True)
train_cfg = dict(by_epoch=True, max_epochs=30, val_interval=1)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=64)
