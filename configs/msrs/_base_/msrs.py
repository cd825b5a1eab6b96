# MSRS (https://github.com/Linfeng-Tang/MSRS): looked for in $MTKD_DATA_ROOT/msrs (data/msrs where the variable is not
# set), as train/{ir,vi} and test/{ir,vi}.
_base_ = '../../_base_/fusion/pairs.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/msrs'
train_dataloader = dict(dataset=dict(data_root=data_root, split='train'))
val_dataloader = dict(dataset=dict(data_root=data_root, split='test'))
test_dataloader = val_dataloader
