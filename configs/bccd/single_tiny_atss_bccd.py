# ATSS on a ResNet-18 of an eighth of the width on BCCD, taught by the best teacher alone.
# Paper: https://arxiv.org/abs/1503.02531 (knowledge distillation)
# Command: python tools/train.py configs/bccd/single_tiny_atss_bccd.py
# Time: 5 minutes on one core
# Result: box AP 44.7, standard deviation 0.3 over three seeds (`tools/compare.py`, docs/dense.md)
#
# Train the configs of teachers/ first.
_base_ = ['students/tiny_atss_bccd.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(retinanet={{_base_.teachers.retinanet}}),
        logit_weight=10.0,  # few places of a picture have an object, so the losses of its logits are small
        temperature=2.0,
        strategy=dict(type='AverageWeighting'),
    )
]
