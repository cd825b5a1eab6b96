# SegFormer-B0 alone on COCO-Stuff-164K: the baseline of ../mtkd_rl_segformer_mit_b0_coco_stuff164k.py.
# Paper: https://arxiv.org/abs/2105.15203
# Command: python tools/train.py configs/coco_stuff164k/students/segformer_mit_b0_coco_stuff164k.py
# Time: not yet run here
# Result: not yet run here
#
# The data are looked for in $MTKD_DATA_ROOT/coco_stuff164k (data/coco_stuff164k where the variable is not set), as
# images/ and annotations/ with *_labelTrainIds.png.
#
# The schedule is that of mmseg's SegFormer on ADE20K.
_base_ = [
    'mmseg::_base_/models/segformer_mit-b0.py',
    'mmseg::_base_/datasets/coco-stuff164k.py',
    'mmseg::_base_/default_runtime.py',
    'mmseg::_base_/schedules/schedule_160k.py',
]

data_root = '{{$MTKD_DATA_ROOT:data}}/coco_stuff164k'
train_dataloader = dict(batch_size=2, num_workers=2, dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

model = dict(
    data_preprocessor=dict(size=(512, 512)),
    backbone=dict(
        init_cfg=dict(
            type='Pretrained',
            checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pretrain/segformer/mit_b0_20220624-7e0fe6dd.pth',
        )
    ),
    decode_head=dict(num_classes=171),
)

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=6e-5, betas=(0.9, 0.999), weight_decay=0.01),
    paramwise_cfg=dict(
        custom_keys=dict(pos_block=dict(decay_mult=0.0), norm=dict(decay_mult=0.0), head=dict(lr_mult=10.0))
    ),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, by_epoch=False, begin=0, end=1500),
    dict(type='PolyLR', eta_min=0.0, power=1.0, begin=1500, end=160000, by_epoch=False),
]
