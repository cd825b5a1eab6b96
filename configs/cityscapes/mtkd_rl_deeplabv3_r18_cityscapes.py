# ResNet-18 DeepLabV3 on Cityscapes, taught by DeepLabV3 on ResNet-50 and ResNet-101 and PSPNet on ResNet-101, that a
# PPO agent weighs per picture.
# Paper: https://arxiv.org/abs/2502.18510; 1706.05587 (the network)
# Command: python tools/train.py configs/cityscapes/mtkd_rl_deeplabv3_r18_cityscapes.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports mIoU 79.32, 80.2 and 79.76 for the teachers
_base_ = 'students/deeplabv3_r18_cityscapes.py'

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(
            r50=dict(
                config='mmseg::deeplabv3/deeplabv3_r50-d8_4xb2-80k_cityscapes-512x1024.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/deeplabv3/deeplabv3_r50-d8_512x1024_80k_cityscapes/deeplabv3_r50-d8_512x1024_80k_cityscapes_20200606_113404-b92cfdd4.pth',
            ),
            r101=dict(
                config='mmseg::deeplabv3/deeplabv3_r101-d8_4xb2-80k_cityscapes-512x1024.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/deeplabv3/deeplabv3_r101-d8_512x1024_80k_cityscapes/deeplabv3_r101-d8_512x1024_80k_cityscapes_20200606_113503-9e428899.pth',
            ),
            pspnet_r101=dict(
                config='mmseg::pspnet/pspnet_r101-d8_4xb2-80k_cityscapes-512x1024.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pspnet/pspnet_r101-d8_512x1024_80k_cityscapes/pspnet_r101-d8_512x1024_80k_cityscapes_20200606_112211-e1e1100f.pth',
            ),
        ),
        strategy=dict(type='PPOWeighting'),
    )
]
