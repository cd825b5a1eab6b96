# A teacher of the M3FD pool, of the DenseFuse kind.
# Paper: https://arxiv.org/abs/1804.08361
# Command: python tools/train.py configs/m3fd/teachers/dense_m3fd.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/m3fd.py', '../../_base_/fusion/dense.py']
