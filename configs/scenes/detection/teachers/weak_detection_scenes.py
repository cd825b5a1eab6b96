# A teacher of the demo of a detector that has seen 40 scenes.
# Paper: none; scikit-learn's digits (Alpaydin and Kaynak, 1998)
# Command: python tools/train.py configs/scenes/detection/teachers/weak_detection_scenes.py
# Time: about 10 seconds on one core
# Result: 4.8 mAP (one seed)
_base_ = 'strong_detection_scenes.py'

train_dataloader = dict(batch_size=8, dataset=dict(n=40))
