"""Kills: the moments that chance draws for them, and what they hit."""

import random
from collections.abc import Container
from typing import NamedTuple

from mtkd_rl.chaos.configs import SPAN, SPANS, VAL_BATCHES
from mtkd_rl.chaos.progress import Seen

PHASES = ('training', 'saving', 'validation')
"""What a kill has to fall into; before the first iteration it falls into ``starting``."""


class Plan(NamedTuple):
    """When to kill: at the first moment that fits.

    Attributes:
        phase: One of ``PHASES``, or ``starting``.
        done: Iterations that are done at least, or in training the number of the current one.
        batch: Validation batches that were told at least.
        best: Of saving: not the checkpoint of the span, but its second writing, after a validation with a new best
            result.
        growing: Of saving: once the file is there in part; otherwise at once.
        delay: Seconds to wait then.
    """

    phase: str
    done: int = 0
    batch: int = 0
    best: bool = False
    growing: bool = False
    delay: float = 0.0


class Kill(NamedTuple):
    """What a kill hit.

    Attributes:
        phase: The training's, as it said last and by its files.
        files: Checkpoints left, see ``state_of_files``.
        resumed: Iteration from which the next start went on; ``None`` if it did not come to that.
    """

    phase: str
    files: str
    resumed: int | None = None


def fits(plan: Plan, seen: Seen) -> bool:
    """Whether the moment of a plan has come; for growing files it is the moment to look at them."""
    if plan.phase == 'starting':
        return True
    wanted = 'validation' if plan.best else plan.phase
    return seen.what == wanted and seen.done >= plan.done and seen.batch >= plan.batch


def phase_of(seen: Seen, unfinished: bool) -> str:
    """The phase that a kill hit.

    Args:
        seen: What the training had said last.
        unfinished: Whether its files show that it was saving; see ``is_unfinished``.
    """
    if unfinished:
        return 'saving'
    after = {'resumed': 'starting', 'saving': 'validation', 'best': 'training'}
    return after.get(seen.what, seen.what)


def draw_plans(random_: random.Random, first: str, bests: Container[int]) -> list[Plan]:
    """Moments of one to three kills of a run.

    Args:
        random_: Where chance comes from.
        first: Phase of the first kill.
        bests: Iterations whose validation gives a new best result.

    Returns:
        Plans, each later in the training than the one before, but for those in ``starting``.
    """
    plans = [draw_plan(random_, first, random_.randint(1, SPANS - 1), bests)]
    while len(plans) < 3 and random_.random() < 0.4:
        if random_.random() < 0.25:
            plans.append(Plan('starting', plans[-1].done, delay=random_.uniform(0, 6)))
        else:
            last = -(-plans[-1].done // SPAN)
            plans.append(draw_plan(random_, random_.choice(PHASES), random_.randint(last, SPANS), bests))
    return plans


def draw_plan(random_: random.Random, phase: str, span: int, bests: Container[int]) -> Plan:
    """A moment in a phase of a span.

    Args:
        random_: Where chance comes from.
        phase: One of ``PHASES``.
        span: From 1.
        bests: As for `draw_plans`.
    """
    done = span * SPAN
    if phase == 'training':
        return Plan(phase, done - random_.randrange(SPAN), delay=random_.uniform(0, 0.03))
    if phase == 'validation':
        return Plan(phase, done, batch=random_.randint(1, VAL_BATCHES - 1), delay=random_.uniform(0, 0.01))
    if done in bests and random_.random() < 0.3:
        return Plan(phase, done, batch=VAL_BATCHES, best=True, growing=True)
    if random_.random() < 0.6:
        return Plan(phase, done, growing=True)
    return Plan(phase, done, delay=random_.uniform(0, 0.02))
