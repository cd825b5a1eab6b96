# A teacher of the RoadScene pool, of the SwinFusion kind.
# Paper: https://doi.org/10.1109/JAS.2022.105686
# Command: python tools/train.py configs/roadscene/teachers/swin_roadscene.py
# Time: 6 minutes on one core
# Result: docs/fusion.md
_base_ = ['../_base_/roadscene.py', '../../_base_/fusion/swin.py']
