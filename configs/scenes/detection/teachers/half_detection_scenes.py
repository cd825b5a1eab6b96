# A teacher of the demo of a detector that knows only the digits 0 to 4: what it can tell, it tells by class name.
# Paper: none; scikit-learn's digits (Alpaydin and Kaynak, 1998)
# Command: python tools/train.py configs/scenes/detection/teachers/half_detection_scenes.py
# Time: about half a minute on one core
# Result: 27.8 mAP (one seed)
_base_ = 'strong_detection_scenes.py'

model = dict(bbox_head=dict(num_classes=5))
train_dataloader = dict(dataset=dict(n=500, digits=(0, 1, 2, 3, 4)))
