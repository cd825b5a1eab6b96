_base_ = 'strong_detection_scenes.py'

model = dict(bbox_head=dict(num_classes=5))
train_dataloader = dict(dataset=dict(n=500, digits=(0, 1, 2, 3, 4)))
