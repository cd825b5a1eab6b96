"""Degradations: none at severity 0, more with more of it, each sample by itself, the same from the same generator."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Generator, Tensor

from mtkd_rl.degradations import KINDS, Degradations, FusionDegradations, PictureDegradations, degrade
from mtkd_rl.errors import MTKDError

PAIRS, PICTURES = FusionDegradations(shift=True), PictureDegradations()
EVERY = [(PAIRS, kind) for kind in PAIRS.kinds] + [(PICTURES, kind) for kind in PICTURES.kinds]
STEADY = [(degradations, kind) for degradations, kind in EVERY if kind != 'infrared_shift']


def batch(degradations: Degradations, size: int = 4, height: int = 20, width: int = 24, seed: int = 0) -> Tensor:
    """Smooth and rough parts, for pairs in [0, 1]; for pictures of any mean and deviation."""
    generator = torch.manual_seed(seed)
    channels = 2 if degradations is PAIRS else 3
    rough = torch.rand(size, channels, height, width, generator=generator)
    smooth = torch.nn.functional.avg_pool2d(rough, 5, 1, 2)
    inputs = torch.where(torch.arange(width) < width // 2, rough, smooth)
    if channels == 2:
        return inputs
    return inputs * torch.tensor([0.1, 1.0, 60.0, 5.0])[:size, None, None, None] - 7


def only(degradations: Degradations, size: int, **severities: float) -> Tensor:
    return torch.tensor([[severities.get(kind, 0.0) for kind in degradations.kinds]]).repeat(size, 1)


def seeded(seed: int = 1) -> Generator:
    return torch.Generator().manual_seed(seed)


def alone(kind: str, severity: float, inputs: Tensor, degradations: Degradations = PAIRS, seed: int = 1) -> Tensor:
    return degradations(inputs, only(degradations, len(inputs), **{kind: severity}), seeded(seed))


def test_the_kinds_of_pairs() -> None:
    assert FusionDegradations().kinds == KINDS
    assert PAIRS.kinds == (*KINDS, 'infrared_shift')
    assert {kind.split('_')[0] for kind in KINDS} == {'infrared', 'visible'}
    inputs, severities = batch(PAIRS), torch.rand(4, len(KINDS), generator=seeded())
    assert torch.equal(degrade(inputs, severities, seeded()), FusionDegradations()(inputs, severities, seeded()))


@pytest.mark.parametrize('degradations', [PAIRS, PICTURES])
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_kinds_of_severity_0_leave_no_trace(degradations, data) -> None:
    """Samples and kinds at 0 are bit for bit what they are without the others' severities."""
    inputs = batch(degradations)
    shape = len(inputs), len(degradations.kinds)
    on = torch.tensor(data.draw(st.lists(st.booleans(), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])))
    severities = torch.rand(shape, generator=seeded()) * on.reshape(shape)
    out = degradations(inputs, severities, seeded())
    for number in range(len(inputs)):
        if not severities[number].any():
            assert torch.equal(out[number], inputs[number])
        others = torch.rand(shape, generator=seeded(2))
        others[number] = severities[number]
        changed = inputs.flip(0)
        changed[number] = inputs[number]
        assert torch.equal(degradations(changed, others, seeded())[number], out[number])
    if degradations is PAIRS:
        hurt = torch.tensor([kind.startswith('infrared') for kind in degradations.kinds])
        assert torch.equal(degradations(inputs, severities * hurt, seeded())[:, 1], inputs[:, 1])
        assert torch.equal(degradations(inputs, severities * ~hurt, seeded())[:, 0], inputs[:, 0])
        assert 0 <= out.min() <= out.max() <= 1


@pytest.mark.parametrize(('degradations', 'kind'), EVERY)
def test_each_kind_changes_its_picture_alone(degradations, kind) -> None:
    inputs = batch(degradations)
    out = alone(kind, 1.0, inputs, degradations)
    assert out.dtype == inputs.dtype
    assert torch.isfinite(out).all()
    changed = (out - inputs).abs().amax(dim=(2, 3)) > 0
    channels = torch.tensor([kind.startswith('infrared'), kind.startswith('visible')])
    assert (changed == (channels if degradations is PAIRS else True)).all()
    assert torch.equal(inputs, batch(degradations))  # not in place


@pytest.mark.parametrize(('degradations', 'kind'), STEADY)
@pytest.mark.parametrize('size', [(20, 24), (3, 40), (1, 1)])
def test_more_severity_is_further_away(degradations, kind, size) -> None:
    inputs = batch(degradations, height=size[0], width=size[1])
    before = torch.zeros(len(inputs))
    rounding = 1e-6 * inputs.flatten(1).norm(dim=1)
    for severity in torch.linspace(0, 1, 21).tolist():
        away = (alone(kind, severity, inputs, degradations) - inputs).flatten(1).double().norm(dim=1)
        assert (away >= before - rounding).all()
        before = away
    if size == (20, 24):
        half = (alone(kind, 0.5, inputs, degradations) - inputs).flatten(1).norm(dim=1)
        assert (half < 0.95 * before).all()
        assert (half > 0).all()


@pytest.mark.parametrize('degradations', [PAIRS, PICTURES])
def test_the_generator_alone_is_random(degradations) -> None:
    inputs = batch(degradations)
    severities = torch.rand(len(inputs), len(degradations.kinds), generator=seeded())
    generator = seeded()
    first = degradations(inputs, severities, generator)
    state = torch.get_rng_state()
    assert torch.equal(degradations(inputs, severities, seeded()), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert not torch.equal(degradations(inputs, severities, generator), first)
    used = seeded()
    degradations(inputs, severities * 0, used)  # draws as much, so that what follows is the same
    again = seeded()
    degradations(inputs, severities, again)
    assert torch.equal(used.get_state(), again.get_state())


@pytest.mark.parametrize('degradations', [PAIRS, PICTURES])
def test_severities_are_one_a_sample_and_kind(degradations) -> None:
    inputs = batch(degradations)
    kinds = len(degradations.kinds)
    with pytest.raises(MTKDError, match=rf'\(4, {kinds}\), with a column for each of {degradations.kinds[0]}'):
        degradations(inputs, torch.zeros(4, kinds + 1), seeded())
    beyond = torch.full((4, kinds), 3.0)
    assert torch.equal(degradations(inputs, beyond, seeded()), degradations(inputs, beyond / 3, seeded()))
    assert torch.equal(degradations(inputs, -beyond, seeded()), inputs)


def exact(pictures: Tensor, change: Callable[[np.ndarray], np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack([change(picture.double().numpy()) for picture in pictures]))


@pytest.mark.parametrize('severity', [0.3, 1.0])
@pytest.mark.parametrize(
    ('kind', 'change'),
    [
        ('visible_haze', lambda x, s: x * (1 - 0.8 * s) + 0.8 * (0.8 * s)),
        ('visible_gamma', lambda x, s: x ** (1 + 2 * s)),
        ('infrared_contrast', lambda x, s: x.mean() + (1 - 0.8 * s) * (x - x.mean())),
        ('visible_blur', lambda x, s: ndimage.gaussian_filter(x, 2 * s, mode='nearest', radius=6)),
        ('infrared_blur', lambda x, s: ndimage.gaussian_filter(x, 3 * s, mode='nearest', radius=9)),
    ],
)
def test_equations(kind, change, severity) -> None:
    inputs = batch(PAIRS)
    channel = 0 if kind.startswith('infrared') else 1
    wanted = exact(inputs[:, channel], lambda picture: change(picture, severity))
    torch.testing.assert_close(alone(kind, severity, inputs)[:, channel].double(), wanted, atol=2e-6, rtol=0)


def test_equations_of_ordinary_pictures() -> None:
    inputs = batch(PICTURES)
    each = dict(degradations=PICTURES, inputs=inputs)
    mean, deviation = inputs.mean(dim=(1, 2, 3), keepdim=True), inputs.std(dim=(1, 2, 3), keepdim=True, correction=0)
    torch.testing.assert_close(alone('contrast', 0.5, **each), mean + 0.6 * (inputs - mean))
    shifts = (alone('brightness', 0.5, **each) - inputs) / deviation
    torch.testing.assert_close(shifts.abs(), torch.full_like(shifts, 0.5), atol=1e-2, rtol=0)
    blurred = exact(
        inputs.flatten(0, 1), lambda picture: ndimage.gaussian_filter(picture, 0.8, mode='nearest', radius=3)
    )
    torch.testing.assert_close(alone('blur', 1.0, **each).flatten(0, 1).double(), blurred, rtol=1e-5, atol=1e-5)
    flat = torch.full((2, 3, 8, 8), 5.0)
    torch.testing.assert_close(PICTURES(flat, torch.ones(2, 5), seeded()), flat)  # nothing to change by


def test_pictures_of_another_scale_are_degraded_alike() -> None:
    inputs = batch(PICTURES)[1:2]
    severities = torch.rand(1, 5, generator=seeded())
    scaled = PICTURES(inputs * 50 + 3, severities, seeded())
    torch.testing.assert_close(scaled, PICTURES(inputs, severities, seeded()) * 50 + 3, rtol=1e-4, atol=1e-3)


def grey(value: float, size: int = 64) -> Tensor:
    return torch.full((size, 2, 32, 32), value)


def test_noise_has_the_deviation_it_says() -> None:
    for severity in (0.5, 1.0):
        infrared = alone('infrared_noise', severity, grey(0.5))[:, 0]
        assert infrared.std() * 255 == pytest.approx(20 * severity, rel=0.02)
        for value in (0.2, 0.8):
            visible = alone('visible_noise', severity, grey(value))[:, 1]
            assert visible.std() * 255 == pytest.approx(10 * severity * ((1 + value) / 2) ** 0.5, rel=0.02)
            assert visible.mean() == pytest.approx(value, abs=1e-3)
    pictures = torch.randn(64, 3, 32, 32, generator=seeded()) * 30 + 9
    added = alone('noise', 0.5, pictures, PICTURES) - pictures
    assert added.std() == pytest.approx(15, rel=0.02)
    assert (added[0] * added[1]).mean().abs() < 5  # 225 if they were the same


def test_stripes_are_columns() -> None:
    out = alone('infrared_stripes', 1.0, grey(0.5, size=200))[:, 0]
    assert torch.equal(out, out[:, :1].expand_as(out))
    assert out[:, 0].std() * 255 == pytest.approx(8, rel=0.05)


def test_light_is_too_little_or_too_much() -> None:
    factors = alone('visible_exposure', 0.4, grey(0.25, size=100))[:, 1, 0, 0] / 0.25
    torch.testing.assert_close(factors.unique(), torch.tensor([0.5, 2.0]))
    assert 25 < (factors > 1).sum() < 75
    assert (alone('visible_exposure', 1.0, grey(0.5, size=100))[:, 1].unique() <= 1).all()


@pytest.mark.parametrize(('degradations', 'kind'), [(PAIRS, 'infrared_occlusion'), (PICTURES, 'occlusion')])
def test_what_is_hidden_is_a_rectangle_of_the_mean(degradations, kind) -> None:
    inputs = batch(degradations, height=40, width=60)
    smaller = None
    for severity in (0.5, 1.0):
        out = alone(kind, severity, inputs, degradations)
        hidden = (out != inputs).any(dim=1)
        for number, where in enumerate(hidden):
            rows, columns = where.any(dim=1).nonzero()[:, 0], where.any(dim=0).nonzero()[:, 0]
            assert where[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
            assert len(rows) <= 20 * severity + 1
            assert len(columns) <= 30 * severity + 1
            channel = slice(0, 1) if degradations is PAIRS else slice(None)
            value = inputs[number, channel].mean(dim=(1, 2))
            torch.testing.assert_close(out[number, channel][:, where], value[:, None].expand(-1, int(where.sum())))
        if smaller is not None:
            assert not (smaller & ~hidden).any()
        smaller = hidden
    assert len({where.float().argmax().item() for where in hidden.flatten(1)}) > 1  # not all at the same place


def test_the_infrared_is_moved_by_so_many_pixels() -> None:
    y, x = torch.meshgrid(torch.arange(40.0), torch.arange(50.0), indexing='ij')
    for picture, axis in ((y / 50, 0), (x / 50, 1)):
        inputs = torch.stack([picture, picture])[None].repeat(50, 1, 1, 1)
        moved = (alone('infrared_shift', 0.5, inputs)[:, 0] - picture)[:, 10:30, 10:40] * 50
        ways = moved.mean(dim=(1, 2))
        torch.testing.assert_close(moved, ways[:, None, None].expand_as(moved), atol=1e-3, rtol=0)
        assert ways.abs().max() <= 2 + 1e-3
        assert ways.max() > 1.8
        assert ways.min() < -1.8
        if axis == 0:
            vertical = ways
    torch.testing.assert_close(vertical.square() + ways.square(), torch.full((50,), 4.0), atol=1e-2, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs CUDA')
@pytest.mark.parametrize('degradations', [PAIRS, PICTURES])
def test_on_a_gpu(degradations) -> None:
    inputs = batch(degradations)
    severities = torch.rand(len(inputs), len(degradations.kinds), generator=seeded())
    severities[0] = 0
    out = degradations(inputs.cuda(), severities.cuda(), seeded())
    torch.testing.assert_close(out.cpu(), degradations(inputs, severities, seeded()), atol=1e-4, rtol=1e-4)
    assert torch.equal(out[0].cpu(), inputs[0])
    own = [degradations(inputs.cuda(), severities.cuda(), Generator('cuda').manual_seed(0)) for _ in range(2)]
    assert torch.equal(*own)
