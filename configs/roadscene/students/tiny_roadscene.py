# A fusion student of 7,000 parameters on RoadScene, alone: the baseline of the taught ones.
# Paper: https://arxiv.org/abs/2211.14461 (the loss, as CDDFuse has it)
# Command: python tools/train.py configs/roadscene/students/tiny_roadscene.py
# Time: 40 seconds on one core
# Result: PSNR 13.7, SSIM 1.33 with seed 0 (docs/fusion.md)
_base_ = ['../_base_/roadscene.py', '../../_base_/fusion/tiny.py']
