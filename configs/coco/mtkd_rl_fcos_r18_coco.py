# ResNet-18 FCOS on COCO, taught by the same detector on ResNet-50, ResNet-101 and ResNeXt-101, that a PPO agent weighs
# per picture.
# Paper: https://arxiv.org/abs/2502.18510; 1904.01355 (the network)
# Command: python tools/train.py configs/coco/mtkd_rl_fcos_r18_coco.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports box AP 36.6, 39.1 and 42.6 for the teachers
_base_ = 'students/fcos_r18_coco.py'

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(
            r50=dict(
                config='mmdet::fcos/fcos_r50-caffe_fpn_gn-head_1x_coco.py',
                checkpoint='https://download.openmmlab.com/mmdetection/v2.0/fcos/fcos_r50_caffe_fpn_gn-head_1x_coco/fcos_r50_caffe_fpn_gn-head_1x_coco-821213aa.pth',
            ),
            r101=dict(
                config='mmdet::fcos/fcos_r101-caffe_fpn_gn-head-1x_coco.py',
                checkpoint='https://download.openmmlab.com/mmdetection/v2.0/fcos/fcos_r101_caffe_fpn_gn-head_1x_coco/fcos_r101_caffe_fpn_gn-head_1x_coco-0e37b982.pth',
            ),
            x101=dict(
                config='mmdet::fcos/fcos_x101-64x4d_fpn_gn-head_ms-640-800-2x_coco.py',
                checkpoint='https://download.openmmlab.com/mmdetection/v2.0/fcos/fcos_x101_64x4d_fpn_gn-head_mstrain_640-800_2x_coco/fcos_x101_64x4d_fpn_gn-head_mstrain_640-800_2x_coco-ede514a8.pth',
            ),
        ),
        strategy=dict(type='PPOWeighting'),
    )
]
