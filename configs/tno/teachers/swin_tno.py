# A teacher of the TNO pool, of the SwinFusion kind.
# Paper: https://doi.org/10.1109/JAS.2022.105686
# Command: python tools/train.py configs/tno/teachers/swin_tno.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/tno.py', '../../_base_/fusion/swin.py']
