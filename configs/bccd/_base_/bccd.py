# BCCD, blood cells in pictures of a microscope (https://github.com/Shenggan/BCCD_Dataset, MIT): boxes of three classes,
# pictures reduced to 256x192, networks from scratch.
#
# The data are looked for in $MTKD_DATA_ROOT/bccd (data/bccd where the variable is not set), as images/, train.json and
# val.json in COCO's format. Another folder and annotation file of the same layout:
#   python tools/test.py CONFIG CHECKPOINT --cfg-options test_dataloader.dataset.data_root=FOLDER \
#       test_dataloader.dataset.ann_file=FILE.json test_dataloader.dataset.data_prefix.img=images/ \
#       test_evaluator.ann_file=FOLDER/FILE.json
_base_ = '../../_base_/default_runtime.py'

default_scope = 'mmdet'
visualizer = dict(type='DetLocalVisualizer', name='visualizer')

data_root = '{{$MTKD_DATA_ROOT:data}}/bccd'
metainfo = dict(classes=('RBC', 'WBC', 'Platelets'), palette=[(220, 20, 60), (60, 60, 200), (0, 140, 90)])
size = (256, 192)
ground = (182, 178, 188)  # the mean of the training pictures, blue first as they are loaded

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='train.json',
        data_prefix=dict(img='images/'),
        filter_cfg=dict(filter_empty_gt=True, min_size=1),
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='Resize', scale=size, keep_ratio=False),
            dict(type='RandomFlip', prob=[0.25, 0.25, 0.25], direction=['horizontal', 'vertical', 'diagonal']),
            dict(
                type='RandomAffine',
                max_rotate_degree=0.0,
                max_shear_degree=0.0,
                max_translate_ratio=0.1,
                scaling_ratio_range=(0.75, 1.33),
                border_val=ground,
            ),
            dict(type='PackDetInputs'),
        ],
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='CocoDataset',
        data_root=data_root,
        metainfo=metainfo,
        ann_file='val.json',
        data_prefix=dict(img='images/'),
        test_mode=True,
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='Resize', scale=size, keep_ratio=False),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PackDetInputs', meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor')),
        ],
    ),
)
val_evaluator = dict(type='CocoMetric', ann_file=data_root + '/val.json', metric='bbox', classwise=True)
test_dataloader = val_dataloader
test_evaluator = val_evaluator

# A config that is based on this one adds type, bbox_head and a schedule, and sets the widths.
model = dict(
    data_preprocessor=dict(
        type='DetDataPreprocessor', mean=ground, std=(19, 26, 15), bgr_to_rgb=False, pad_size_divisor=32
    ),
    backbone=dict(
        type='ResNet',
        depth=18,
        base_channels=8,
        stem_channels=8,
        norm_cfg=dict(type='BN'),
        norm_eval=False,
        init_cfg=None,
    ),
    neck=dict(
        type='FPN',
        in_channels=[8, 16, 32, 64],
        out_channels=32,
        start_level=1,
        num_outs=3,
        norm_cfg=dict(type='BN'),
    ),
    # One anchor or point at a cell of strides 8, 16 and 32 in all networks, so that their class scores correspond.
    test_cfg=dict(
        nms_pre=1000, min_bbox_size=0, score_thr=0.05, nms=dict(type='nms', iou_threshold=0.6), max_per_img=100
    ),
)

optim_wrapper = dict(optimizer=dict(type='AdamW', lr=2e-3, weight_decay=0.01), clip_grad=dict(max_norm=10))
val_cfg = dict()
test_cfg = dict()
auto_scale_lr = dict(base_batch_size=8)
default_hooks = dict(logger=dict(interval=13), checkpoint=dict(interval=10))
