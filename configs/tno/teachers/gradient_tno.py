# A teacher of the TNO pool, of the SeAFusion kind.
# Paper: https://doi.org/10.1016/j.inffus.2021.12.004
# Command: python tools/train.py configs/tno/teachers/gradient_tno.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/tno.py', '../../_base_/fusion/gradient.py']
