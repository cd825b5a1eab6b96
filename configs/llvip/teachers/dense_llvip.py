# A teacher of the LLVIP pool, of the DenseFuse kind.
# Paper: https://arxiv.org/abs/1804.08361
# Command: python tools/train.py configs/llvip/teachers/dense_llvip.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/llvip.py', '../../_base_/fusion/dense.py']
