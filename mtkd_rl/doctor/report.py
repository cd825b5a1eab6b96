"""What the doctor finds out: plain data, which is shown, judged, or written as JSON.

Metrics lie in [0, 1]. ``z`` is the paired test of two answers to the same pictures, see ``metrics.paired_z``.
"""

from dataclasses import dataclass, field
from typing import NamedTuple


class Trial(NamedTuple):
    """Another input contract that a teacher was tried with.

    Attributes:
        name: What it is, such as ``student's``.
        setting: What to write into the teacher's entry to have it.
        metric: With it, on the same pictures.
        z: Above 0 where it is better than the contract that will be applied.
    """

    name: str
    setting: str
    metric: float
    z: float


class Order(NamedTuple):
    """Another order of a teacher's classes, estimated on half of the pictures and tried on the other half.

    Attributes:
        classes: The student's class of each of the teacher's outputs, as far as the pictures show it, else its own
            number.
        before: Metric on the other half, where its labels were seen in the first one.
        after: The same in this order.
        z: Above 0 where it is better.
        moved_before: Metric on the labels alone that have another place in this order.
        moved_after: The same in this order.
    """

    classes: tuple[int, ...]
    before: float
    after: float
    z: float
    moved_before: float
    moved_after: float


class Layers(NamedTuple):
    """What the feature loss compares.

    Attributes:
        student: Name of the student's layer.
        student_shape: Of one sample.
        teacher: Name of the teacher's layer.
        teacher_shape: Of one sample.
        adapter: Kind and widths.
        compared: Shape of one sample at which both are compared.
    """

    student: str
    student_shape: tuple[int, ...]
    teacher: str
    teacher_shape: tuple[int, ...]
    adapter: str
    compared: tuple[int, ...]


class Cost(NamedTuple):
    """What a training step costs.

    Attributes:
        name: Which teachers are in it.
        ms: Median milliseconds of a step.
        memory_mib: Peak of what a step takes above models and optimizer.
        weights_mib: Of the teachers.
    """

    name: str
    ms: float
    memory_mib: float
    weights_mib: float


class Finding(NamedTuple):
    """One line of the verdict.

    Attributes:
        level: ``red``, ``yellow`` or ``green``.
        teacher: Its name.
        text: What, why, what to do.
    """

    level: str
    teacher: str
    text: str


@dataclass
class TeacherReport:
    """What is known of one teacher.

    Attributes:
        name: Its name in the pool.
        source: Where it comes from.
        broken: Why it cannot be built or asked; ``None`` where it can.
        random: Whether its entry asks for random weights.
        metric: On the pictures; ``None`` where it is broken.
        not_finite: Number of pictures in batches where its outputs were not finite.
        claim: The metric that its checkpoint, weights or config claim.
        claimed_by: Who claims it.
        parameters: Number of named parameters and buffers.
        missing: Keys that its checkpoint lacks.
        unexpected: Keys that the model lacks.
        mismatched: Keys of another shape.
        classes: Number of classes that it names, 0 where it names none.
        common: Number of these that the student's data name too.
        order_by_name: As ``Order.classes``, where both name the same classes in another order.
        contract: The input contract that will be applied, by field.
        as_student: Whether that is how the student is fed.
        trials: Other contracts.
        order: The best order of its classes, where that is another one.
        layers: What is compared; ``None`` without a feature loss.
    """

    name: str
    source: str = ''
    broken: str | None = None
    random: bool = False
    metric: float | None = None
    not_finite: int = 0
    claim: float | None = None
    claimed_by: str = ''
    parameters: int = 0
    missing: tuple[str, ...] = ()
    unexpected: tuple[str, ...] = ()
    mismatched: tuple[str, ...] = ()
    classes: int = 0
    common: int = 0
    order_by_name: tuple[int, ...] | None = None
    contract: dict[str, object] = field(default_factory=dict)
    as_student: bool = True
    trials: list[Trial] = field(default_factory=list)
    order: Order | None = None
    layers: Layers | None = None


@dataclass
class Report:
    """All of it.

    Attributes:
        config: Its name.
        device: Where it was examined.
        metric: Name of the metric.
        pictures: How many were looked at.
        classes: Of the student.
        chance: The metric of who knows nothing but how often each class occurs.
        together: That of the teachers as one, the mean of their predictions: about what a student can hope for;
            ``None`` where not two of them can be asked.
        student: The student's own metric.
        student_weights: Where the student's weights are from.
        teachers: In the order of the pool.
        costs: Empty where no step was measured.
        findings: The verdict, worst first.
    """

    config: str
    device: str
    metric: str
    pictures: int
    classes: int
    chance: float
    together: float | None
    student: float
    student_weights: str
    teachers: list[TeacherReport]
    costs: list[Cost] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def red(self) -> bool:
        """Whether a teacher has a red line."""
        return any(finding.level == 'red' for finding in self.findings)
