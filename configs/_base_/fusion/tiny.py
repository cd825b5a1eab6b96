# The student: 7,000 parameters.
model = dict(type='FusionModel', network=dict(type='TinyFuser', width=16, depth=2))
