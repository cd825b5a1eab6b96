# A teacher of the RoadScene pool, of the SeAFusion kind.
# Paper: https://doi.org/10.1016/j.inffus.2021.12.004
# Command: python tools/train.py configs/roadscene/teachers/gradient_roadscene.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/roadscene.py', '../../_base_/fusion/gradient.py']

model = dict(network=dict(width=8))
