# A teacher of the DenseFuse kind: the mean of both, and their structure (https://arxiv.org/abs/1804.08361).
model = dict(
    type='FusionModel',
    network=dict(type='DenseFuse', width=16),
    loss=dict(type='FusionLoss', intensity=1.0, gradient=1.0, structure=1.0, towards='mean'),
)
