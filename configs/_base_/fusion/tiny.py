# The student: 7,000 parameters. Without the structure term it ends as a copy of the infrared (docs/fusion.md).
model = dict(
    type='FusionModel', network=dict(type='TinyFuser', width=16, depth=2), loss=dict(type='FusionLoss', structure=1.0)
)
