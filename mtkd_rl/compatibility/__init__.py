"""Whether the models that a toolbox ships train plainly here, train with the hook, and load plainly afterwards.

Nothing is imported here: one of the processes that use this package has to do without the rest of mtkd_rl.
"""
