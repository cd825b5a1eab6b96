_base_ = '../_base_/scenes.py'

model = dict(
    backbone=dict(stem_channels=8, base_channels=16),
    neck=dict(in_channels=[16, 32], out_channels=16),
    decode_head=dict(in_channels=[16, 16], channels=16),
)
train_dataloader = dict(dataset=dict(n=300))

max_epochs = 10
optim_wrapper = dict(optimizer=dict(lr=0.015))
param_scheduler = [
    {{_base_.warm_up}},
    dict(type='CosineAnnealingLR', by_epoch=True, T_max=max_epochs, convert_to_iter_based=True),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(checkpoint=dict(interval=max_epochs))
