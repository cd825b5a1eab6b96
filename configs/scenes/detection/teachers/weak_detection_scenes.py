_base_ = 'strong_detection_scenes.py'

train_dataloader = dict(batch_size=8, dataset=dict(n=40))
