# ATSS on a ResNet-18 of an eighth of the width on BCCD, taught by three detectors that a PPO agent weighs per picture.
# Paper: https://arxiv.org/abs/2502.18510
# Command: python tools/train.py configs/bccd/mtkd_rl_tiny_atss_bccd.py
# Time: 9 minutes on one core
# Result: box AP 45.0, standard deviation 1.0 over three seeds (`tools/compare.py`, docs/dense.md)
#
# Train the configs of teachers/ first.
_base_ = ['students/tiny_atss_bccd.py', '_base_/teachers.py']

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers={{_base_.teachers}},
        logit_weight=10.0,  # few places of a picture have an object, so the losses of its logits are small
        temperature=2.0,
        strategy=dict(type='PPOWeighting', rollout=128, batch_size=64),  # a run has few pictures
    )
]
