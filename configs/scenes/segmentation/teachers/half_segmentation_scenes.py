_base_ = 'strong_segmentation_scenes.py'

model = dict(decode_head=dict(num_classes=6, loss_decode=dict(class_weight=[0.2] + [1.0] * 5)))
train_dataloader = dict(dataset=dict(digits=(0, 1, 2, 3, 4)))
