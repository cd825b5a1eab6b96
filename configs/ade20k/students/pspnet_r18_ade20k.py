# ResNet-18 PSPNet alone on ADE20K: the baseline of ../mtkd_rl_pspnet_r18_ade20k.py.
# Paper: https://arxiv.org/abs/1612.01105
# Command: python tools/train.py configs/ade20k/students/pspnet_r18_ade20k.py
# Time: not yet run here
# Result: not yet run here
#
# The data are looked for in $MTKD_DATA_ROOT/ade/ADEChallengeData2016 (data/ade/ADEChallengeData2016 where the
# variable is not set), as images/ and annotations/.
_base_ = 'mmseg::pspnet/pspnet_r50-d8_4xb4-160k_ade20k-512x512.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/ade/ADEChallengeData2016'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader

model = dict(
    pretrained='open-mmlab://resnet18_v1c',
    backbone=dict(depth=18),
    decode_head=dict(in_channels=512, channels=128),
    auxiliary_head=dict(in_channels=256, channels=64),
)
