# A ResNet-18 of 1/8 of the width with the head of SegFormer, alone on CamVid: the baseline of the taught ones.
# Paper: https://arxiv.org/abs/2105.15203 (the head)
# Command: python tools/train.py configs/camvid/students/tiny_segformer_camvid.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/camvid.py'

# A shorter schedule than the teachers': two epochs to warm up, then half a cosine.
max_epochs = 12
param_scheduler = [
    dict(type='LinearLR', start_factor=0.05, begin=0, end=2, convert_to_iter_based=True),
    dict(
        type='CosineAnnealingLR',
        begin=2,
        end=max_epochs,
        T_max=max_epochs - 2,
        eta_min=1e-5,
        convert_to_iter_based=True,
    ),
]
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
default_hooks = dict(checkpoint=dict(interval=max_epochs))
