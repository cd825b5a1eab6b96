# ResNet-18 DeepLabV3 alone on COCO-Stuff-164K: the baseline of ../mtkd_rl_deeplabv3_r18_coco_stuff164k.py.
# Paper: https://arxiv.org/abs/1706.05587
# Command: python tools/train.py configs/coco_stuff164k/students/deeplabv3_r18_coco_stuff164k.py
# Time: not yet run here
# Result: not yet run here
#
# The data are looked for in $MTKD_DATA_ROOT/coco_stuff164k (data/coco_stuff164k where the variable is not set), as
# images/ and annotations/ with *_labelTrainIds.png.
_base_ = 'mmseg::deeplabv3/deeplabv3_r50-d8_4xb4-320k_coco-stuff164k-512x512.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/coco_stuff164k'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

model = dict(
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(depth=18),
    decode_head=dict(in_channels=512, channels=128),
    auxiliary_head=dict(in_channels=256, channels=64),
)
