# A fusion student of 7,000 parameters on LLVIP, alone: the baseline of the taught ones.
# Paper: https://arxiv.org/abs/2211.14461 (the loss, as CDDFuse has it)
# Command: python tools/train.py configs/llvip/students/tiny_llvip.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/llvip.py', '../../_base_/fusion/tiny.py']
