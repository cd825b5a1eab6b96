# Pairs of infrared and visible pictures in folders: loaders, metric and schedule of the fusion configs. A config that
# is based on this one says where the data are, and sets the network.
_base_ = '../default_runtime.py'

default_scope = 'mtkd_rl'

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='PairDataset',
        split='train',
        pipeline=[
            dict(type='LoadPair'),
            dict(type='PairRandomCrop', size=(128, 128)),
            dict(type='PairRandomFlip'),
            dict(type='PackPair'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='PairDataset', split='val', test_mode=True, pipeline=[dict(type='LoadPair'), dict(type='PackPair')]
    ),
)
val_evaluator = dict(type='FusionMetric')
test_dataloader = val_dataloader
test_evaluator = val_evaluator

max_epochs = 40
optim_wrapper = dict(optimizer=dict(type='Adam', lr=2e-3), clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=50),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=8)

visualizer = dict(type='FusionVisualizer', _delete_=True, vis_backends=[dict(type='LocalVisBackend')])
default_hooks = dict(
    logger=dict(interval=10),
    checkpoint=dict(interval=max_epochs, max_keep_ckpts=1),
    visualization=dict(type='FusionVisualizationHook'),
)
