"""No iteration waits for the device: nothing of a step reads a value of a tensor."""

import pytest
import runs
import torch
from torch.utils._python_dispatch import TorchDispatchMode

READS = ('_local_scalar_dense', '_is_all_true', 'is_nonzero', 'item', 'equal.default', 'nonzero', 'masked_select')


class Reads(TorchDispatchMode):
    """The operators that hand a tensor's value to Python, or whose result has a size that depends on values."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        by_mask = name.startswith('aten.index') and any(
            isinstance(x, torch.Tensor) and x.dtype == torch.bool for x in runs.tensors(args[1:])
        )
        if by_mask or any(read in name for read in READS):
            self.seen.append(name)
        return function(*args, **(kwargs or {}))


def test_the_mode_sees_a_read():
    for read in (lambda x: float(x.sum()), lambda x: x[x > 0], lambda x: x.nonzero()):
        with Reads() as reads:
            read(torch.ones(3))
        assert reads.seen


STRATEGIES = [
    dict(type='PPOWeighting', rollout=1000),
    dict(type='PPOWeighting', rollout=1000, observation='paper'),
    *(dict(type=f'{name}Weighting') for name in ('Confidence', 'Dropping', 'Gradient', 'Random', 'Signal')),
]
"""Not MetaWeighting: Adam reads its count of steps, which lies on the CPU."""


@pytest.mark.parametrize('strategy', STRATEGIES, ids=lambda each: '-'.join(map(str, each.values())))
def test_a_step_reads_no_value(tmp_path, strategy):
    """From the student's outputs to the rollout; an update, every 1,000 samples here, may wait."""
    reads = []

    def listen(runner):
        hook = runs.hook_of(runner)

        def watched(part):
            def call(*args, **kwargs):
                # the first iteration makes adapters, agent and optimizers
                with Reads() as mode:
                    result = part(*args, **kwargs)
                if runner.iter > 0:
                    reads.append(mode.seen)
                return result

            return call

        hook.distiller.lesson = watched(hook.distiller.lesson)
        hook.strategy.learn = watched(hook.strategy.learn)
        hook.monitor.watch = watched(hook.monitor.watch)

    runs.train(runs.config(tmp_path, [runs.entry(strategy=strategy), runs.watching(before_train=listen)], epochs=1))
    assert reads == [[], [], []] * 2
