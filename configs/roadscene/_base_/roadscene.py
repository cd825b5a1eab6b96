# RoadScene (https://github.com/hanna-xu/RoadScene): looked for in $MTKD_DATA_ROOT/roadscene (data/roadscene where the
# variable is not set), as train/{ir,vi} and val/{ir,vi}. Crops are small, so that a run takes minutes on a CPU.
_base_ = '../../_base_/fusion/pairs.py'

data_root = '{{$MTKD_DATA_ROOT:data}}/roadscene'
train_dataloader = dict(
    dataset=dict(
        data_root=data_root,
        split='train',
        pipeline=[
            dict(type='LoadPair'),
            dict(type='PairRandomCrop', size=(64, 64)),
            dict(type='PairRandomFlip'),
            dict(type='PackPair'),
        ],
    )
)
val_dataloader = dict(dataset=dict(data_root=data_root, split='val'))
test_dataloader = val_dataloader
