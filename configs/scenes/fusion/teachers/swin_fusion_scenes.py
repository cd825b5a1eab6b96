# A teacher of the fusion demo of the SwinFusion kind: brightness, edges and structure.
# Paper: https://doi.org/10.1109/JAS.2022.105686
# Command: python tools/train.py configs/scenes/fusion/teachers/swin_fusion_scenes.py
# Time: about a minute on one core
# Result: PSNR 15.3 dB to what there is to see, SSIM 0.68 (`make demo-fusion`)
_base_ = '../_base_/scenes.py'

model = dict(
    network=dict(type='SwinFuse', width=16, heads=2, depth=1),
    loss=dict(type='FusionLoss', intensity=2.0, gradient=2.0, structure=1.0),
)
