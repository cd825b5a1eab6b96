"""Fusion metrics against other libraries."""

import cv2
import numpy as np
import piq
import pytest
import torch
import torchmetrics.functional as tm
import torchmetrics.functional.image as tmi
from scipy import ndimage, stats
from sklearn.metrics import mutual_info_score

from mtkd_rl.fusion.metrics import score


def textured(height: int, width: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = cv2.resize(rng.uniform(0, 255, (7, 9)), (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(coarse + rng.normal(0, 12, (height, width)), 0, 255).astype(np.uint8)


@pytest.fixture(scope='module', params=[(176, 192), (181, 200)], ids=['even', 'odd'])
def pictures(request):
    infrared, visible = (textured(*request.param, seed) for seed in (1, 2))
    fused = np.maximum(infrared, (infrared // 2 + visible // 2)).astype(np.uint8)
    return fused, infrared, visible


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.astype(np.float64))[None, None]


def over_sources(index, pictures) -> float:
    fused, *sources = map(tensor, pictures)
    return sum(float(index(fused, source)) for source in sources)


def test_entropy(pictures):
    counts = np.unique(pictures[0], return_counts=True)[1]
    assert score(*pictures, metrics=['EN'])['EN'] == pytest.approx(stats.entropy(counts, base=2))


def test_standard_deviation_and_gradients(pictures):
    values = score(*pictures, metrics=['SD', 'SF', 'AG'])
    assert values['SD'] == pytest.approx(cv2.meanStdDev(pictures[0])[1].item())
    down, across = torch.gradient(tensor(pictures[0])[0, 0])
    assert values['AG'] == pytest.approx(float(torch.hypot(down, across).mean()) / 2**0.5)
    fused = pictures[0].astype(float)
    steps = [ndimage.correlate1d(fused, [-1, 1], axis=axis, origin=-1) for axis in (0, 1)]
    squares = [np.mean(steps[0][:-1] ** 2), np.mean(steps[1][:, :-1] ** 2)]
    assert values['SF'] == pytest.approx(np.sqrt(sum(squares)))


def test_mutual_information(pictures):
    fused, *sources = (picture.ravel() for picture in pictures)
    nats = sum(mutual_info_score(fused, source) for source in sources)
    assert score(*pictures, metrics=['MI'])['MI'] == pytest.approx(nats / np.log(2))


def test_correlations(pictures):
    fused, infrared, visible = (picture.astype(float).ravel() for picture in pictures)
    r = lambda a, b: stats.pearsonr(a, b).statistic  # noqa: E731
    values = score(*pictures, metrics=['CC', 'SCD'])
    assert values['CC'] == pytest.approx((r(fused, infrared) + r(fused, visible)) / 2)
    assert values['SCD'] == pytest.approx(r(fused - visible, infrared) + r(fused - infrared, visible))


def test_psnr(pictures):
    fused, infrared, visible = map(tensor, pictures)
    expected = tm.peak_signal_noise_ratio(torch.cat([fused, fused]), torch.cat([infrared, visible]), data_range=255.0)
    assert score(*pictures, metrics=['PSNR'])['PSNR'] == pytest.approx(float(expected), rel=1e-6)


def test_ssim(pictures):
    expected = over_sources(lambda f, s: piq.ssim(f, s, data_range=255, downsample=False), pictures)
    assert score(*pictures, metrics=['SSIM'])['SSIM'] == pytest.approx(expected, rel=1e-9)


def test_ms_ssim(pictures):
    found = score(*pictures, metrics=['MS-SSIM'])['MS-SSIM']
    theirs = over_sources(lambda f, s: piq.multi_scale_ssim(f, s, data_range=255), pictures)
    # piq repeats an odd last row where we leave it out
    assert found == pytest.approx(theirs, rel=1e-9 if pictures[0].shape == (176, 192) else 0.01)


def test_vif(pictures):
    pictures = [picture[:60, :71] for picture in pictures]  # torchmetrics is slow
    found = score(*pictures, metrics=['VIF'])['VIF']
    # piq adds 1e-8, torchmetrics 1e-10
    assert found == pytest.approx(over_sources(lambda f, s: piq.vif_p(f, s, data_range=255), pictures), rel=1e-6)
    assert found == pytest.approx(over_sources(tmi.visual_information_fidelity, pictures), rel=1e-9)
