# ResNet-18 Faster R-CNN on COCO, taught by the same detector on ResNet-50, ResNet-101 and ResNeXt-101, that a PPO agent
# weighs per picture.
# Paper: https://arxiv.org/abs/2502.18510; 1506.01497 (the network)
# Command: python tools/train.py configs/coco/mtkd_rl_faster_rcnn_r18_coco.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports box AP 37.4, 39.4 and 42.1 for the teachers
_base_ = 'students/faster_rcnn_r18_coco.py'

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(
            r50=dict(
                config='mmdet::faster_rcnn/faster-rcnn_r50_fpn_1x_coco.py',
                checkpoint='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r50_fpn_1x_coco/faster_rcnn_r50_fpn_1x_coco_20200130-047c8118.pth',
            ),
            r101=dict(
                config='mmdet::faster_rcnn/faster-rcnn_r101_fpn_1x_coco.py',
                checkpoint='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_r101_fpn_1x_coco/faster_rcnn_r101_fpn_1x_coco_20200130-f513f705.pth',
            ),
            x101=dict(
                config='mmdet::faster_rcnn/faster-rcnn_x101-64x4d_fpn_1x_coco.py',
                checkpoint='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/faster_rcnn_x101_64x4d_fpn_1x_coco/faster_rcnn_x101_64x4d_fpn_1x_coco_20200204-833ee192.pth',
            ),
        ),
        strategy=dict(type='PPOWeighting'),
    )
]
