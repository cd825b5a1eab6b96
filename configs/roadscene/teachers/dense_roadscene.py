# A teacher of the RoadScene pool, of the DenseFuse kind.
# Paper: https://arxiv.org/abs/1804.08361
# Command: python tools/train.py configs/roadscene/teachers/dense_roadscene.py
# Time: 5 minutes on one core
# Result: docs/fusion.md
_base_ = ['../_base_/roadscene.py', '../../_base_/fusion/dense.py']
