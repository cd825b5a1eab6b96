_base_ = '../_base_/scenes.py'

model = dict(
    backbone=dict(stem_channels=8, base_channels=8),
    neck=dict(in_channels=[8, 16], out_channels=16),
    bbox_head=dict(in_channels=16, feat_channels=16),
)
train_dataloader = dict(batch_size=8, dataset=dict(n=150))

max_epochs = 12
param_scheduler = [
    {{_base_.warm_up}},
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(checkpoint=dict(interval=max_epochs))
