# A teacher of the M3FD pool, of the SeAFusion kind.
# Paper: https://doi.org/10.1016/j.inffus.2021.12.004
# Command: python tools/train.py configs/m3fd/teachers/gradient_m3fd.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/m3fd.py', '../../_base_/fusion/gradient.py']
