# A teacher of the demo of a detector that has seen 1,000 scenes of all ten digits.
# Paper: none; scikit-learn's digits (Alpaydin and Kaynak, 1998)
# Command: python tools/train.py configs/scenes/detection/teachers/strong_detection_scenes.py
# Time: about 45 seconds on one core
# Result: 65.1 mAP (one seed)
_base_ = '../_base_/scenes.py'

model = dict(
    backbone=dict(stem_channels=16, base_channels=32),
    neck=dict(in_channels=[32, 64], out_channels=32),
    bbox_head=dict(in_channels=32, feat_channels=32),
)
