# A teacher of the M3FD pool, of the SwinFusion kind.
# Paper: https://doi.org/10.1109/JAS.2022.105686
# Command: python tools/train.py configs/m3fd/teachers/swin_m3fd.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/m3fd.py', '../../_base_/fusion/swin.py']
