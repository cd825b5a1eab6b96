# SegFormer-B0 on COCO-Stuff-164K, taught by DeepLabV3 on ResNet-50 and ResNet-101 and PSPNet on ResNet-101, that a PPO
# agent weighs per picture.
# Paper: https://arxiv.org/abs/2502.18510; 2105.15203 (the network)
# Command: python tools/train.py configs/coco_stuff164k/mtkd_rl_segformer_mit_b0_coco_stuff164k.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports mIoU 41.37, 41.95 and 42.61 for the teachers
_base_ = 'students/segformer_mit_b0_coco_stuff164k.py'

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(
            deeplabv3_r50=dict(
                config='mmseg::deeplabv3/deeplabv3_r50-d8_4xb4-320k_coco-stuff164k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/deeplabv3/deeplabv3_r50-d8_512x512_4x4_320k_coco-stuff164k/deeplabv3_r50-d8_512x512_4x4_320k_coco-stuff164k_20210709_155403-51b21115.pth',
            ),
            pspnet_r101=dict(
                config='mmseg::pspnet/pspnet_r101-d8_4xb4-320k_coco-stuff164k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/pspnet/pspnet_r101-d8_512x512_4x4_320k_coco-stuff164k/pspnet_r101-d8_512x512_4x4_320k_coco-stuff164k_20210707_152004-72220c60.pth',
            ),
            deeplabv3_r101=dict(
                config='mmseg::deeplabv3/deeplabv3_r101-d8_4xb4-320k_coco-stuff164k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/deeplabv3/deeplabv3_r101-d8_512x512_4x4_320k_coco-stuff164k/deeplabv3_r101-d8_512x512_4x4_320k_coco-stuff164k_20210709_155402-3cbca14d.pth',
            ),
        ),
        strategy=dict(type='PPOWeighting'),
    )
]
