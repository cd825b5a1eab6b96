"""One examination: build what the config names, ask, compare, measure, judge."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple, cast

from mmengine.config import Config
from mmengine.runner import Runner
from torch import Tensor, nn

from mtkd_rl import tooling
from mtkd_rl.benchmark import device_name, hook_entry
from mtkd_rl.distiller import Distiller
from mtkd_rl.doctor import costs
from mtkd_rl.doctor.claims import Papers, papers_of, same_names_elsewhere
from mtkd_rl.doctor.contracts import complete, setting
from mtkd_rl.doctor.findings import judge
from mtkd_rl.doctor.metrics import Examiner, examiner_of, paired_z
from mtkd_rl.doctor.questions import APPLIED, Answers, as_student, ask, build_loader
from mtkd_rl.doctor.report import Report, TeacherReport, Trial
from mtkd_rl.errors import MTKDError
from mtkd_rl.hook import MTKDHook
from mtkd_rl.registry import HOOKS
from mtkd_rl.teachers.pool import RANDOM, entries_by_name
from mtkd_rl.teachers.restricted import restricted

Tell = Callable[[str, float], None]


class Options(NamedTuple):
    """How to examine.

    Attributes:
        images: How many validation pictures, at least 1.
        steps: How many training steps to time with and without each teacher; 0 for none.
        trust: Load the student's files, ``load_from`` and initial weights, without restriction.
    """

    images: int = 512
    steps: int = 5
    trust: bool = False


def examine(cfg: Config, name: str, options: Options, folder: Path, tell: Tell) -> Report:
    """Examine the teachers of a config.

    Args:
        cfg: A complete config with an ``MTKDHook``.
        name: What the report calls it.
        options: How.
        folder: For files of mmengine's Runner; may be thrown away afterwards.
        tell: Is told what begins, and how much of all is done, in [0, 1].

    Raises:
        MTKDError: The config has no ``MTKDHook`` or no validation data, or not one of its teachers can be built.
    """
    entry = hook_entry(cfg)
    if not cfg.get('val_dataloader'):
        raise MTKDError('the config has no val_dataloader, so there are no pictures to ask teachers about; add one')
    tell('build the student', 0.0)
    runner = _runner(cfg, folder, options.trust)
    student = cast(nn.Module, runner.model).eval()
    loader = build_loader(cfg, options.images)
    tell('build the teachers', 0.05)
    entries = entries_by_name(HOOKS.build(deepcopy(dict(entry))).teachers)
    reports = {each: TeacherReport(each) for each in sorted(entries)}
    pools = {}
    names = _class_names(loader.dataset)
    for each in reports:
        try:
            pools[each] = _assemble(entry, {each: entries[each]}, student, cfg, runner.seed or 0, names)
        except MTKDError as error:
            reports[each].broken = str(error)
    if not pools:
        _assemble(entry, entries, student, cfg, 0, names)  # raises what is wrong with the whole
    papers = {each: papers_of(each, entries[each], pool.teachers[0].model) for each, pool in pools.items()}
    examiner = examiner_of(next(iter(pools.values())).task)
    trained_on = {each: known.trained_on for each, known in papers.items()}
    share = 0.4 if options.steps else 0.9
    answers = ask(student, pools, trained_on, loader, examiner, lambda done: tell('ask', 0.1 + share * done))
    for each, pool in pools.items():
        _fill(reports[each], entries[each], pool, papers[each], names, answers, examiner)
    weights_from = cfg.load_from if cfg.get('load_from') else 'untrained'
    asked = pools.keys() - answers.broken.keys()
    report = Report(
        config=name,
        device=device_name(next(student.parameters()).device),
        metric=examiner.metric,
        pictures=len(answers.truth),
        classes=answers.classes,
        chance=examiner.chance(answers.truth, answers.classes),
        together=_mean(examiner.scores(answers.together, answers.truth)) if len(asked) > 1 else None,
        student=_mean(examiner.scores(answers.student, answers.truth)),
        student_weights=weights_from,
        teachers=list(reports.values()),
    )
    sound = {each: entries[each] for each in pools if each not in answers.broken}
    sizes = {each: costs.bytes_of(pools[each].teachers[0].model) for each in sound}
    for pool in pools.values():
        pool.close()
    pools.clear()
    if options.steps and sound:
        report.costs = costs.measure(
            cfg, sound, sizes, options.steps, options.trust, folder, lambda done: tell('time steps', 0.5 + done / 2)
        )
    report.findings = judge(report)
    return report


def _runner(cfg: Config, folder: Path, trust: bool) -> Runner:
    """A Runner that has the student as training begins with it, and none of the config's hooks of its own."""
    cfg = deepcopy(cfg)
    cfg.pop('runner_type', None)
    cfg.work_dir, cfg.custom_hooks, cfg.launcher, cfg.resume = str(folder / 'student'), [], 'none', False
    cfg.visualizer = {**cfg.get('visualizer', {'type': 'Visualizer'}), 'vis_backends': []}
    if cfg.get('load_from'):
        cfg.load_from = tooling.local_copy(cfg.load_from)
        tooling.check_checkpoint(cfg.load_from, trust)
    runner = tooling.build_runner(cfg, trust)
    with nullcontext() if trust else restricted('if you trust whoever made the file, pass --trust'):
        cast(Any, runner.model).init_weights()
        runner.load_or_resume()
    return runner


def _assemble(
    entry: Mapping[str, Any],
    teachers: Mapping[str, Any],
    student: nn.Module,
    cfg: Config,
    seed: int,
    classes: tuple[str, ...],
) -> Distiller:
    hook: MTKDHook = HOOKS.build({**entry, 'teachers': deepcopy(dict(teachers))})
    return hook.assemble(student, cfg, seed, classes or None)


def _fill(
    report: TeacherReport,
    entry: Mapping[str, Any],
    pool: Distiller,
    papers: Papers,
    names: tuple[str, ...],
    answers: Answers,
    examiner: Examiner,
) -> None:
    """Write down what is known of a teacher that could be built."""
    (teacher,) = pool.teachers
    report.source = teacher.description
    report.random = entry.get('checkpoint') == RANDOM
    report.claim, report.claimed_by = papers.claim, papers.claimed_by
    report.parameters = len(teacher.model.state_dict())
    report.missing, report.unexpected, report.mismatched = papers.load
    report.classes, report.common = len(papers.classes), len(set(papers.classes) & set(names))
    report.order_by_name = same_names_elsewhere(papers.classes, names)
    report.broken = answers.broken.get(report.name)
    applied = complete(teacher.contract, pool.source, answers.shape)
    report.contract = applied._asdict()
    report.as_student = as_student(answers, report.name, pool.source)
    if report.broken is not None:
        return
    said = answers.teachers[report.name]
    scores = examiner.scores(said[APPLIED], answers.truth)
    report.metric = _mean(scores)
    report.not_finite = answers.not_finite[report.name]
    report.layers = answers.layers[report.name]
    report.order = examiner.order(said[APPLIED], answers.truth, answers.classes)
    for name, theirs in said.items():
        if name != APPLIED:
            other = examiner.scores(theirs, answers.truth)
            contract = complete(answers.contracts[report.name][name], pool.source, answers.shape)
            report.trials.append(Trial(name, setting(applied, contract), _mean(other), paired_z(scores, other)))


def _class_names(dataset: Any) -> tuple[str, ...]:
    """The names of the classes of a data set, perhaps wrapped."""
    while not hasattr(dataset, 'metainfo') and hasattr(dataset, 'dataset'):
        dataset = dataset.dataset
    return tuple(map(str, getattr(dataset, 'metainfo', {}).get('classes') or ()))


def _mean(scores: Tensor) -> float:
    return float(scores.mean())
