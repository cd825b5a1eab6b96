# A teacher of the demo of a segmenter that has seen 40 scenes.
# Paper: none; scikit-learn's digits (Alpaydin and Kaynak, 1998)
# Command: python tools/train.py configs/scenes/segmentation/teachers/weak_segmentation_scenes.py
# Time: about 10 seconds on one core
# Result: 8.6 mIoU (one seed)
_base_ = 'strong_segmentation_scenes.py'

train_dataloader = dict(dataset=dict(n=40))
