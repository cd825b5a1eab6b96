# A teacher of the LLVIP pool, of the SeAFusion kind.
# Paper: https://doi.org/10.1016/j.inffus.2021.12.004
# Command: python tools/train.py configs/llvip/teachers/gradient_llvip.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/llvip.py', '../../_base_/fusion/gradient.py']
