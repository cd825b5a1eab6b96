"""Presets against numbers that the scripts themselves printed, for a made pair of pictures."""

import cv2
import numpy as np
import pytest

from mtkd_rl.fusion.metrics import PROTOCOLS, score

# What each script gave for the pictures of `made`, written to PNG files.
# cddfuse: utils/Evaluator.py of Zhaozixiang1228/MMIF-CDDFuse, 40de058, called as in test_IVF.py, scikit-image 0.19.3.
# ivif_zoo: evaluation_one() of Metric/eval_torch.py of RollingPlain/IVIF_ZOO, 2fc8473, with torch 2.11.0 on the CPU.
# tang_python: evaluation_one() of Metric_Python/eval_one_method.py of Nonex111/vif_benchmark, 71558c9.
# tang: the functions that Evaluation/analysis_Reference.m of Linfeng-Tang/Evaluation-for-Image-Fusion, 0e87153, calls,
# with Octave 7.3.0 and its image package 2.14.0; that has no ssim, so SSIM has no number here.
PRINTED = {
    'cddfuse': {
        'EN': 7.0426504,
        'SD': 46.1032219,
        'SF': 14.6989927,
        'AG': 4.9559865,
        'MI': 2.54734766,
        'CC': 0.66727531,
        'SCD': 1.63611269,
        'PSNR': 14.4505897,
        'SSIM': 0.87200335,
        'VIF': 0.535353282,
        'Qabf': 0.334450871,
    },
    'tang': {
        'EN': 7.0426504,
        'SD': 46.1032215,
        'SF': 14.6989933,
        'AG': 5.01010429,
        'MI': 3.67920869,
        'CC': 0.6672751,
        'SCD': 1.63611987,
        'PSNR': 62.5814135,
        'MS-SSIM': 0.774336546,
        'VIF': 0.535347326,
        'Qabf': 0.334456371,
        'Nabf': 0.00555487981,
    },
    'tang_python': {
        'EN': 7.0426178,
        'SD': 46.1032219,
        'SF': 14.6989937,
        'AG': 5.01010466,
        'MI': 3.67504583,
        'CC': 0.66727531,
        'SCD': 1.63611269,
        'PSNR': 62.581398,
        'SSIM': 0.882708073,
        'MS-SSIM': 0.894751728,
        'VIF': 0.535353282,
        'Qabf': 0.334450892,
        'Nabf': 0.0147768641,
    },
    'ivif_zoo': {
        'EN': 7.04261732,
        'SD': 46.1032181,
        'SF': 14.6989937,
        'AG': 4.9559865,
        'MI': 3.67504583,
        'CC': 0.667275369,
        'SCD': 1.63611269,
        'PSNR': 62.5813904,
        'SSIM': 0.882708073,
        'MS-SSIM': 0.894751728,
        'VIF': 0.596100569,
        'Qabf': 0.334450892,
        'Nabf': 0.0147768641,
    },
}


def made() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Fused, infrared and colour visible: smooth, textured, flat and saturated parts; 177x193, both odd."""
    y, x = np.mgrid[:177, :193]
    texture = (x * 7919 + y * 104729 + x * y) % 41
    infrared = 30 + 260 * np.exp(-((x - 60) ** 2 + (y - 90) ** 2) / 900) + 0.4 * texture
    stripes = 60 + 50 * np.sin(x / 5) + 40 * np.cos((x + 2 * y) / 11)
    visible = np.stack([stripes + texture, 1.2 * stripes, 90 + y / 2 - 0.5 * texture], axis=2)
    visible[120:150, 100:150] = (255, 255, 255)
    visible[20:40, 10:60] = 7
    infrared, visible = (np.clip(np.floor(picture), 0, 255).astype(np.uint8) for picture in (infrared, visible))
    visible[..., 0] -= visible[..., 0] % 2  # red even and green odd: no luma is half-way between two whole numbers
    visible[..., 1] |= 1
    grey = visible.astype(int).sum(axis=2) // 3
    fused = np.minimum(np.maximum(infrared, (2 * grey + infrared) // 3) + 12 * (texture % 5 == 0), 255)
    return fused.astype(np.uint8), infrared, visible


@pytest.mark.parametrize('protocol', PRINTED)
def test_a_preset_gives_what_its_script_prints(protocol):
    values = score(*made(), protocol)
    untested = {'SSIM'} if protocol == 'tang' else set()
    assert values.keys() - untested == PRINTED[protocol].keys()
    assert {name: values[name] for name in PRINTED[protocol]} == pytest.approx(PRINTED[protocol], rel=1e-6)


def test_every_preset_has_numbers_of_its_script():
    assert {*PRINTED} == {*PROTOCOLS} - {'mtkd'}


def test_matlab_ssim_as_documented():
    # the script's ssim() of class double: values of 0..1 assumed, Gaussian windows, the border repeated
    fused, infrared, visible = made()
    grey = PROTOCOLS['tang'].prepare(visible)
    blur = lambda picture: cv2.GaussianBlur(picture, (11, 11), 1.5, borderType=cv2.BORDER_REPLICATE)  # noqa: E731
    total = 0.0
    f = fused.astype(float)
    for s in (infrared.astype(float), grey):
        mf, ms = blur(f), blur(s)
        vf, vs, c = blur(f * f) - mf**2, blur(s * s) - ms**2, blur(f * s) - mf * ms
        maps = (2 * mf * ms + 0.01**2) * (2 * c + 0.03**2) / ((mf**2 + ms**2 + 0.01**2) * (vf + vs + 0.03**2))
        total += maps.mean() / 2
    assert score(fused, infrared, visible, 'tang', ['SSIM'])['SSIM'] == pytest.approx(total, rel=1e-6)


@pytest.mark.parametrize('protocol', PROTOCOLS)
def test_a_grey_visible_passes_as_it_is_and_a_colour_one_by_its_luma(protocol):
    fused, infrared, _ = made()
    grey = made()[2][..., 1]
    alike = np.stack([grey] * 3, axis=2)
    assert score(fused, infrared, alike, protocol, ['CC']) == score(fused, infrared, grey, protocol, ['CC'])
    # 0.299 of red alone, 0.587 of green, 0.114 of blue
    levels = [
        PROTOCOLS[protocol].prepare(np.eye(3, dtype=np.uint8)[[channel]][None] * 250)[0, 0] for channel in range(3)
    ]
    assert levels == [75, 147, 29] if protocol != 'cddfuse' else levels in ([75, 147, 28], [75, 147, 29])
