"""The mathematics of knowledge against formulas written out by hand, and what must hold for any input."""

import doctest
import importlib
import math
from functools import partial

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mtkd_rl.errors import MTKDError
from mtkd_rl.losses import build_loss, functional
from mtkd_rl.losses.functional import (
    channel_wise_kl,
    channel_wise_logits,
    cosine,
    dist,
    dkd,
    kd,
    kl_divergence,
    mse,
    pkd,
    pool,
    relational_similarity,
    standardise,
)

B, C = 5, 4
TARGET = torch.eye(C, dtype=torch.float64)[[0, 3, 1, 1, 2]]
LOGIT = {
    'kl': kl_divergence,
    'kd': partial(kd, temperature=3.0),
    'dkd': lambda s, t: dkd(s, t, TARGET[: len(s)], temperature=2.0, alpha=0.7, beta=3.0),
    'dist': partial(dist, temperature=2.0, beta=1.5, gamma=0.5),
}
FEATURE = {'mse': mse, 'channel_wise_kl': partial(channel_wise_kl, temperature=2.0), 'pkd': pkd}
SHAPES = [(B, 3, 2, 4), (B, 6, 3), (B, 7)]
EVERY = [
    ('kl', LOGIT['kl'], (B, C)),
    ('kd', LOGIT['kd'], (B, C)),
    # The label follows the sample here, wherever it stands in the batch.
    ('dkd', lambda s, t: dkd(s, t, F.one_hot(t.argmax(1), C), temperature=2.0), (B, C)),
    ('dist', LOGIT['dist'], (B, C)),
    *((name, loss, shape) for name, loss in FEATURE.items() for shape in SHAPES),
    ('cosine', cosine, (B, 7)),
    ('relational', relational_similarity, (B, 7)),
]
every_loss = pytest.mark.parametrize(
    ('loss', 'shape'), [entry[1:] for entry in EVERY], ids=[str(e[::2]) for e in EVERY]
)
# Enough examples to be worth it, no deadline because the machine may be busy.
some = settings(max_examples=40, deadline=None)


def pair(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    student, teacher = 2 * torch.randn(2, *shape, generator=generator, dtype=torch.float64)
    return student.to(dtype), teacher.to(dtype)


def logits(rows: int = B, most: float = 30.0) -> st.SearchStrategy[Tensor]:
    elements = st.floats(-most, most, allow_nan=False, width=32)
    return npst.arrays(np.float64, (rows, C), elements=elements).map(torch.from_numpy)


# ---------------------------------------------------------------- references, one number at a time


def softmax_of(values, temperature=1.0) -> list[float]:
    powers = [math.exp(float(v) / temperature) for v in values]
    return [power / sum(powers) for power in powers]


def kl_of(p, q) -> float:
    return sum(a * math.log(a / b) for a, b in zip(p, q))


def pearson_of(x, y) -> float:
    return float(np.corrcoef(np.asarray(x), np.asarray(y))[0, 1])


def positions_of(feature: Tensor) -> np.ndarray:
    """``(B, D, positions)``, by loops over what the layout of each rank means."""
    array = feature.detach().double().numpy()
    if array.ndim == 2:
        return array[:, :, None]
    if array.ndim == 3:
        return np.stack([sample.T for sample in array])
    return np.stack([[channel.ravel() for channel in sample] for sample in array])


# ---------------------------------------------------------------- logits


def test_kl_divergence_by_hand() -> None:
    p, q = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, math.log(3.0)]])
    assert kl_divergence(p, q).item() == pytest.approx(math.log(2 / math.sqrt(3)), rel=1e-6)
    assert kl_divergence(q, p).item() == pytest.approx(0.25 * math.log(0.5) + 0.75 * math.log(1.5), rel=1e-6)
    # At T = 2 the second becomes (1, sqrt 3) / (1 + sqrt 3).
    root = math.sqrt(3.0)
    expected = 0.5 * math.log((1 + root) / 2) + 0.5 * math.log((1 + root) / (2 * root))
    assert kl_divergence(p, q, temperature=2.0).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('temperature', [1.0, 4.0, 0.5])
def test_kd_is_t_squared_kl_from_the_student(temperature: float) -> None:
    student, teacher = pair(B, C)
    expected = [
        temperature**2 * kl_of(softmax_of(t, temperature), softmax_of(s, temperature)) for s, t in zip(student, teacher)
    ]
    assert kd(student, teacher, temperature).tolist() == pytest.approx(expected, rel=1e-9)
    batchmean = F.kl_div(
        F.log_softmax(student / temperature, 1), F.softmax(teacher / temperature, 1), reduction='batchmean'
    )
    torch.testing.assert_close(kd(student, teacher, temperature).mean(), temperature**2 * batchmean)


def test_kd_gradient_is_the_textbook_one() -> None:
    student, teacher = pair(B, C)
    student.requires_grad_()
    kd(student, teacher, 4.0).sum().backward()
    torch.testing.assert_close(student.grad, 4.0 * ((student / 4).softmax(1) - (teacher / 4).softmax(1)).detach())


@pytest.mark.parametrize(('temperature', 'alpha', 'beta'), [(1.0, 1.0, 8.0), (4.0, 0.3, 2.0), (2.0, 0.0, 1.0)])
def test_dkd_is_the_published_formula(temperature: float, alpha: float, beta: float) -> None:
    student, teacher = pair(B, C)
    expected = []
    for s, t, label in zip(student, teacher, TARGET.argmax(1).tolist()):
        p, q = softmax_of(t, temperature), softmax_of(s, temperature)
        tckd = kl_of((p[label], 1 - p[label]), (q[label], 1 - q[label]))
        others = [c for c in range(C) if c != label]
        nckd = kl_of([p[c] / (1 - p[label]) for c in others], [q[c] / (1 - q[label]) for c in others])
        expected.append(temperature**2 * (alpha * tckd + beta * nckd))
    assert dkd(student, teacher, TARGET, temperature, alpha, beta).tolist() == pytest.approx(expected, rel=1e-9)


def test_dkd_recoupled_is_kd() -> None:
    student, teacher = pair(B, C)
    for i in range(B):
        row = slice(i, i + 1)
        beta = 1 - (teacher[row] / 2).softmax(1)[0, TARGET[i].argmax()].item()
        recoupled = dkd(student[row], teacher[row], TARGET[row], temperature=2.0, alpha=1.0, beta=beta)
        torch.testing.assert_close(recoupled, kd(student[row], teacher[row], 2.0))


def test_dkd_takes_the_class_of_the_larger_share_of_a_mixed_label() -> None:
    student, teacher = pair(2, C)
    mixed = torch.tensor([[0.3, 0.0, 0.7, 0.0], [0.0, 0.5, 0.0, 0.5]])
    hard = F.one_hot(torch.tensor([2, 1]), C).float()
    assert torch.equal(dkd(student, teacher, mixed, 4.0), dkd(student, teacher, hard, 4.0))
    other = F.one_hot(torch.tensor([0, 3]), C).float()
    assert not torch.allclose(dkd(student, teacher, mixed, 4.0), dkd(student, teacher, other, 4.0))


@pytest.mark.parametrize(('temperature', 'beta', 'gamma'), [(1.0, 1.0, 1.0), (4.0, 2.0, 0.5), (2.0, 0.0, 1.0)])
def test_mean_of_dist_is_the_published_loss(temperature: float, beta: float, gamma: float) -> None:
    student, teacher = pair(B, C)
    p = np.array([softmax_of(row, temperature) for row in student])
    q = np.array([softmax_of(row, temperature) for row in teacher])
    inter = sum(1 - pearson_of(p[i], q[i]) for i in range(B)) / B
    intra = sum(1 - pearson_of(p[:, c], q[:, c]) for c in range(C)) / C
    expected = temperature**2 * (beta * inter + gamma * intra)
    assert dist(student, teacher, temperature, beta, gamma).mean().item() == pytest.approx(expected, rel=1e-9)


def test_share_of_dist_by_hand() -> None:
    # Two samples, two classes: a column (1/2, 1/4) of p is centred and scaled to (1, -1) / sqrt 2, one of q to (-1, 1).
    student = torch.tensor([[1.0, 1.0], [1.0, 3.0]], dtype=torch.float64).log()
    teacher = student.flip(0)
    assert dist(student, teacher, beta=0.0).tolist() == pytest.approx([2.0, 2.0])
    # A third sample in the middle of both: it agrees with the teacher, so its share is 0.
    student = torch.tensor([[0.5, 0.5], [0.25, 0.75], [0.375, 0.625]], dtype=torch.float64).log()
    assert dist(student, student[[1, 0, 2]], beta=0.0).tolist() == pytest.approx([3.0, 3.0, 0.0], abs=1e-12)


def test_dist_of_a_batch_without_an_intra_class_relation() -> None:
    student, teacher = pair(1, C)
    p, q = softmax_of(student[0]), softmax_of(teacher[0])
    assert dist(student, teacher, gamma=9.0).item() == pytest.approx(1 - pearson_of(p, q))
    # A class that is constant over the batch has no correlation, as in the official code: 1 - 0.
    twice = student.expand(2, C)
    assert dist(twice, pair(2, C, seed=1)[1], beta=0.0).mean().item() == pytest.approx(1.0)
    assert dist(twice, twice, beta=0.0).tolist() == pytest.approx([1.0, 1.0])


@some
@given(logits(), st.floats(0.05, 0.9))
def test_dist_forgives_an_affine_change_of_the_predictions(teacher: Tensor, share: float) -> None:
    q = (teacher / 10).softmax(1) + torch.linspace(0.1, 0.5, B, dtype=torch.float64)[:, None] * TARGET
    q = q / q.sum(1, keepdim=True)
    p = (1 - share) * q + share / C
    torch.testing.assert_close(dist(p.log(), q.log()), torch.zeros(B, dtype=torch.float64), atol=1e-7, rtol=0)


@pytest.mark.parametrize('name', ['kl', 'kd', 'dkd'])
@some
@given(student=logits(), teacher=logits(), classes=st.integers(0, C - 1), gap=st.floats(1.0, 5.0))
def test_divergences_are_zero_for_equal_predictions_alone(name, student, teacher, classes, gap) -> None:
    loss = LOGIT[name]
    assert (loss(student, teacher) >= 0).all()
    torch.testing.assert_close(loss(teacher, teacher), torch.zeros(B, dtype=torch.float64))
    moderate = teacher / 10
    moved = moderate.clone()
    moved[:, classes] += gap
    assert (loss(moved, moderate) > 1e-4).all()


@some
@given(logits(), logits())
def test_dist_is_not_negative(student: Tensor, teacher: Tensor) -> None:
    assert (dist(student, teacher) >= -1e-12).all()
    assert dist(student, student).mean() <= dist(student, teacher).mean() + 1e-12


@pytest.mark.parametrize('name', list(LOGIT))
@some
@given(student=logits(), teacher=logits(), shift=st.floats(-100, 100))
def test_logits_matter_up_to_a_shift(name: str, student: Tensor, teacher: Tensor, shift: float) -> None:
    # Probabilities near 1e-26 are rounding noise to a correlation, so DIST is given milder logits.
    student, teacher = student / 5, teacher / 5
    by_sample = shift * torch.arange(1, B + 1, dtype=torch.float64)[:, None] / B
    moved = LOGIT[name](student + by_sample, teacher - shift)
    torch.testing.assert_close(moved, LOGIT[name](student, teacher), atol=1e-8, rtol=1e-8)


@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_channel_wise_logits_is_the_published_formula_over_what_counts(temperature: float) -> None:
    student, teacher = pair(B, 9, C)
    weight = (torch.arange(B * 9).reshape(B, 9) % 4).double()
    weight[1] = 0.0
    expected = []
    for s, t, counts in zip(student.numpy(), teacher.numpy(), weight.numpy() > 0):
        maps = [kl_of(softmax_of(b, temperature), softmax_of(a, temperature)) for a, b in zip(s[counts].T, t[counts].T)]
        expected.append(temperature**2 * sum(maps) / len(maps) if counts.any() else 0.0)
    assert channel_wise_logits(student, teacher, weight, temperature).tolist() == pytest.approx(expected)
    assert not expected[1]


def test_channel_wise_logits_of_what_does_not_count_teach_nothing() -> None:
    student, teacher = pair(2, 9, C, dtype=torch.float32)
    weight = torch.tensor([[1.0, 0.5] + 7 * [0.0], 9 * [0.0]])
    with torch.no_grad():
        student[0, 2:], teacher[0, 2:] = 1e30, -1e30
    student.requires_grad_()
    channel_wise_logits(student, teacher, weight, 1.0).sum().backward()
    assert student.grad.isfinite().all()
    assert not student.grad[weight == 0].any()
    assert student.grad[0, :2].all()


def test_channel_wise_logits_forget_the_level_of_a_class() -> None:
    student, teacher = pair(B, 9, C)
    weight = torch.ones(B, 9)
    level = torch.arange(C).double()
    moved = channel_wise_logits(student + level, teacher - level, weight, 2.0)
    torch.testing.assert_close(moved, channel_wise_logits(student, teacher, weight, 2.0))


def test_standardise_is_the_z_score() -> None:
    z = standardise(pair(B, C)[0])
    deviation, mean = torch.std_mean(z, dim=1)
    torch.testing.assert_close(mean, torch.zeros(B, dtype=torch.float64))
    torch.testing.assert_close(deviation, torch.ones(B, dtype=torch.float64))


@given(st.floats(0.01, 100), st.floats(-100, 100))
def test_standardise_forgets_scale_and_shift(scale: float, shift: float) -> None:
    student, _ = pair(B, C)
    torch.testing.assert_close(standardise(scale * student + shift), standardise(student), atol=1e-8, rtol=1e-8)


EXTREME = {
    'huge': [[1e30, -1e30, 0.0, 5.0]],
    'far apart': [[6e4, -6e4, 3.0, 0.0]],
    'equal': [[7.0, 7.0, 7.0, 7.0]],
    'tiny probabilities': [[0.0, -80.0, -95.0, -200.0]],
}


@pytest.mark.parametrize('standardised', [False, True])
@pytest.mark.parametrize('name', list(LOGIT))
@pytest.mark.parametrize('values', EXTREME.values(), ids=EXTREME.keys())
def test_extreme_logits_stay_finite(values: list, name: str, standardised: bool) -> None:
    extreme = torch.tensor(values).expand(3, C)
    usual = pair(3, C, dtype=torch.float32)[0]
    mixed = torch.cat([extreme[:1], usual[1:]])
    for one, other in [(extreme, usual), (usual, extreme), (mixed, extreme), (extreme, extreme.flip(1))]:
        student = one.clone().requires_grad_()
        loss = LOGIT[name](*(standardise(x) if standardised else x for x in (student, other)))
        assert loss.isfinite().all()
        loss.sum().backward()
        assert student.grad.isfinite().all()


# ---------------------------------------------------------------- features


@pytest.mark.parametrize('shape', SHAPES)
def test_mse_is_each_samples_mean(shape: tuple[int, ...]) -> None:
    student, teacher = pair(*shape)
    expected = [float(((s - t) ** 2).sum()) / s.size for s, t in zip(student.numpy(), teacher.numpy())]
    assert mse(student, teacher).tolist() == pytest.approx(expected)
    torch.testing.assert_close(mse(student, teacher).mean(), F.mse_loss(student, teacher))


@pytest.mark.parametrize('shape', SHAPES[:2])
@pytest.mark.parametrize('temperature', [1.0, 4.0])
def test_channel_wise_kl_is_the_published_formula(shape: tuple[int, ...], temperature: float) -> None:
    student, teacher = pair(*shape)
    expected = []
    for s, t in zip(positions_of(student), positions_of(teacher)):
        channels = [kl_of(softmax_of(b, temperature), softmax_of(a, temperature)) for a, b in zip(s, t)]
        expected.append(temperature**2 * sum(channels) / len(channels))
    assert channel_wise_kl(student, teacher, temperature).tolist() == pytest.approx(expected)


def test_channel_wise_kl_of_vectors_compares_their_elements() -> None:
    student, teacher = pair(B, 7)
    torch.testing.assert_close(channel_wise_kl(student, teacher, 4.0), kd(student, teacher, 4.0))


@pytest.mark.parametrize('shape', SHAPES)
def test_pkd_is_the_published_formula(shape: tuple[int, ...]) -> None:
    student, teacher = pair(*shape)
    s, t = positions_of(student), positions_of(teacher)
    squares = np.zeros_like(s)
    correlations = []
    for c in range(s.shape[1]):
        a, b = s[:, c], t[:, c]
        squares[:, c] = ((a - a.mean()) / a.std(ddof=1) - (b - b.mean()) / b.std(ddof=1)) ** 2 / 2
        correlations.append(pearson_of(a.ravel(), b.ravel()))
    assert pkd(student, teacher).tolist() == pytest.approx([sample.mean() for sample in squares], rel=1e-9)
    m = s.shape[0] * s.shape[2]
    assert pkd(student, teacher).mean().item() == pytest.approx((1 - 1 / m) * (1 - np.mean(correlations)), rel=1e-9)


@pytest.mark.parametrize('shape', SHAPES)
@some
@given(scales=st.lists(st.floats(0.01, 100), min_size=7, max_size=7), shift=st.floats(-100, 100))
def test_pkd_forgives_an_affine_change_of_each_channel(shape, scales, shift) -> None:
    student, teacher = pair(*shape)
    axis = 2 if len(shape) == 3 else 1
    scale = torch.tensor(scales[: shape[axis]], dtype=torch.float64)
    scale = scale.reshape([-1 if dim == axis else 1 for dim in range(len(shape))])
    torch.testing.assert_close(pkd(scale * student + shift, teacher), pkd(student, teacher), atol=1e-8, rtol=1e-7)
    torch.testing.assert_close(pkd(scale * teacher + shift, teacher), torch.zeros(B).double(), atol=1e-12, rtol=0)


@pytest.mark.parametrize('dtype', [torch.float16, torch.float32, torch.float64])
def test_pkd_of_constant_channels(dtype: torch.dtype) -> None:
    varying = pair(2, 3, 4, 4, dtype=dtype)[1]
    for constant in (torch.zeros_like(varying), torch.full_like(varying, 0.1)):
        student = constant.clone().requires_grad_()
        loss = pkd(student, varying)
        assert loss.mean().item() == pytest.approx(0.5 * 31 / 32, rel=1e-3)
        loss.sum().backward()
        assert student.grad.isfinite().all()
        # A dead channel must not send back a gradient of 1 / epsilon.
        assert student.grad.abs().max() < 10
        torch.testing.assert_close(pkd(constant, constant + 1), torch.zeros_like(loss))


def test_pkd_of_a_batch_of_one() -> None:
    vector = torch.tensor([[1.0, 2.0, 3.0]], requires_grad=True)
    loss = pkd(vector, torch.tensor([[3.0, 1.0, 2.0]]))
    loss.sum().backward()
    assert loss.tolist() == [0.0]
    assert vector.grad.tolist() == [[0.0, 0.0, 0.0]]
    student, teacher = pair(1, 3, 4, 4)
    expected = [1 - pearson_of(student[0, c].ravel(), teacher[0, c].ravel()) for c in range(3)]
    assert pkd(student, teacher).item() == pytest.approx(15 / 16 * np.mean(expected))


def test_cosine_is_one_minus_the_cosine() -> None:
    student, teacher = pair(B, 7)
    torch.testing.assert_close(cosine(student, teacher), 1 - F.cosine_similarity(student, teacher))
    torch.testing.assert_close(cosine(3 * student, student), torch.zeros(B).double())
    torch.testing.assert_close(cosine(-student, student), torch.full((B,), 2.0).double())
    zero = torch.zeros(B, 7, dtype=torch.float64, requires_grad=True)
    loss = cosine(zero, teacher)
    loss.sum().backward()
    assert loss.tolist() == [1.0] * B
    assert zero.grad.norm(dim=1).tolist() == pytest.approx([1.0] * B)


@pytest.mark.parametrize('shape', SHAPES)
def test_pool_is_the_mean_over_positions(shape: tuple[int, ...]) -> None:
    feature = pair(*shape)[0]
    expected = [[channel.mean() for channel in sample] for sample in positions_of(feature)]
    np.testing.assert_allclose(pool(feature).numpy(), expected)


def test_relational_similarity_is_the_formula() -> None:
    student, teacher = pair(B, 7)
    teacher = teacher[:, :3]
    s, t = student.numpy(), teacher.numpy()

    def cos(x: np.ndarray, y: np.ndarray) -> float:
        return float(x @ y / math.sqrt((x @ x) * (y @ y)))

    expected = []
    for i in range(B):
        others = [j for j in range(B) if j != i]
        expected.append(cos(np.array([cos(s[i], s[j]) for j in others]), np.array([cos(t[i], t[j]) for j in others])))
    assert relational_similarity(student, teacher).tolist() == pytest.approx(expected)


@some
@given(st.integers(0, 10_000), st.floats(0.01, 100))
def test_relational_similarity_sees_relations_alone(seed: int, scale: float) -> None:
    student, teacher = pair(B, 7, seed=seed)
    rotation = torch.linalg.qr(pair(7, 7, seed=seed + 1)[0])[0]
    similarity = relational_similarity(student, teacher)
    assert similarity.abs().max() <= 1
    torch.testing.assert_close(relational_similarity(scale * student @ rotation, teacher), similarity)
    torch.testing.assert_close(relational_similarity(student, student @ rotation), torch.ones(B).double())


def test_relational_similarity_at_its_edges() -> None:
    one = relational_similarity(torch.ones(1, 3, dtype=torch.bfloat16), torch.ones(1, 5))
    assert one.dtype == torch.float32
    assert one.tolist() == [1.0]
    same = pair(200, 7, dtype=torch.float32)[0]
    assert (relational_similarity(same, same) <= 1).all()
    orthogonal, teacher = torch.eye(4, requires_grad=True), pair(4, 4, dtype=torch.float32)[0]
    similarity = relational_similarity(orthogonal, teacher)
    similarity.sum().backward()
    assert similarity.tolist() == [0.0] * 4
    assert orthogonal.grad.isfinite().all()


# ---------------------------------------------------------------- what holds for all


@every_loss
def test_gradients_are_those_of_the_function(loss, shape) -> None:
    student, teacher = pair(*shape)
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher), student.requires_grad_())


@every_loss
def test_order_of_the_batch_does_not_matter(loss, shape) -> None:
    student, teacher = pair(*shape)
    order = torch.tensor([3, 0, 4, 2, 1])
    torch.testing.assert_close(loss(student[order], teacher[order]), loss(student, teacher)[order])


@every_loss
def test_half_types_are_computed_in_float32(loss, shape) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        student, teacher = pair(*shape, dtype=dtype)
        expected = loss(student.float(), teacher.float())
        assert expected.shape == (B,)
        for other in (teacher, teacher.float()):
            actual = loss(student, other)
            assert actual.dtype == torch.float32
            assert torch.equal(actual, expected)
        with torch.autocast('cpu', dtype=torch.bfloat16):
            torch.testing.assert_close(loss(student.float(), teacher.float()), expected)


@pytest.mark.parametrize('function', [standardise, pool])
def test_half_types_are_prepared_in_float32(function) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        values = pair(B, C, dtype=dtype)[0]
        assert function(values).dtype == torch.float32
        assert torch.equal(function(values), function(values.float()))


@every_loss
def test_layout_in_memory_does_not_matter(loss, shape) -> None:
    student, teacher = pair(*shape)
    strided = student.transpose(0, -1).contiguous().transpose(0, -1)
    assert not strided.is_contiguous()
    torch.testing.assert_close(loss(strided, teacher), loss(student, teacher))


# ---------------------------------------------------------------- from a config


@pytest.mark.parametrize(
    ('cfg', 'reference'),
    [
        ({'type': 'KD'}, lambda s, t: kd(s, t, 4.0)),
        ({'type': 'KD', 'standardise': True}, lambda s, t: kd(standardise(s), standardise(t), 4.0)),
        ({'type': 'DKD'}, lambda s, t: dkd(s, t, TARGET, 4.0, 1.0, 8.0)),
        (
            {'type': 'mtkd_rl.DKD', 'alpha': 2.0, 'beta': 0.5, 'standardise': True},
            lambda s, t: dkd(standardise(s), standardise(t), TARGET, 4.0, 2.0, 0.5),
        ),
        ({'type': 'DIST'}, lambda s, t: dist(s, t, 4.0, 1.0, 1.0)),
        (
            {'type': 'DIST', 'beta': 3.0, 'gamma': 0.1, 'standardise': True},
            lambda s, t: dist(standardise(s), standardise(t), 4.0, 3.0, 0.1),
        ),
    ],
    ids=str,
)
def test_logit_losses_from_a_config(cfg: dict, reference) -> None:
    student, teacher = pair(B, C)
    before = dict(cfg)
    loss = build_loss(cfg, 'logit')
    assert cfg == before
    assert loss.kind == 'logit'
    assert torch.equal(loss(student, teacher, TARGET, 4.0), reference(student, teacher))


@pytest.mark.parametrize(
    ('cfg', 'on', 'reference'),
    [
        ({'type': 'MSE'}, 'feature', mse),
        ({'type': 'ChannelWiseKL'}, 'feature', partial(channel_wise_kl, temperature=1.0)),
        ({'type': 'ChannelWiseKL', 'temperature': 4.0}, 'feature', partial(channel_wise_kl, temperature=4.0)),
        ({'type': 'PKD'}, 'feature', pkd),
        ('PKD', 'feature', pkd),
        ({'type': 'Cosine'}, 'embedding', cosine),
    ],
    ids=str,
)
def test_feature_losses_from_a_config(cfg: dict, on: str, reference) -> None:
    student, teacher = pair(B, 7)
    loss = build_loss(cfg, 'feature')
    assert (loss.kind, loss.on) == ('feature', on)
    assert torch.equal(loss(student, teacher), reference(student, teacher))


class Squared:
    """A user's own loss, with nothing of ours but the protocol."""

    kind = 'feature'
    on = 'embedding'

    def __call__(self, student: Tensor, teacher: Tensor) -> Tensor:
        return (student - teacher).square().sum(1)


def test_a_class_or_its_path_is_a_type_too() -> None:
    student, teacher = pair(B, 7)
    for kind in (Squared, f'{__name__}.Squared'):
        torch.testing.assert_close(build_loss({'type': kind}, 'feature')(student, teacher), 7 * mse(student, teacher))


@pytest.mark.parametrize(
    ('cfg', 'kind', 'said'),
    [
        ({'type': 'DKDD'}, 'logit', ['logit_loss', "'DKDD'", 'DKD']),
        ({'type': 'Pkd'}, 'feature', ['feature_loss', "'Pkd'", 'PKD']),
        ({'type': 'no.such.place'}, 'feature', ['feature_loss', "'no.such.place'", 'MSE']),
        ({'type': 'MSE'}, 'logit', ['logit_loss', "'MSE'", 'KD, DKD, DIST']),
        ({'type': 'KD'}, 'feature', ['feature_loss', "'KD'", 'MSE, ChannelWiseKL, PKD, Cosine']),
        ({'type': 'torch.nn.MSELoss'}, 'feature', ['feature_loss', 'MSELoss', 'MSE']),
        ({'temperature': 1.0}, 'logit', ['logit_loss', 'dict(type=...)', 'KD']),
        (1, 'feature', ['feature_loss', 'dict(type=...)', 'PKD']),
        ({'type': 'DKD', 'alhpa': 2.0}, 'logit', ['logit_loss', "'DKD'", "'alhpa'", 'alpha']),
        ({'type': 'ChannelWiseKL', 'temperature': 0}, 'feature', ['feature_loss', 'temperature=0', 'above 0']),
    ],
    ids=str,
)
def test_a_wrong_config_is_told_in_one_line(cfg: dict, kind: str, said: list[str]) -> None:
    with pytest.raises(MTKDError) as error:
        build_loss(cfg, kind)
    message = str(error.value)
    assert '\n' not in message
    assert [text for text in said if text not in message] == []


@pytest.mark.parametrize(
    'module', ['functional.numerics', 'functional.logits', 'functional.features', 'base', 'adapters']
)
def test_examples_of_the_docstrings(module: str) -> None:
    result = doctest.testmod(importlib.import_module(f'mtkd_rl.losses.{module}'))
    assert result.attempted > 0
    assert result.failed == 0


def test_every_function_is_offered() -> None:
    assert all(callable(getattr(functional, name)) for name in functional.__all__)
