# ResNet-18 FCOS alone on COCO: the baseline of ../mtkd_rl_fcos_r18_coco.py.
# Paper: https://arxiv.org/abs/1904.01355
# Command: python tools/train.py configs/coco/students/fcos_r18_coco.py
# Time: not yet run here
# Result: not yet run here
#
# The data are looked for in $MTKD_DATA_ROOT/coco (data/coco where the variable is not set), as train2017/, val2017/
# and annotations/.
_base_ = 'mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/coco/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

# The teachers see pictures in the order and the units of Caffe; each gets its own.
model = dict(
    data_preprocessor=dict(mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375], bgr_to_rgb=True),
    backbone=dict(
        depth=18,
        norm_cfg=dict(requires_grad=True),
        style='pytorch',
        init_cfg=dict(checkpoint='torchvision://resnet18'),
    ),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
