"""What a training step costs, and what distillation and the agent add to it.

Variants of one config are measured side by side, such as the plain student, the forwards of the teachers alone, equal
weights, and the PPO agent. Each has a process of its own, which builds once. A round is a rollout cycle of each, PPO
update included; within it they take turns of about a second, so that all see the same noise of the machine, and ratios
are taken within a round. Memory is looked at before, in other processes. In the one kind of process the allocator gives
freed memory back at once, in the other it keeps it: what it does by itself differs from process to process.

Pictures, labels and weights of teachers are made: what a step costs does not depend on their values.
"""

from mtkd_rl.benchmark.configs import POOL, STEP, Plan, cycle, hook_entry, picture_size, untrained, variant, without
from mtkd_rl.benchmark.memory import MIB, peak_memory, start_memory
from mtkd_rl.benchmark.report import measure, measure_cache, summarise
from mtkd_rl.benchmark.turns import WARMUP, TurnLoop, TurnRunner, device_name
from mtkd_rl.benchmark.worker import Options, environment, take_turns

__all__ = [
    'MIB',
    'POOL',
    'STEP',
    'WARMUP',
    'Options',
    'Plan',
    'TurnLoop',
    'TurnRunner',
    'cycle',
    'device_name',
    'environment',
    'hook_entry',
    'measure',
    'measure_cache',
    'peak_memory',
    'picture_size',
    'start_memory',
    'summarise',
    'take_turns',
    'untrained',
    'variant',
    'without',
]
