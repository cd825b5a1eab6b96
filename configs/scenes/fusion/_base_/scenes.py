# Pairs made from handwritten digits, each modality showing what the other hides, and a short schedule: what every
# config of the demo has.
_base_ = '../../../_base_/default_runtime.py'

default_scope = 'mtkd_rl'

# A config that is based on this one sets the network, and perhaps the loss.
model = dict(type='FusionModel')

pack = dict(type='PackPair')
train_dataloader = dict(
    batch_size=16,
    num_workers=0,
    dataset=dict(type='FusionScenes', n=400, pipeline=[dict(type='PairRandomFlip'), pack]),
    sampler=dict(type='DefaultSampler', shuffle=True),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=0,
    dataset=dict(type='FusionScenes', n=60, split='val', pipeline=[pack]),
    sampler=dict(type='DefaultSampler', shuffle=False),
)
# The sources are no judge of who fuses well; here it is known what there was to see.
val_evaluator = [
    dict(type='IdealMetric'),
    dict(type='FusionMetric', names=['PSNR', 'SSIM', 'VIF', 'Qabf', 'SCD']),
]
test_dataloader = val_dataloader
test_evaluator = val_evaluator

max_epochs = 8
optim_wrapper = dict(optimizer=dict(type='Adam', lr=2e-3), clip_grad=dict(max_norm=5))
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, by_epoch=False, begin=0, end=20),
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict()
test_cfg = dict()

visualizer = dict(type='FusionVisualizer', _delete_=True, vis_backends=[dict(type='LocalVisBackend')])
default_hooks = dict(
    logger=dict(interval=5),
    checkpoint=dict(interval=max_epochs, max_keep_ckpts=1),
    visualization=dict(type='FusionVisualizationHook'),
)
