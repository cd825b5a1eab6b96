"""Fusion networks, their label-free loss, and the model around them."""

import math

import fusions
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import structural_similarity
from torch.nn import functional as F

from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.colour import from_ycbcr, luma
from mtkd_rl.fusion.losses import FusionLoss
from mtkd_rl.fusion.models import DenseFuse, TinyFuser
from mtkd_rl.fusion.structures import FusionDataSample
from mtkd_rl.losses.functional import l1, sobel, ssim

NETWORKS = sorted(fusions.NETWORKS)


@pytest.mark.parametrize('network', NETWORKS)
@given(height=st.integers(1, 41), width=st.integers(1, 41))
@settings(deadline=None, max_examples=12)
def test_pictures_of_any_size(network, height, width):
    torch.manual_seed(0)
    fused = fusions.built(network)(torch.rand(2, 2, height, width))
    assert fused.shape == (2, 1, height, width)
    assert torch.isfinite(fused).all()


@pytest.mark.parametrize('network', NETWORKS)
def test_every_parameter_learns(network):
    model = fusions.built(network)
    sum(model(torch.rand(2, 2, 16, 16), mode='loss').values()).backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    assert not without


@pytest.mark.parametrize('network', NETWORKS)
def test_a_pair_is_fused_alike_beside_others(network):
    model = fusions.built(network).eval()
    pairs = torch.rand(3, 2, 16, 20)
    torch.testing.assert_close(model(pairs)[1:2], model(pairs[1:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(('width', 'depth'), [(4, 1), (16, 2), (48, 3)])
def test_the_width_sets_the_number_of_parameters(width, depth):
    network = TinyFuser(width, depth)
    biases = width * (1 + depth) + 8
    assert sum(p.numel() for p in network.parameters()) == 144 * width + 9 * depth * width**2 + biases


def test_dense_fuse_is_as_large_as_published():
    assert sum(p.numel() for p in DenseFuse().parameters()) == 74193


def test_a_student_begins_near_the_mean_of_the_sources():
    torch.manual_seed(0)
    pairs = torch.rand(4, 2, 24, 24)
    off = (TinyFuser(16, 2)(pairs) - pairs.mean(dim=1, keepdim=True)).abs()
    assert off.mean() < 0.05


# ---- losses


def test_sobel_by_hand():
    step = torch.tensor([[0.0, 0.0, 1.0, 1.0]]).repeat(4, 1)[None, None]
    torch.testing.assert_close(sobel(step)[0, 0], torch.tensor([[0.0, 4.0, 4.0, 0.0]]).repeat(4, 1))
    torch.testing.assert_close(sobel(step.mT)[0, 0].mT, sobel(step)[0, 0])
    corner = torch.zeros(1, 1, 3, 3)
    corner[0, 0, 2, 2] = 1
    assert sobel(corner)[0, 0, 1, 1] == 2  # 1 across and 1 down


def test_ssim_is_scikit_images():
    rng = np.random.default_rng(0)
    a = rng.random((120, 100))
    b = np.clip(a + rng.normal(0, 0.2, a.shape), 0, 1)
    want = structural_similarity(a, b, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    found = ssim(torch.from_numpy(a)[None, None], torch.from_numpy(b)[None, None])
    assert float(found) == pytest.approx(want, abs=1e-9)


def test_ssim_of_small_and_equal_pictures():
    picture = torch.rand(3, 1, 5, 7)
    torch.testing.assert_close(ssim(picture, picture), torch.ones(3))


def test_the_loss_by_hand():
    infrared, visible = torch.full((1, 1, 12, 12), 0.25), torch.full((1, 1, 12, 12), 0.75)
    pair = torch.cat([infrared, visible], dim=1)
    terms = FusionLoss(intensity=2.0, gradient=10.0)(torch.full((1, 1, 12, 12), 0.5), pair)
    assert {name: float(value) for name, value in terms.items()} == pytest.approx({'intensity': 0.5, 'gradient': 0.0})
    terms = FusionLoss(intensity=2.0, gradient=0.0, towards='mean')(torch.full((1, 1, 12, 12), 0.5), pair)
    assert {name: float(value) for name, value in terms.items()} == pytest.approx({'intensity': 0.0})


@given(st.integers(0, 2**31))
@settings(deadline=None, max_examples=20)
def test_the_terms_of_the_loss(seed):
    """Against their definitions, with gradients by another route: two convolutions of whole pictures."""
    generator = torch.Generator().manual_seed(seed)
    pair, fused = torch.rand(2, 2, 14, 17, generator=generator), torch.rand(2, 1, 14, 17, generator=generator)
    terms = FusionLoss(intensity=1.0, gradient=10.0, structure=3.0)(fused, pair)

    def edges(x):
        x = F.pad(x, (1, 1, 1, 1), mode='replicate')
        across = x[..., 2:] - x[..., :-2]
        down = x[..., 2:, :] - x[..., :-2, :]
        across = across[..., :-2, :] + 2 * across[..., 1:-1, :] + across[..., 2:, :]
        down = down[..., :-2] + 2 * down[..., 1:-1] + down[..., 2:]
        return across.abs() + down.abs()

    both = torch.maximum(pair[:, :1], pair[:, 1:])
    brightest = (fused - both).abs().mean(dim=(1, 2, 3))
    sharpest = (edges(fused) - torch.maximum(edges(pair[:, :1]), edges(pair[:, 1:]))).abs().mean(dim=(1, 2, 3))
    alike = (ssim(fused, pair[:, :1]) + ssim(fused, pair[:, 1:])) / 2
    torch.testing.assert_close(terms['intensity'], brightest)
    torch.testing.assert_close(terms['gradient'], 10 * sharpest)
    torch.testing.assert_close(terms['structure'], 3 * (1 - alike))


def test_the_loss_of_a_sample_is_its_own():
    model = fusions.built('tiny', loss=dict(type='FusionLoss', structure=1.0))
    pairs = torch.rand(3, 2, 16, 16)
    fused = model(pairs)
    each = torch.stack([model.loss_by_sample(fused[i : i + 1], pairs[i : i + 1])[0] for i in range(3)])
    torch.testing.assert_close(model.loss_by_sample(fused, pairs), each)
    torch.testing.assert_close(sum(model(pairs, mode='loss').values()), each.mean())


@pytest.mark.parametrize('options', [dict(intensity=-1.0), dict(towards='minimum'), dict(gradient='much')])
def test_a_loss_of_wrong_options(options):
    with pytest.raises(MTKDError, match='FusionLoss'):
        FusionLoss(**options)


# ---- predictions


def sample_of(visible, shape):
    infrared = torch.randint(0, 256, (1, *shape), dtype=torch.uint8)
    return FusionDataSample(infrared=infrared, visible=visible, metainfo=dict(ori_shape=shape))


def test_predictions_are_of_the_size_and_colours_of_the_sources():
    model = fusions.built('tiny').eval()
    torch.manual_seed(1)
    colour = torch.randint(60, 200, (3, 21, 30), dtype=torch.uint8)
    grey = torch.randint(0, 256, (1, 17, 24), dtype=torch.uint8)
    samples = [sample_of(colour, (21, 30)), sample_of(grey, (17, 24))]
    inputs = [torch.cat([s.infrared, s.visible.expand(3, -1, -1)]) for s in samples]
    with torch.no_grad():
        first, second = model.test_step(dict(inputs=inputs, data_samples=samples))
        batch = model.data_preprocessor(dict(inputs=inputs, data_samples=samples))
        fused = model(batch['inputs'])
    assert (first.fused.shape, second.fused.shape) == ((3, 21, 30), (1, 17, 24))
    assert first.fused.dtype == torch.uint8
    chroma = batch['data_samples'][0].chroma[:, :21, :30]
    want = from_ycbcr(torch.cat([fused[0, :, :21, :30], chroma]))
    inside = (want > 0) & (want < 1)
    assert inside.float().mean() > 0.9
    whole = inside.all(dim=0)
    assert (luma(first.fused / 255) - fused[0, :, :21, :30])[:, whole].abs().max() < 1 / 255
    assert ((first.fused / 255 - want).abs()[inside]).max() <= 0.51 / 255
    assert (second.fused[0] / 255 - fused[1, 0, :17, :24].clamp(0, 1)).abs().max() <= 0.51 / 255


def test_a_tiny_student_learns_what_it_is_asked():
    """The brightest of both: 60 steps on one pair take most of the loss away."""
    model = fusions.built('tiny', loss=dict(type='FusionLoss', gradient=0.0))
    torch.manual_seed(0)
    pair = F.interpolate(torch.rand(2, 2, 6, 6), 24, mode='bilinear')
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        loss = sum(model(pair, mode='loss').values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] / 3
    assert math.isfinite(losses[-1])
    assert (
        l1(model(pair), pair.amax(dim=1, keepdim=True)).mean()
        < l1(pair.mean(dim=1, keepdim=True), pair.amax(dim=1, keepdim=True)).mean()
    )
