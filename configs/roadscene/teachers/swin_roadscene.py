# A teacher of the RoadScene pool, of the SwinFusion kind.
# Paper: https://doi.org/10.1109/JAS.2022.105686
# Command: python tools/train.py configs/roadscene/teachers/swin_roadscene.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/roadscene.py', '../../_base_/fusion/swin.py']
