# CamVid, street scenes with labels of 11 classes (Brostow, Fauqueur and Cipolla, 2009; the split of SegNet): pictures
# reduced to 192x144, networks from scratch. Scores are on the full label maps.
#
# The data are looked for in $MTKD_DATA_ROOT/camvid (data/camvid where the variable is not set), as
# images/{train,val}/*.jpg and labels/{train,val}/*.png. Other folders of the same layout:
#   python tools/test.py CONFIG CHECKPOINT --cfg-options test_dataloader.dataset.data_root=FOLDER \
#       test_dataloader.dataset.data_prefix.img_path=IMAGES test_dataloader.dataset.data_prefix.seg_map_path=LABELS
_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmseg'
visualizer = dict(type='SegLocalVisualizer', name='visualizer')

data_root = '{{$MTKD_DATA_ROOT:data}}/camvid'
metainfo = dict(
    classes=(
        'Sky',
        'Building',
        'Pole',
        'Road',
        'Pavement',
        'Tree',
        'SignSymbol',
        'Fence',
        'Car',
        'Pedestrian',
        'Bicyclist',
    ),
    palette=[
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ],
)
size = (192, 144)  # width and height

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='BaseSegDataset',
        data_root=data_root,
        metainfo=metainfo,
        img_suffix='.jpg',
        seg_map_suffix='.png',
        data_prefix=dict(img_path='images/train', seg_map_path='labels/train'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations'),
            dict(type='RandomResize', scale=size, ratio_range=(0.75, 1.75), keep_ratio=True),
            dict(type='RandomCrop', crop_size=(144, 192)),
            dict(type='RandomFlip', prob=0.5),
            dict(type='PackSegInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='BaseSegDataset',
        data_root=data_root,
        metainfo=metainfo,
        img_suffix='.jpg',
        seg_map_suffix='.png',
        data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=size, keep_ratio=False),
            dict(type='LoadAnnotations'),
            dict(type='PackSegInputs'),
        ],
    ),
)
val_evaluator = dict(type='IoUMetric', iou_metrics=['mIoU'])
test_dataloader = val_dataloader
test_evaluator = val_evaluator

# A config that is based on this one sets widths, or a head of its own.
model = dict(
    type='EncoderDecoder',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=(110, 108, 105),  # of the training pictures, blue first as they are loaded
        std=(77, 78, 77),
        bgr_to_rgb=False,
        size=(144, 192),
        pad_val=0,
        seg_pad_val=255,
    ),
    backbone=dict(type='ResNetV1c', depth=18, base_channels=8, stem_channels=8, norm_cfg=dict(type='BN')),
    decode_head=dict(
        type='SegformerHead',
        in_channels=[8, 16, 32, 64],
        in_index=[0, 1, 2, 3],
        channels=32,
        num_classes=11,
        norm_cfg=dict(type='BN'),
        dropout_ratio=0.1,
        align_corners=False,
        # The root of the median share of pixels over the class's own.
        loss_decode=dict(
            type='CrossEntropyLoss', class_weight=[0.5, 0.45, 2.1, 0.4, 1.0, 0.7, 2.0, 2.0, 0.9, 2.6, 4.0]
        ),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)

optim_wrapper = dict(optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01))
max_epochs = 20
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
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(logger=dict(interval=23), checkpoint=dict(interval=10))
