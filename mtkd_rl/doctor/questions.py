"""Asking student and teachers about validation pictures, through the path that training takes."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import torch
from mmengine.config import Config
from mmengine.registry import DATASETS
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from mtkd_rl.distiller import Distiller, levels
from mtkd_rl.doctor.contracts import alternatives, complete
from mtkd_rl.doctor.metrics import Examiner
from mtkd_rl.doctor.report import Layers
from mtkd_rl.errors import MTKDError
from mtkd_rl.taps import Taps
from mtkd_rl.teachers import InputContract
from mtkd_rl.types import Outputs

APPLIED = ''
"""The name of the contract that will be applied, among those that are tried."""


class Answers(NamedTuple):
    """What was said about n pictures, as the examiner keeps it.

    Attributes:
        truth: The labels.
        student: The student's answers.
        classes: Number of the student's classes.
        shape: Channels, height and width of the student's pictures.
        together: The answers of all teachers that can be asked as one.
        teachers: Teacher to contract to answers; those to the applied contract are under ``APPLIED``.
        contracts: Teacher to name to contract.
        not_finite: Teacher to the number of pictures in batches in which its outputs were not finite.
        broken: Teacher to why it cannot be asked.
        layers: Teacher to what is compared; ``None`` without a feature loss.
    """

    truth: Tensor
    student: Tensor
    classes: int
    shape: tuple[int, int, int]
    together: Tensor
    teachers: dict[str, dict[str, Tensor]]
    contracts: dict[str, dict[str, InputContract]]
    not_finite: dict[str, int]
    broken: dict[str, str]
    layers: dict[str, Layers | None]


def build_loader(cfg: Config, pictures: int) -> DataLoader:
    """A loader of some pictures of a config's validation data, drawn at random, but always the same ones.

    Args:
        cfg: A complete config with a ``val_dataloader``.
        pictures: How many, at the most.
    """
    loader = dict(cfg.val_dataloader)
    dataset = DATASETS.build(loader['dataset'])
    drawn = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(0))[:pictures]
    loader |= {'dataset': Subset(dataset, drawn.tolist()), 'sampler': {'type': 'DefaultSampler', 'shuffle': False}}
    loader |= {'persistent_workers': False, 'drop_last': False}
    return Runner.build_dataloader(loader, seed=0)


def ask(
    student: nn.Module,
    pools: Mapping[str, Distiller],
    trained_on: Mapping[str, tuple[int, int] | None],
    loader: DataLoader,
    examiner: Examiner,
    tell: Callable[[float], None],
) -> Answers:
    """Show every picture to the student and to every teacher, and to the teachers under other contracts as well.

    Args:
        student: In evaluation mode.
        pools: Teacher to a pool of it alone.
        trained_on: Teacher to the size of the pictures that it was trained on, where that is known.
        loader: Batches of the student's data.
        examiner: Keeps of the outputs what its metric needs.
        tell: Is told how much is done, in [0, 1].
    """
    listener = next(iter(pools.values()))
    truth: list[Tensor] = []
    said: list[Tensor] = []
    together: list[Tensor] = []
    shape, classes = (0, 0, 0), 0
    contracts: dict[str, dict[str, InputContract]] = {}
    kept: dict[str, dict[str, list[Tensor]]] = {}
    not_finite: dict[str, int] = dict.fromkeys(pools, 0)
    broken: dict[str, str] = {}
    layers: dict[str, Layers | None] = {}
    for i, batch in enumerate(loader):
        data: Any = student.data_preprocessor(batch, False)  # type: ignore[operator]
        inputs, samples = data['inputs'], data['data_samples']
        records = _listen(listener, inputs, samples)
        told = listener.task.read(inputs, samples, records)
        outputs, _ = listener.task.outputs(student, records, told, {})
        said.append(examiner.answers(outputs))
        truth.append(examiner.truth(told))
        if i == 0:
            shape, classes = tuple(inputs.shape[1:]), listener.task.groups
        sound: list[Outputs] = []
        for name, pool in pools.items():
            (teacher,) = pool.teachers
            if i == 0:
                others = alternatives(teacher.contract, pool.source, shape, trained_on[name])
                contracts[name] = {APPLIED: teacher.contract, **others}
                kept[name] = {each: [] for each in contracts[name]}
            for each in list(kept[name]):
                teacher.contract = contracts[name][each]
                try:
                    (outputs,) = pool.ask_teachers(told)
                except MTKDError as error:  # it takes no such pictures, or says nothing that fits the labels
                    del kept[name][each]
                    if each == APPLIED:
                        broken[name] = str(error)
                        kept[name] = {}
                        break
                    continue
                finite = all(bool(x.isfinite().all()) for x in outputs.tensors())
                answers = examiner.answers(outputs)
                kept[name][each].append(answers if finite else torch.full_like(answers, -1))
                if each == APPLIED and not finite:
                    not_finite[name] += len(answers)
                if each == APPLIED and finite:
                    sound.append(outputs)
            teacher.contract = contracts[name][APPLIED]
            if i == 0 and name not in broken:
                layers[name] = compare(pool, inputs[:2], samples[:2])
        together.append(examiner.together(sound) if sound else torch.full_like(truth[-1], -1))
        tell((i + 1) / len(loader))
    teachers = {name: {each: torch.cat(parts) for each, parts in trials.items()} for name, trials in kept.items()}
    labels, students, as_one = (torch.cat(parts) for parts in (truth, said, together))
    return Answers(labels, students, classes, shape, as_one, teachers, contracts, not_finite, broken, layers)


def as_student(answers: Answers, name: str, source: InputContract) -> bool:
    """Whether a teacher is fed what the student is fed."""
    applied = complete(answers.contracts[name][APPLIED], source, answers.shape)
    return applied == complete(InputContract(source.mean, source.std), source, answers.shape)


def compare(pool: Distiller, inputs: Tensor, samples: Any) -> Layers | None:
    """Which layers a pool of one compares, through which adapter, seen on two pictures.

    Args:
        pool: Gets its adapter by this.
        inputs: The student's, ``(2, C, H, W)``.
        samples: Their labels.
    """
    if pool.feature_loss is None:
        return None
    side = pool.feature_loss.on
    pool.student_taps.start()
    losses = pool.student(inputs=inputs, data_samples=samples, mode='loss')
    state = pool.observe(inputs, samples, losses, False).state
    assert pool.adapters is not None
    adapter = cast(Any, pool.adapters[0])[0]
    student, teacher = levels(state.student, side)[0], levels(state.teachers[0], side)[0]
    with torch.no_grad():
        compared, _ = adapter(student, teacher)
    kind = '1x1 convolution' if isinstance(adapter.layer, nn.Conv2d) else 'linear'
    width, wanted = adapter.layer.weight.shape[1::-1]
    teacher_taps = pool.teacher_taps[0]
    assert teacher_taps is not None
    return Layers(
        student=_layer(pool.student_taps, side),
        student_shape=tuple(student.shape[1:]),
        teacher=_layer(teacher_taps, side),
        teacher_shape=tuple(teacher.shape[1:]),
        adapter=f'{kind}, {width} to {wanted}',
        compared=tuple(compared.shape[1:]),
    )


@torch.no_grad()
def _listen(pool: Distiller, inputs: Tensor, samples: Any) -> dict[str, Any]:
    """What the student's taps record on a batch."""
    pool.student_taps.start()
    pool.student(inputs=inputs, data_samples=samples, mode='loss')
    return pool.student_taps.take()


def _layer(taps: Taps, role: str) -> str:
    """The name of the module that a role is taken from; where a model has no such tap, its embedding stands in."""
    role = role if role in taps.layers else 'embedding'
    return f'input of {taps.layers[role]}' if role == 'embedding' else taps.layers[role]
