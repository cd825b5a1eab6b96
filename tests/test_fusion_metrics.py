"""Fusion metrics by hand, by explicit sums over pixels, at their limits, and by what has to hold for any picture."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.metrics import LOWER_IS_BETTER, NAMES, PROTOCOLS, score, trivial

CONTRAST = ['EN', 'SD', 'SF', 'AG']


def one(metric: str, fused, infrared=None, visible=None, protocol: str = 'mtkd') -> float:
    """A metric of pictures given as nested lists; sources that do not matter are the fused picture."""
    pictures = [fused if picture is None else picture for picture in (fused, infrared, visible)]
    return score(*(np.array(picture, dtype=np.uint8) for picture in pictures), protocol, [metric])[metric]


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


# ---- by hand


def test_entropy_of_a_half_and_two_quarters():
    assert one('EN', [[0, 0], [1, 255]]) == 1.5


def test_standard_deviation():
    assert one('SD', [[0, 10], [10, 20]]) == pytest.approx(math.sqrt(50))


def test_spatial_frequency():
    assert one('SF', [[0, 3], [4, 8]]) == pytest.approx(math.sqrt((9 + 16) / 2 + (16 + 25) / 2))


def test_average_gradient():
    # the middle column: (6 - 0) / 2; the others: one-sided
    assert one('AG', [[0, 2, 6], [0, 2, 6]]) == pytest.approx((2 + 3 + 4) / 3 / math.sqrt(2))


def test_mutual_information_of_a_copy_and_of_something_independent():
    assert one('MI', [[0, 9], [0, 9]], [[7, 3], [7, 3]], [[0, 0], [5, 5]]) == pytest.approx(1)


def test_correlation_coefficient():
    # deviations (-3, -1, 1, 3) / 2 of the one and (-1, -3, 3, 1) / 2 of the other: r = 12 / 20
    assert one('CC', [[0, 1], [2, 3]], [[5, 7], [9, 11]], [[1, 0], [3, 2]]) == pytest.approx((1 + 0.6) / 2)


def test_sum_of_correlations_of_differences():
    assert one('SCD', [[1, 4], [8, 10]], [[0, 1], [2, 3]], [[1, 3], [6, 7]]) == pytest.approx(2)
    # F - visible = (1, 1, 1, 1) says nothing of the infrared; F - infrared = (0, 1, 1, 0) against (0, 1, 2, 1)
    assert one('SCD', [[1, 2], [3, 2]], [[1, 1], [2, 2]], [[0, 1], [2, 1]]) == pytest.approx(1 / math.sqrt(2))


def test_peak_signal_to_noise():
    flat = np.zeros((2, 2))
    assert one('PSNR', flat, flat + 3, flat + 4) == pytest.approx(10 * math.log10(255**2 / 12.5))


def test_ssim_of_flat_pictures_compares_their_levels():
    flat, c1 = np.full((11, 12), 100), 2.55**2
    expected = [(2 * 100 * level + c1) / (100**2 + level**2 + c1) for level in (110, 40)]
    assert one('SSIM', flat, flat + 10, flat - 60) == pytest.approx(sum(expected))


def test_vif_of_half_the_contrast():
    # of a checkerboard all windows of the finest scale are alike; beyond it is flat but for what the window lets pass
    board = np.indices((17, 17)).sum(axis=0) % 2
    weights = np.exp(-((np.arange(17) - 8) ** 2) / (2 * 3.4**2))
    share = float((np.outer(weights, weights) * board).sum() / weights.sum() ** 2)
    variance = 40**2 * share * (1 - share)
    expected = math.log(1 + variance / 4 / 2) / math.log(1 + variance / 2)
    assert one('VIF', 100 + 20 * board, 100 + 40 * board, 200 + 40 * board) == pytest.approx(2 * expected)


def test_qabf_of_equal_edges():
    expected = 0.9994 / (1 + math.exp(-7.5)) * 0.9879 / (1 + math.exp(-4.4))
    assert one('Qabf', noise(6, 5)) == pytest.approx(expected)


# ---- by explicit sums


def sobel(padded: np.ndarray, y: int, x: int) -> tuple[float, float]:
    """From right to left, and downwards, around a pixel of the picture without its padding of one."""
    patch = padded[y : y + 3, x : x + 3].astype(float).tolist()
    leftwards = sum(weight * (row[0] - row[2]) for weight, row in zip((1, 2, 1), patch))
    downwards = sum(weight * (patch[2][j] - patch[0][j]) for j, weight in enumerate((1, 2, 1)))
    return leftwards, downwards


def slow_qabf(fused: np.ndarray, *sources: np.ndarray) -> float:
    kept = total = 0.0
    for (y, x), source in itertools.product(np.ndindex(fused.shape), sources):
        (ax, ay), (fx, fy) = (sobel(np.pad(each, 1), y, x) for each in (source, fused))
        a, f = math.hypot(ax, ay), math.hypot(fx, fy)
        angle_a, angle_f = (math.atan(v / u) if u else math.pi / 2 for u, v in ((ax, ay), (fx, fy)))
        strength = min(a, f) / max(a, f) if a or f else 1
        angle = 1 - abs(angle_a - angle_f) / (math.pi / 2)
        of_strength, of_angle = 1 / (1 + math.exp(-15 * (strength - 0.5))), 1 / (1 + math.exp(-22 * (angle - 0.8)))
        kept += a * 0.9994 * of_strength * 0.9879 * of_angle
        total += a
    return kept / total


def edge_of(picture: np.ndarray, y: int, x: int) -> tuple[float, float]:
    left, down = sobel(np.pad(picture, 1, mode='reflect'), y, x)
    angle = 0.0 if left == down == 0 else math.pi / 2 if down == 0 else math.atan(-left / down)
    return math.hypot(left, down) / 8, angle


def slow_nabf(fused: np.ndarray, *sources: np.ndarray) -> float:
    lost = total = 0.0
    for y, x in np.ndindex(fused.shape):
        f, angle_f = edge_of(fused, y, x)
        edges = [edge_of(source, y, x) for source in sources]
        for a, angle_a in edges:
            strength = min(a, f) / max(a, f) if a and f else 0
            angle = abs(abs(angle_a - angle_f) - math.pi / 2) / (math.pi / 2)
            of_strength, of_angle = 1 / (1 + math.exp(-19 * (strength - 0.5))), 1 / (1 + math.exp(-22 * (angle - 0.5)))
            weight = a**1.5 if a >= 2 else 0.001
            total += weight
            lost += (1 - math.sqrt(0.9999 * of_strength * 0.9995 * of_angle)) * weight * all(f > b for b, _ in edges)
    return lost / total


def slow_ssim(fused: np.ndarray, *sources: np.ndarray) -> float:
    weights = [[math.exp(-((i - 5) ** 2 + (j - 5) ** 2) / 4.5) for j in range(11)] for i in range(11)]
    weights = np.array(weights) / np.sum(weights)
    values = []
    for source in sources:
        for y, x in np.ndindex(fused.shape[0] - 10, fused.shape[1] - 10):
            a, f = (each[y : y + 11, x : x + 11].astype(float) for each in (source, fused))
            ma, mf = (weights * a).sum(), (weights * f).sum()
            va, vf, c = (
                (weights * (u - mu) * (v - mv)).sum()
                for u, mu, v, mv in ((a, ma, a, ma), (f, mf, f, mf), (a, ma, f, mf))
            )
            c1, c2 = 2.55**2, 7.65**2
            values.append((2 * ma * mf + c1) * (2 * c + c2) / ((ma**2 + mf**2 + c1) * (va + vf + c2)))
    return float(np.mean(values)) * len(sources)


# smooth pictures have edges of all strengths, and pixels without any
SMOOTH = [
    np.clip(
        np.rint([[120 + 90 * math.sin(x / a + k) * math.cos(y / b) for x in range(14)] for y in range(13)]), 30, 200
    )
    for k, (a, b) in enumerate([(2.0, 3.0), (3.0, 1.5), (1.7, 2.2)])
]


@pytest.mark.parametrize(
    ('metric', 'slow'), [('Qabf', slow_qabf), ('Nabf', slow_nabf), ('SSIM', slow_ssim)], ids=['Qabf', 'Nabf', 'SSIM']
)
@pytest.mark.parametrize('pictures', [[noise(13, 14, seed=seed) for seed in range(3)], SMOOTH], ids=['noise', 'smooth'])
def test_pixel_by_pixel(metric, slow, pictures):
    expected = slow(*pictures)
    assert expected != 0
    assert one(metric, *pictures) == pytest.approx(expected, rel=1e-9)


def test_ms_ssim_of_a_small_picture_has_the_scales_that_fit():
    a, b = noise(21, 30), noise(21, 30, seed=1) // 2 + noise(21, 30) // 2
    assert one('MS-SSIM', a, b, a) == pytest.approx(slow_ssim(a, b) + 1)
    # one pixel more and two scales fit: the finest without its luminance
    a, b = noise(22, 30), noise(22, 30, seed=1) // 2 + noise(22, 30) // 2
    assert one('MS-SSIM', a, b, a) != pytest.approx(slow_ssim(a, b) + 1, abs=0.01)


# ---- limits


def test_fused_is_both_sources():
    picture = noise(176, 180)
    entropy = one('EN', picture)
    values = score(picture, picture, picture)
    assert values == {name: pytest.approx(value) for name, value in values.items()}
    assert values['MI'] == pytest.approx(2 * entropy)
    assert values['PSNR'] == math.inf
    assert [values[name] for name in ('CC', 'SCD', 'SSIM', 'MS-SSIM', 'VIF', 'Nabf')] == pytest.approx(
        [1, 0, 2, 2, 2, 0]
    )


@pytest.mark.parametrize('protocol', PROTOCOLS)
@pytest.mark.parametrize('levels', [(0, 0, 0), (9, 9, 9), (200, 100, 0), (0, 255, 255)], ids=str)
def test_constant_pictures_have_values(protocol, levels):
    values = score(*(np.full((176, 177), level, dtype=np.uint8) for level in levels), protocol)
    assert not any(map(math.isnan, values.values()))
    assert [values[name] for name in (*CONTRAST[1:], 'CC', 'SCD')] == [0] * 5
    if protocol == 'mtkd':
        assert [values[name] for name in ('EN', 'MI', 'VIF', 'Nabf')] == [0, 0, 2, 0]


@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (7, 1), (2, 2)])
def test_pictures_of_a_few_pixels_have_all_metrics_without_windows(shape):
    names = [*CONTRAST, 'MI', 'CC', 'SCD', 'PSNR', 'Qabf', 'Nabf']
    pictures = [noise(*shape, seed=seed) for seed in range(3)]
    assert all(map(math.isfinite, score(*pictures, metrics=names).values()))


@pytest.mark.parametrize(('metric', 'side'), [('SSIM', 11), ('MS-SSIM', 11), ('VIF', 17)])
def test_a_picture_smaller_than_the_window_is_refused(metric, side):
    assert math.isfinite(one(metric, noise(side, side + 3)))
    with pytest.raises(MTKDError, match=rf'{metric}: a picture of {side + 3}x{side - 1} pixels .* {side} on each side'):
        one(metric, noise(side - 1, side + 3))


def test_what_the_traps_are():
    y, x = np.mgrid[:180, :190]
    infrared = (60 + 150 * np.exp(-((x - 60) ** 2 + (y - 90) ** 2) / 900)).astype(np.uint8)
    visible = (110 + 60 * np.sin(x / 5) + 40 * np.cos(y / 9)).astype(np.uint8)
    mean, maximum = (score(fused, infrared, visible) for fused in trivial(infrared, visible).values())
    assert all(mean[name] > maximum[name] for name in ('PSNR', 'SSIM', 'CC'))
    assert all(maximum[name] > mean[name] for name in ('MI', 'VIF', 'Qabf'))
    fused = trivial(infrared, visible)['mean']
    noisy = np.clip(fused + np.random.default_rng(0).normal(0, 10, fused.shape), 0, 255).astype(np.uint8)
    noisy_values = score(noisy, infrared, visible)
    assert all(noisy_values[name] > mean[name] for name in ('EN', 'AG', 'SF'))
    assert noisy_values['Nabf'] > mean['Nabf']  # the metric that tells


# ---- for any picture

triples = st.tuples(st.integers(17, 40), st.integers(17, 40)).flatmap(
    lambda shape: st.tuples(*(hnp.arrays(np.uint8, shape, elements=st.integers(0, 255)) for _ in range(3)))
)
RANGES = {
    'EN': (0, 8),
    'SD': (0, 127.5),
    'SF': (0, 361),
    'AG': (0, 255),
    'MI': (0, 16),
    'CC': (-1, 1),
    'SCD': (-2, 2),
    'PSNR': (0, math.inf),
    'SSIM': (-2, 2),
    'MS-SSIM': (0, 2),
    'VIF': (0, math.inf),
    'Qabf': (0, 0.975),
    'Nabf': (0, 1),
}


@settings(max_examples=30, deadline=None)
@given(triples)
def test_ranges_and_the_order_of_the_sources(pictures):
    values = score(*pictures)
    assert list(values) == list(NAMES) == list(RANGES)
    for name, (low, high) in RANGES.items():
        assert low - 1e-9 <= values[name] <= high + 1e-9, name
    fused, infrared, visible = pictures
    assert score(fused, visible, infrared) == pytest.approx(values, rel=1e-9, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(triples)
def test_a_picture_turned_round_is_the_same_picture(pictures):
    turned = score(*(np.ascontiguousarray(picture[::-1, ::-1]) for picture in pictures))
    assert turned['MS-SSIM'] >= 0  # an odd row or column left out is another one
    assert {**turned, 'MS-SSIM': 0, 'VIF': 0} == pytest.approx(
        {**score(*pictures), 'MS-SSIM': 0, 'VIF': 0}, rel=1e-9, abs=1e-9
    )


@settings(max_examples=20, deadline=None)
@given(triples, st.integers(1, 100))
def test_what_does_not_ask_how_light_the_fused_picture_is(pictures, more):
    fused, infrared, visible = (picture // 2 for picture in pictures)
    names = [*CONTRAST, 'MI', 'CC', 'SCD', 'Nabf']
    values = score(fused, infrared, visible, metrics=names)
    assert score(fused + np.uint8(more), infrared, visible, metrics=names) == pytest.approx(values, rel=1e-9, abs=1e-9)


@settings(max_examples=20, deadline=None)
@given(triples)
def test_bounds_of_information(pictures):
    fused, infrared, visible = pictures
    shared = one('MI', *pictures)
    of_sources = one('EN', infrared) + one('EN', visible)
    assert shared <= min(2 * one('EN', fused), of_sources) + 1e-9
    assert one('MI', *pictures, protocol='cddfuse') == pytest.approx(shared * math.log(2), abs=1e-9)


def test_lower_is_better_of_artefacts_alone():
    assert {'Nabf'} == LOWER_IS_BETTER
