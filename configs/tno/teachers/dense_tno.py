# A teacher of the TNO pool, of the DenseFuse kind.
# Paper: https://arxiv.org/abs/1804.08361
# Command: python tools/train.py configs/tno/teachers/dense_tno.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/tno.py', '../../_base_/fusion/dense.py']
