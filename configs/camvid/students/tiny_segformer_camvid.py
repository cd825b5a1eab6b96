# A ResNet-18 of 1/8 of the width with the head of SegFormer, alone on CamVid: the baseline of the taught ones.
# Paper: https://arxiv.org/abs/2105.15203 (the head)
# Command: python tools/train.py configs/camvid/students/tiny_segformer_camvid.py
# Time: 4 minutes on one core
# Result: mIoU 46.5, standard deviation 1.0 over three seeds (docs/dense.md)
_base_ = '../_base_/camvid.py'
