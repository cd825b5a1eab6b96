# A teacher of the demo that knows all ten digits.
# Paper: none; scikit-learn's digits (Alpaydin and Kaynak, 1998)
# Command: python tools/train.py configs/digits/teachers/strong_digits.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/digits.py'

model = dict(backbone=dict(stem_channels=16, base_channels=16), head=dict(in_channels=32))
