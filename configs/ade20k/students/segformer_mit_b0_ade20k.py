# SegFormer-B0 alone on ADE20K: the baseline of ../mtkd_rl_segformer_mit_b0_ade20k.py.
# Paper: https://arxiv.org/abs/2105.15203
# Command: python tools/train.py configs/ade20k/students/segformer_mit_b0_ade20k.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports mIoU 37.41
#
# The data are looked for in $MTKD_DATA_ROOT/ade/ADEChallengeData2016 (data/ade/ADEChallengeData2016 where the
# variable is not set), as images/ and annotations/.
_base_ = 'mmseg::segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/ade/ADEChallengeData2016'
train_dataloader = dict(dataset=dict(data_root=data_root))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
