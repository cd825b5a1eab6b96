_base_ = 'strong_segmentation_scenes.py'

model = dict(decode_head=dict(num_classes=6, loss_decode=dict(class_weight=[0.3] + [1.0] * 5)))
train_dataloader = dict(dataset=dict(n=500, digits=(0, 1, 2, 3, 4)))
