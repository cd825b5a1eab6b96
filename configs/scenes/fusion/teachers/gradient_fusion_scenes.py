# A teacher of the fusion demo of the SeAFusion kind: the brightest of both, and all edges.
# Paper: https://doi.org/10.1016/j.inffus.2021.12.004
# Command: python tools/train.py configs/scenes/fusion/teachers/gradient_fusion_scenes.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/scenes.py'

model = dict(network=dict(type='GradientFuse', width=4))
