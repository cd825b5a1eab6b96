# ResNet-18 DeepLabV3 on ADE20K, taught by DeepLabV3 on ResNet-50 and ResNet-101 and PSPNet on ResNet-101, that a PPO
# agent weighs per picture.
# Paper: https://arxiv.org/abs/2502.18510; 1706.05587 (the network)
# Command: python tools/train.py configs/ade20k/mtkd_rl_deeplabv3_r18_ade20k.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports mIoU 42.66, 45.0 and 44.39 for the teachers
_base_ = 'students/deeplabv3_r18_ade20k.py'

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(
            r50=dict(
                config='mmseg::deeplabv3/deeplabv3_r50-d8_4xb4-160k_ade20k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/deeplabv3/deeplabv3_r50-d8_512x512_160k_ade20k/deeplabv3_r50-d8_512x512_160k_ade20k_20200615_123227-5d0ee427.pth',
            ),
            r101=dict(
                config='mmseg::deeplabv3/deeplabv3_r101-d8_4xb4-160k_ade20k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/deeplabv3/deeplabv3_r101-d8_512x512_160k_ade20k/deeplabv3_r101-d8_512x512_160k_ade20k_20200615_105816-b1f72b3b.pth',
            ),
            pspnet_r101=dict(
                config='mmseg::pspnet/pspnet_r101-d8_4xb4-160k_ade20k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pspnet/pspnet_r101-d8_512x512_160k_ade20k/pspnet_r101-d8_512x512_160k_ade20k_20200615_100650-967c316f.pth',
            ),
        ),
        strategy=dict(type='PPOWeighting'),
    )
]
