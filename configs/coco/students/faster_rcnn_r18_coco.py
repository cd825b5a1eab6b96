# ResNet-18 Faster R-CNN alone on COCO: the baseline of ../mtkd_rl_faster_rcnn_r18_coco.py.
# Paper: https://arxiv.org/abs/1506.01497
# Command: python tools/train.py configs/coco/students/faster_rcnn_r18_coco.py
# Time: not yet run here
# Result: not yet run here
#
# The data are looked for in $MTKD_DATA_ROOT/coco (data/coco where the variable is not set), as train2017/, val2017/
# and annotations/.
_base_ = 'mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/coco/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator

model = dict(
    backbone=dict(depth=18, init_cfg=dict(checkpoint='torchvision://resnet18')),
    neck=dict(in_channels=[64, 128, 256, 512]),
)
