# ResNet-18 PSPNet on ADE20K, taught by PSPNet on ResNet-50 and ResNet-101 and DeepLabV3 on ResNet-101, that a PPO agent
# weighs per picture.
# Paper: https://arxiv.org/abs/2502.18510; 1612.01105 (the network)
# Command: python tools/train.py configs/ade20k/mtkd_rl_pspnet_r18_ade20k.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports mIoU 42.48, 44.39 and 45.0 for the teachers
_base_ = 'students/pspnet_r18_ade20k.py'

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(
            r50=dict(
                config='mmseg::pspnet/pspnet_r50-d8_4xb4-160k_ade20k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pspnet/pspnet_r50-d8_512x512_160k_ade20k/pspnet_r50-d8_512x512_160k_ade20k_20200615_184358-1890b0bd.pth',
            ),
            r101=dict(
                config='mmseg::pspnet/pspnet_r101-d8_4xb4-160k_ade20k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pspnet/pspnet_r101-d8_512x512_160k_ade20k/pspnet_r101-d8_512x512_160k_ade20k_20200615_100650-967c316f.pth',
            ),
            deeplabv3_r101=dict(
                config='mmseg::deeplabv3/deeplabv3_r101-d8_4xb4-160k_ade20k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/deeplabv3/deeplabv3_r101-d8_512x512_160k_ade20k/deeplabv3_r101-d8_512x512_160k_ade20k_20200615_105816-b1f72b3b.pth',
            ),
        ),
        strategy=dict(type='PPOWeighting'),
    )
]
