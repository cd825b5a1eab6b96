# ATSS on a ResNet-18 of an eighth of the width, alone on BCCD: the baseline of the other configs of this folder.
# Paper: https://arxiv.org/abs/1912.02424 (ATSS)
# Command: python tools/train.py configs/bccd/students/tiny_atss_bccd.py
# Time: 2 minutes on one core
# Result: box AP 43.2, standard deviation 2.0 over three seeds (`tools/compare.py`, docs/dense.md)
_base_ = ['../_base_/atss.py', '../_base_/schedule_20e.py']
