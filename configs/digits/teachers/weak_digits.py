# A teacher of the demo that has seen 60 pictures.
# Paper: none; scikit-learn's digits (Alpaydin and Kaynak, 1998)
# Command: python tools/train.py configs/digits/teachers/weak_digits.py
# Time: less than half a minute on one core
# Result: 25.0 top-1 (one seed)
_base_ = '../_base_/digits.py'

model = dict(backbone=dict(stem_channels=16, base_channels=16), head=dict(in_channels=32))
train_dataloader = dict(batch_size=20, dataset=dict(limit=60))
