# ResNet-18 RetinaNet alone on COCO: the baseline of ../mtkd_rl_retinanet_r18_coco.py.
# Paper: https://arxiv.org/abs/1708.02002
# Command: python tools/train.py configs/coco/students/retinanet_r18_coco.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports box AP 31.7
#
# The data are looked for in $MTKD_DATA_ROOT/coco (data/coco where the variable is not set), as train2017/, val2017/
# and annotations/.
_base_ = 'mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/coco/'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
val_evaluator = dict(ann_file=data_root + 'annotations/instances_val2017.json')
test_evaluator = val_evaluator
