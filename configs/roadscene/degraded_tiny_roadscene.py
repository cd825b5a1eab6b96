# The RoadScene student, to be tested on degraded pairs and scored against the clean ones; it is trained as ever.
# Paper: https://arxiv.org/abs/2509.02424
# Command: python tools/train.py configs/roadscene/degraded_tiny_roadscene.py
# Time: 40 seconds on one core
# Result: PSNR 14.3, SSIM 1.07 with seed 0 (docs/fusion.md)
_base_ = 'students/tiny_roadscene.py'

test_dataloader = dict(
    dataset=dict(pipeline=[dict(type='LoadPair'), dict(type='PackPair'), dict(type='PairDegrade', severity=0.5)])
)
