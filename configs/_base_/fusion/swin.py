# A teacher of the SwinFusion kind: brightness, edges and structure (https://doi.org/10.1109/JAS.2022.105686).
model = dict(
    type='FusionModel',
    network=dict(type='SwinFuse', width=48, heads=4),
    loss=dict(type='FusionLoss', intensity=2.0, gradient=2.0, structure=1.0),
)
