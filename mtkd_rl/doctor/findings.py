"""From what is known of the teachers to one line each: red, yellow or green. docs/doctor.md explains every rule."""

import math
import re
from collections.abc import Iterator, Sequence

from mtkd_rl.doctor.report import Finding, Order, Report, TeacherReport, Trial

LEVELS = ('red', 'yellow', 'green')
INPUT = {'mean': 'normalisation', 'channel_order': 'channel order', 'input_size': 'input size'}
"""Option of a teacher's entry to what it sets."""

NEAR_CHANCE = 3.0
"""So many standard errors above chance a teacher still counts as one that knows nothing."""
SURE = 4.0
"""The least ``z`` of a better contract or class order."""
LEAST_GAIN = 0.03
LEAST_SHARE = 0.2
"""A contract is better if it gains this much, and sets right this share of what was wrong."""
ORDERED = 0.3
"""A class order is another one if it sets right this share of the labels that it moves, and twice as many as before."""
CLEARLY = 0.05
"""A class order is the cause rather than the input if it gains this much more: swapped colours can look like it."""
FAR_BELOW, BELOW = 0.1, 0.03
"""So far below its claim a teacher is wrong, or worth a look; never within so many standard errors:"""
CLAIM_ERRORS = 4.0
WEAK = 0.1
"""So far below the best of the pool a teacher is weak."""


def judge(report: Report) -> list[Finding]:
    """The lines of a report.

    Args:
        report: Complete but for its findings.

    Returns:
        At least one a teacher, red ones first.
    """
    found = [finding for teacher in report.teachers for finding in _of(teacher, report)]
    return sorted(found, key=lambda finding: LEVELS.index(finding.level))


def near_chance(metric: float, chance: float, pictures: int) -> bool:
    """Whether so many pictures cannot tell a metric from chance; all but the number in [0, 1]."""
    return metric <= chance + NEAR_CHANCE * _error(chance, pictures)


def _of(teacher: TeacherReport, report: Report) -> list[Finding]:
    red = _red(teacher, report)
    if red is not None:
        return [Finding('red', teacher.name, red)]
    yellow = [Finding('yellow', teacher.name, text) for text in _yellow(teacher, report)]
    return yellow or [Finding('green', teacher.name, _level(teacher, report))]


def _red(teacher: TeacherReport, report: Report) -> str | None:
    """What is wrong with a teacher, and why."""
    if teacher.broken is not None:
        return re.sub(rf"^teacher '?{re.escape(teacher.name)}'?:? ", '', teacher.broken)
    assert teacher.metric is not None
    level = _level(teacher, report)
    if teacher.not_finite:
        return (
            f'its outputs are not finite on {teacher.not_finite} of {report.pictures} pictures; look at its '
            'checkpoint and at its mean and std'
        )
    if teacher.random:
        return f"{level}: its weights are random (checkpoint='random'); give a trained checkpoint"
    knows_nothing = near_chance(teacher.metric, report.chance, report.pictures)
    lost = teacher.metric < _allowed(teacher, report, FAR_BELOW)
    cause = _cause(teacher, report, knows_nothing or lost)
    if cause is not None:
        return f'{level}: {cause}'
    if knows_nothing:
        return (
            f'{level}, no better than chance, and no cause was found; look at where its checkpoint comes from, '
            'whether it was trained on these classes, and at its mean and std'
        )
    if lost:
        return f'{level}, and no cause was found; look at its checkpoint, its mean and std, and its input_size'
    return None


def _cause(teacher: TeacherReport, report: Report, is_bad: bool) -> str | None:
    """Why a teacher is worse than it could be; more is taken for a cause where it is surely bad."""
    assert teacher.metric is not None
    if is_bad and (teacher.missing or teacher.mismatched):
        lacking = len(teacher.missing) + len(teacher.mismatched)
        keys = ', '.join((*teacher.missing, *teacher.mismatched)[:3])
        return (
            f'{lacking} of its {teacher.parameters} parameters and buffers stay random because its checkpoint has '
            f'none that fit (such as {keys}); give the config that the checkpoint was trained with'
        )
    order, trial = _better_order(teacher.order), _better_trial(teacher, report, is_bad)
    if is_bad and teacher.order_by_name is not None:
        return (
            'its outputs are taken by the names in its checkpoint, which has the same classes in another order, '
            f'{_listed(teacher.order_by_name)}; if these names are wrong, give its entry others with classes=[...]'
        )
    if order is not None and (trial is None or order.after - order.before > trial.metric - teacher.metric + CLEARLY):
        return (
            f'its class order is permuted; with the order {_listed(order.classes)} it would have '
            f'{_percent(order.after)}; give its entry their names in that order with classes=[...]'
        )
    if trial is not None:
        wrong = ' and '.join(word for field, word in INPUT.items() if f'{field}=' in trial.setting)
        return (
            f'its {wrong} is wrong; with {trial.setting} ({trial.name}) it would have {_percent(trial.metric)}; write '
            'that into its entry'
        )
    return None


def _better_order(order: Order | None) -> Order | None:
    """The order, if it surely is the right one: it gives the labels that it moves what they had not before."""
    if order is None or order.z < SURE or order.moved_after < max(ORDERED, 2 * order.moved_before):
        return None
    return order


def _better_trial(teacher: TeacherReport, report: Report, is_bad: bool) -> Trial | None:
    """The best other contract, if it surely is a better one."""
    assert teacher.metric is not None
    best = max(teacher.trials, key=lambda trial: trial.metric, default=None)
    if best is None or best.z < SURE:
        return None
    gain = best.metric - teacher.metric
    if is_bad and not near_chance(best.metric, report.chance, report.pictures):
        return best if gain >= FAR_BELOW else None
    return best if gain >= max(LEAST_GAIN, LEAST_SHARE * (1 - teacher.metric)) else None


def _yellow(teacher: TeacherReport, report: Report) -> Iterator[str]:
    assert teacher.metric is not None
    level = _level(teacher, report)
    if teacher.missing or teacher.unexpected or teacher.mismatched:
        yield (
            f'{level}, but its checkpoint was loaded with strict=False, and of its keys {len(teacher.missing)} are '
            f'missing, {len(teacher.unexpected)} unexpected, {len(teacher.mismatched)} of another shape; check that '
            'nothing else was meant'
        )
    if teacher.metric < _allowed(teacher, report, BELOW):
        yield f'{level}; check that it was measured on the same data, and its input_size'
        return
    best = max(other.metric for other in report.teachers if other.metric is not None)
    if teacher.metric < report.student:
        yield f"{level}, less than the student's own {_percent(report.student)}; leave it out unless it is meant so"
    elif teacher.metric < best - WEAK:
        yield f'{level}, where the best of the pool has {_percent(best)}; leave it out unless it is meant to be weak'


def _level(teacher: TeacherReport, report: Report) -> str:
    assert teacher.metric is not None
    claim = '' if teacher.claim is None else f', claimed {_percent(teacher.claim)}'
    return f'{report.metric} {_percent(teacher.metric)}, chance {_percent(report.chance)}{claim}'


def _allowed(teacher: TeacherReport, report: Report, margin: float) -> float:
    """The least metric at which a teacher keeps its claim."""
    if teacher.claim is None:
        return 0.0
    return teacher.claim - max(margin, CLAIM_ERRORS * _error(teacher.claim, report.pictures))


def _error(share: float, pictures: int) -> float:
    """Standard error of a share of right answers."""
    return math.sqrt(share * (1 - share) / pictures)


def _percent(share: float) -> str:
    return f'{100 * share:.1f}%'


def _listed(order: Sequence[int]) -> str:
    """An order as text; of a long one its beginning."""
    more = f', ... ({len(order)} in all)' if len(order) > 20 else ''
    return f'[{", ".join(map(str, order[:20]))}{more}]'
