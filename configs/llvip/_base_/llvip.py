# LLVIP (https://bupt-ai-cz.github.io/LLVIP/): looked for in $MTKD_DATA_ROOT/llvip (data/llvip where the variable is not
# set), as infrared/{train,test} and visible/{train,test}.
_base_ = '../../_base_/fusion/pairs.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/llvip'
train_dataloader = dict(dataset=dict(data_root=data_root, split='train'))
val_dataloader = dict(dataset=dict(data_root=data_root, split='test'))
test_dataloader = val_dataloader
