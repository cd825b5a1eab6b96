# What every run has: hooks, environment, visualizer and seed.
default_scope = 'mmpretrain'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    # Files are not replaced atomically: without MTKDHook a kill while the only one is written would leave none.
    checkpoint=dict(type='CheckpointHook', interval=1, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict(backend='nccl'),
)

# Add dict(type='TensorboardVisBackend') or dict(type='WandbVisBackend') to see the scalars there.
visualizer = dict(type='UniversalVisualizer', vis_backends=[dict(type='LocalVisBackend')])

randomness = dict(seed=0, deterministic=False)
log_level = 'INFO'
load_from = None
resume = False
