# A teacher of the LLVIP pool, of the SwinFusion kind.
# Paper: https://doi.org/10.1109/JAS.2022.105686
# Command: python tools/train.py configs/llvip/teachers/swin_llvip.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/llvip.py', '../../_base_/fusion/swin.py']
