# A teacher of the SeAFusion kind: the brightest of both, and all edges (https://doi.org/10.1016/j.inffus.2021.12.004).
model = dict(type='FusionModel', network=dict(type='GradientFuse', width=16))
