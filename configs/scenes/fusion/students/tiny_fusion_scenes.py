# The demo's fusion student alone, with 2,000 parameters.
# Paper: https://arxiv.org/abs/2211.14461 (the loss, as CDDFuse has it)
# Command: python tools/train.py configs/scenes/fusion/students/tiny_fusion_scenes.py
# Time: not yet run here
# Result: not yet run here
_base_ = '../_base_/scenes.py'

model = dict(network=dict(type='TinyFuser', width=8, depth=1))
