# A teacher of the RoadScene pool, of the SeAFusion kind.
# Paper: https://doi.org/10.1016/j.inffus.2021.12.004
# Command: python tools/train.py configs/roadscene/teachers/gradient_roadscene.py
# Time: 6 minutes on one core
# Result: docs/fusion.md
_base_ = ['../_base_/roadscene.py', '../../_base_/fusion/gradient.py']

# Edges have no sign: with a smaller weight of intensities it ended with the contrast inverted.
model = dict(network=dict(width=8), loss=dict(type='FusionLoss', intensity=5.0))
