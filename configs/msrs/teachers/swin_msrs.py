# A teacher of the MSRS pool, of the SwinFusion kind.
# Paper: https://doi.org/10.1109/JAS.2022.105686
# Command: python tools/train.py configs/msrs/teachers/swin_msrs.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/msrs.py', '../../_base_/fusion/swin.py']
