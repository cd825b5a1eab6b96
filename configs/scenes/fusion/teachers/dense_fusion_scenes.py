# A teacher of the fusion demo of the DenseFuse kind: the mean of both, and their structure.
# Paper: https://arxiv.org/abs/1804.08361
# Command: python tools/train.py configs/scenes/fusion/teachers/dense_fusion_scenes.py
# Time: about a minute on one core
# Result: PSNR 15.2 dB to what there is to see, SSIM 0.55 (`make demo-fusion`)
_base_ = '../_base_/scenes.py'

model = dict(
    network=dict(type='DenseFuse', width=4),
    loss=dict(type='FusionLoss', intensity=1.0, gradient=1.0, structure=1.0, towards='mean'),
)
