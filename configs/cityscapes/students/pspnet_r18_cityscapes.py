# ResNet-18 PSPNet alone on Cityscapes: the baseline of ../mtkd_rl_pspnet_r18_cityscapes.py.
# Paper: https://arxiv.org/abs/1612.01105
# Command: python tools/train.py configs/cityscapes/students/pspnet_r18_cityscapes.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports mIoU 74.87
#
# The data are looked for in $MTKD_DATA_ROOT/cityscapes (data/cityscapes where the variable is not set), as
# leftImg8bit/ and gtFine/ with *_labelTrainIds.png.
_base_ = 'mmseg::pspnet/pspnet_r18-d8_4xb2-80k_cityscapes-512x1024.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/cityscapes'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
