# A fusion student of 7,000 parameters on RoadScene, alone: the baseline of the taught ones.
# Paper: https://arxiv.org/abs/2211.14461 (the loss, as CDDFuse has it)
# Command: python tools/train.py configs/roadscene/students/tiny_roadscene.py
# Time: not yet run here
# Result: not yet run here
_base_ = ['../_base_/roadscene.py', '../../_base_/fusion/tiny.py']
