_base_ = 'strong_segmentation_scenes.py'

train_dataloader = dict(dataset=dict(n=40))
