# SegFormer-B0 on Cityscapes, taught by SegFormer-B1, B2 and B3 that a PPO agent weighs per picture.
# Paper: https://arxiv.org/abs/2502.18510; 2105.15203 (the network)
# Command: python tools/train.py configs/cityscapes/mtkd_rl_segformer_mit_b0_cityscapes.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports mIoU 78.56, 81.08 and 81.94 for the teachers
_base_ = 'students/segformer_mit_b0_cityscapes.py'

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(
            b1=dict(
                config='mmseg::segformer/segformer_mit-b1_8xb1-160k_cityscapes-1024x1024.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/segformer/segformer_mit-b1_8x1_1024x1024_160k_cityscapes/segformer_mit-b1_8x1_1024x1024_160k_cityscapes_20211208_064213-655c7b3f.pth',
            ),
            b2=dict(
                config='mmseg::segformer/segformer_mit-b2_8xb1-160k_cityscapes-1024x1024.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/segformer/segformer_mit-b2_8x1_1024x1024_160k_cityscapes/segformer_mit-b2_8x1_1024x1024_160k_cityscapes_20211207_134205-6096669a.pth',
            ),
            b3=dict(
                config='mmseg::segformer/segformer_mit-b3_8xb1-160k_cityscapes-1024x1024.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/segformer/segformer_mit-b3_8x1_1024x1024_160k_cityscapes/segformer_mit-b3_8x1_1024x1024_160k_cityscapes_20211206_224823-a8f8a177.pth',
            ),
        ),
        strategy=dict(type='PPOWeighting'),
    )
]
