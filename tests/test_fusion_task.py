"""Fusion models as students and teachers: what is compared, and the hook over real runs."""

import json

import fusions
import pytest
import torch
from mmengine.runner import Runner
from torchvision.models import vgg11

from mtkd_rl.errors import MTKDError
from mtkd_rl.losses import FusedPicture, PerceptualPicture
from mtkd_rl.losses.functional import l1, sobel, ssim
from mtkd_rl.tasks import Fusion, find_task
from mtkd_rl.types import ComparedPictures


def pictures(seed=0, n=3):
    return torch.rand(n, 1, 16, 18, generator=torch.Generator().manual_seed(seed))


def test_a_fusion_model_finds_its_task():
    assert isinstance(find_task(fusions.built()), Fusion)


def test_what_is_compared_of_pictures():
    a, b = pictures(0), pictures(1)
    compared = ComparedPictures(a, b)
    torch.testing.assert_close(compared.divergence(), 1 - ssim(a, b))
    torch.testing.assert_close(ComparedPictures(a, a).divergence(), torch.zeros(3), atol=1e-6, rtol=0)
    black_and_white = torch.tensor([0.0, 1.0]).repeat(8).reshape(1, 1, 4, 4)
    assert compared.entropy(black_and_white) == 0.5
    label, contrast = compared.told(black_and_white)
    assert contrast == 1
    assert label is None
    assert compared.summary().shape == (3, 2)


def test_the_loss_of_fused_pictures():
    a, b = pictures(0), pictures(1)
    want = 2 * l1(a, b) + 3 * l1(sobel(a), sobel(b)) + 5 * (1 - ssim(a, b))
    torch.testing.assert_close(FusedPicture(2.0, 3.0, 5.0)(a, b, a, 1.0), want)
    torch.testing.assert_close(FusedPicture()(a, a, a, 1.0), torch.zeros(3), atol=1e-6, rtol=0)


def test_a_perceptual_loss_reads_a_file_of_weights(tmp_path):
    torch.manual_seed(0)
    network = vgg11(weights=None).eval()
    torch.save(network.state_dict(), tmp_path / 'vgg.pth')
    loss = PerceptualPicture(str(tmp_path / 'vgg.pth'), 'vgg11', 'features.3')
    a, b = pictures(0, 2).requires_grad_(), pictures(1, 2)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

    def seen(x):
        return network.features[:4]((x.expand(-1, 3, -1, -1) - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))

    found = loss(a, b, b, 1.0)
    torch.testing.assert_close(found, (seen(a) - seen(b)).square().mean(dim=(1, 2, 3)))
    found.sum().backward()
    assert a.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (dict(network='vgg99'), 'vgg99'),
        (dict(layer='features.99'), r"no layer 'features\.99'"),
        (dict(checkpoint='nowhere.pth'), r'nowhere\.pth'),
    ],
)
def test_a_perceptual_loss_of_what_is_not_there(options, said, tmp_path):
    torch.save(vgg11(weights=None).state_dict(), tmp_path / 'vgg.pth')
    loss = PerceptualPicture(**{'checkpoint': str(tmp_path / 'vgg.pth'), 'network': 'vgg11', **options})
    with pytest.raises(MTKDError, match=said):
        loss(pictures(), pictures(), pictures(), 1.0)


def train(tmp_path, hooks, **options):
    runner = Runner.from_cfg(fusions.config(tmp_path, hooks, **options))
    runner.train()
    return runner


def logged(tmp_path):
    (file,) = tmp_path.glob('*/vis_data/scalars.json')
    return [row for row in map(json.loads, file.read_text().splitlines()) if 'loss' in row]


def test_a_pool_teaches_a_fusion_student(tmp_path):
    runner = train(tmp_path, [fusions.entry()])
    rows = logged(tmp_path)
    assert all(row[key] >= 0 for row in rows for key in ('loss_kd_logit', 'loss_kd_feature'))
    assert rows[0]['loss_kd_logit'] > 0
    assert set(runner.model.state_dict()) == set(fusions.built().state_dict())


@pytest.mark.parametrize('weights', [dict(logit_weight=0.0, feature_weight=0.0)])
def test_weight_zero_is_the_baseline(weights, tmp_path):
    alone = train(tmp_path / 'alone', []).model.state_dict()
    taught = train(tmp_path / 'taught', [fusions.entry(**weights)]).model.state_dict()
    assert all(torch.equal(alone[key], taught[key]) for key in alone)


def test_a_teacher_that_is_the_student_has_nothing_to_say(tmp_path):
    model = fusions.built(seed=7)
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'same.pth')
    same = fusions.teacher('tiny') | dict(checkpoint=str(tmp_path / 'same.pth'))
    cfg = fusions.config(tmp_path, [fusions.entry(teachers=dict(same=same), feature_loss=None)], epochs=1, n=4)
    cfg.load_from = str(tmp_path / 'same.pth')
    cfg.default_hooks.logger.interval = 1
    Runner.from_cfg(cfg).train()
    assert logged(tmp_path)[0]['loss_kd_logit'] == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ('options', 'said'),
    [
        (dict(logit_loss=dict(type='KD')), 'KD compares scores of classes.*Fusion gives fused pictures.*FusedPicture'),
        (dict(teachers=dict(a=fusions.teacher('dense') | dict(input_size=64))), 'a: fusion networks take any size'),
    ],
)
def test_what_does_not_fit_fusion(options, said, tmp_path):
    with pytest.raises(MTKDError, match=said):
        train(tmp_path, [fusions.entry(**options)])
