# ResNet-18 RetinaNet on COCO, taught by the same detector on ResNet-50, ResNet-101 and ResNeXt-101, that a PPO agent
# weighs per picture.
# Paper: https://arxiv.org/abs/2502.18510; 1708.02002 (the network)
# Command: python tools/train.py configs/coco/mtkd_rl_retinanet_r18_coco.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports box AP 36.5, 38.5 and 41.0 for the teachers
_base_ = 'students/retinanet_r18_coco.py'

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(
            r50=dict(
                config='mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
                checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_r50_fpn_1x_coco/retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth',
            ),
            r101=dict(
                config='mmdet::retinanet/retinanet_r101_fpn_1x_coco.py',
                checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_r101_fpn_1x_coco/retinanet_r101_fpn_1x_coco_20200130-7a93545f.pth',
            ),
            x101=dict(
                config='mmdet::retinanet/retinanet_x101-64x4d_fpn_1x_coco.py',
                checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/retinanet_x101_64x4d_fpn_1x_coco/retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1.pth',
            ),
        ),
        strategy=dict(type='PPOWeighting'),
    )
]
