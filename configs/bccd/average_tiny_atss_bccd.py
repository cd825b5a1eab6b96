# ATSS on a ResNet-18 of an eighth of the width on BCCD, taught by three detectors with equal weights.
# Paper: https://arxiv.org/abs/2502.18510 (its baseline AVER)
# Command: python tools/train.py configs/bccd/average_tiny_atss_bccd.py
# Time: 12 minutes on one core of a busy machine
# Result: box AP 44.7, standard deviation 1.3 over three seeds (`tools/compare.py`, docs/dense.md)
#
# Train the configs of teachers/ first.
_base_ = ['students/tiny_atss_bccd.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        logit_weight=10.0,  # few places of a picture have an object, so the losses of its logits are small
        temperature=2.0,
        strategy=dict(type='AverageWeighting'),
    )
]
