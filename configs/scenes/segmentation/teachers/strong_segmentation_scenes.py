# A teacher of the demo of a segmenter that has seen 1,000 scenes of all ten digits.
# Paper: none; scikit-learn's digits (Alpaydin and Kaynak, 1998)
# Command: python tools/train.py configs/scenes/segmentation/teachers/strong_segmentation_scenes.py
# Time: about 45 seconds on one core
# Result: 55.5 mIoU (one seed)
_base_ = '../_base_/scenes.py'

model = dict(
    backbone=dict(stem_channels=16, base_channels=32),
    neck=dict(in_channels=[32, 64], out_channels=32),
    decode_head=dict(in_channels=[32, 32], channels=32),
)
