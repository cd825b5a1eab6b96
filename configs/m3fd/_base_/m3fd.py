# M3FD (https://github.com/JinyuanLiu-CV/TarDAL): looked for in $MTKD_DATA_ROOT/m3fd (data/m3fd where the variable is
# not set), as Ir and Vis, with train.txt and val.txt, a name a line.
_base_ = '../../_base_/fusion/pairs.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/m3fd'
train_dataloader = dict(dataset=dict(data_root=data_root, split=None, split_file='train.txt'))
val_dataloader = dict(dataset=dict(data_root=data_root, split=None, split_file='val.txt'))
test_dataloader = val_dataloader
