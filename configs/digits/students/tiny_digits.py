# The demo's student alone: 2,870 parameters and 300 labelled pictures.
# Paper: none; scikit-learn's digits (Alpaydin and Kaynak, 1998)
# Command: python tools/train.py configs/digits/students/tiny_digits.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/digits.py'

model = dict(backbone=dict(stem_channels=4, base_channels=4), head=dict(in_channels=8))
train_dataloader = dict(dataset=dict(limit=300))

max_epochs = 60
optim_wrapper = dict(optimizer=dict(lr=0.03))
param_scheduler = dict(T_max=max_epochs)
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(checkpoint=dict(interval=max_epochs))
