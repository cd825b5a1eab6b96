# TNO (https://figshare.com/articles/dataset/TNO_Image_Fusion_Dataset/1008029): looked for in $MTKD_DATA_ROOT/tno
# (data/tno where the variable is not set), as ir and vis, with train.txt and val.txt, a name a line.
_base_ = '../../_base_/fusion/pairs.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/tno'
train_dataloader = dict(dataset=dict(data_root=data_root, split=None, split_file='train.txt'))
val_dataloader = dict(dataset=dict(data_root=data_root, split=None, split_file='val.txt'))
test_dataloader = val_dataloader
