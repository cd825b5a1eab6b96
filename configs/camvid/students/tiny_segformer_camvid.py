# A ResNet-18 of 1/8 of the width with the head of SegFormer, alone on CamVid: the baseline of the taught ones.
# Paper: https://arxiv.org/abs/2105.15203 (the head)
# Command: python tools/train.py configs/camvid/students/tiny_segformer_camvid.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/camvid.py'
