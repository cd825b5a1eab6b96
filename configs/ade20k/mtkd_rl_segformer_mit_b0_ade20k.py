# SegFormer-B0 on ADE20K, taught by SegFormer-B1, B2 and B3 that a PPO agent weighs per picture.
# Paper: https://arxiv.org/abs/2502.18510; 2105.15203 (the network)
# Command: python tools/train.py configs/ade20k/mtkd_rl_segformer_mit_b0_ade20k.py
# Time: not yet run here
# Result: not yet run here; OpenMMLab reports mIoU 40.97, 45.58 and 47.82 for the teachers
_base_ = 'students/segformer_mit_b0_ade20k.py'

custom_hooks = [
    dict(
        type='mtkd_rl.MTKDHook',
        teachers=dict(
            b1=dict(
                config='mmseg::segformer/segformer_mit-b1_8xb2-160k_ade20k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/segformer/segformer_mit-b1_512x512_160k_ade20k/segformer_mit-b1_512x512_160k_ade20k_20210726_112106-d70e859d.pth',
            ),
            b2=dict(
                config='mmseg::segformer/segformer_mit-b2_8xb2-160k_ade20k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/segformer/segformer_mit-b2_512x512_160k_ade20k/segformer_mit-b2_512x512_160k_ade20k_20210726_112103-cbd414ac.pth',
            ),
            b3=dict(
                config='mmseg::segformer/segformer_mit-b3_8xb2-160k_ade20k-512x512.py',
                checkpoint='https://mmassets.onedl.ai/mmsegmentation/v0.5/segformer/segformer_mit-b3_512x512_160k_ade20k/segformer_mit-b3_512x512_160k_ade20k_20210726_081410-962b98d2.pth',
            ),
        ),
        strategy=dict(type='PPOWeighting'),
    )
]
