# SegFormer-B0 alone on Cityscapes: the baseline of ../mtkd_rl_segformer_mit_b0_cityscapes.py.
# Paper: https://arxiv.org/abs/2105.15203
# Command: python tools/train.py configs/cityscapes/students/segformer_mit_b0_cityscapes.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports mIoU 76.54
#
# The data are looked for in $MTKD_DATA_ROOT/cityscapes (data/cityscapes where the variable is not set), as
# leftImg8bit/ and gtFine/ with *_labelTrainIds.png.
_base_ = 'mmseg::segformer/segformer_mit-b0_8xb1-160k_cityscapes-1024x1024.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/cityscapes'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
