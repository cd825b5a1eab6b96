# A teacher of the fusion demo of the SeAFusion kind: the brightest of both, and all edges.
# Paper: https://doi.org/10.1016/j.inffus.2021.12.004
# Command: python tools/train.py configs/scenes/fusion/teachers/gradient_fusion_scenes.py
# Time: about a minute on one core
# Result: PSNR 14.1 dB to what there is to see, SSIM 0.59 (`make demo-fusion`)
_base_ = '../_base_/scenes.py'

model = dict(network=dict(type='GradientFuse', width=4))
