# The demo's pool, unequal on purpose. Train each config of ../teachers first (`make demo` does).
teachers = dict(
    strong=dict(
        config='{{fileDirname}}/../teachers/strong_digits.py', checkpoint='work_dirs/strong_digits/epoch_15.pth'
    ),
    half=dict(config='{{fileDirname}}/../teachers/half_digits.py', checkpoint='work_dirs/half_digits/epoch_15.pth'),
    weak=dict(config='{{fileDirname}}/../teachers/weak_digits.py', checkpoint='work_dirs/weak_digits/epoch_15.pth'),
)
