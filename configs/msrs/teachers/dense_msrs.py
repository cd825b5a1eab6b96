# A teacher of the MSRS pool, of the DenseFuse kind.
# Paper: https://arxiv.org/abs/1804.08361
# Command: python tools/train.py configs/msrs/teachers/dense_msrs.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/msrs.py', '../../_base_/fusion/dense.py']
