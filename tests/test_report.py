"""The page about a run."""

import re
import shutil
import subprocess
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch

from mtkd_rl.errors import MTKDError
from mtkd_rl.report import trust, write_report
from mtkd_rl.report.page import metrics_of
from mtkd_rl.report.samples import picture

ROOT = Path(__file__).parents[1]
BROWSER = next(
    (found for name in ('chromium', 'chromium-browser', 'google-chrome') if (found := shutil.which(name))), None
)


def tool() -> Any:
    spec = spec_from_file_location('tool_report', ROOT / 'tools/report.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """The work dir of a run, and its runner."""
    work_dir = tmp_path_factory.mktemp('report') / 'my <run>'
    teachers = dict(a=runs.teacher((6, 12)), b=runs.teacher((4, 8)))
    hooks = [runs.entry(teachers=teachers, strategy=dict(type='FixedWeighting', weights=dict(a=0.25, b=0.75)))]
    cfg = runs.config(work_dir, hooks, epochs=2, save=True, val=True)
    cfg.default_hooks.logger = dict(type='LoggerHook', interval=1)
    return work_dir, runs.train(cfg)


def test_the_page_tells_of_the_run(finished, tmp_path):
    work_dir, runner = finished
    assert tool().main([str(work_dir), '-o', str(tmp_path / 'deep/report.html'), '--samples', '20']) == 0
    page = (tmp_path / 'deep/report.html').read_text()
    for title in ('Result', 'Curves', 'Who taught how much', 'Who is trusted on what', 'The guard', 'Made with'):
        assert f'<h2>{title}</h2>' in page
    assert ', my &lt;run&gt;</h1>' in page
    for teacher in runs.hook_of(runner).pool:
        assert teacher.sha256 in page
    assert 'accuracy/top1' in page
    assert page.count('<figure>') == 2 * 8
    # nothing is loaded from elsewhere, nothing runs
    assert set(re.findall(r'src="([a-z]+:)', page)) == {'data:'}
    assert '<script' not in page


def test_without_samples_nothing_else_is_needed(finished, tmp_path):
    work_dir, _ = finished
    assert tool().main([str(work_dir), '-o', str(tmp_path / 'report.html'), '--no-samples']) == 0
    page = (tmp_path / 'report.html').read_text()
    assert 'Who is trusted on what' not in page
    assert 'Curves' in page


def test_who_is_trusted_is_what_the_strategy_decides(finished):
    work_dir, runner = finished
    found = trust(work_dir, 7)
    assert found.teachers == ('a', 'b')
    assert found.weights.tolist() == [[0.25, 0.75]] * 7
    assert found.labels == [str(int(runner.train_dataloader.dataset[i]['data_samples'].gt_label)) for i in range(7)]
    assert found.pictures[0].shape == (8, 8, 3)


def test_the_agent_decides_as_it_did(tmp_path):
    seen: list[torch.Tensor] = []

    def listen(runner: Any) -> None:
        strategy = runs.hook_of(runner).strategy
        decide = strategy.decide
        strategy.decide = lambda state: (seen.append(decide(state).logit), decide(state))[1]

    hooks = [runs.entry(strategy=dict(type='PPOWeighting', rollout=50))]
    runs.train(runs.config(tmp_path, [*hooks, runs.watching(before_train=listen)], epochs=3, save=True))
    first, second = trust(tmp_path, 50), trust(tmp_path, 50)
    np.testing.assert_array_equal(first.weights, second.weights)
    np.testing.assert_allclose(first.weights.sum(axis=1), 1, rtol=1e-5)
    assert first.weights.std(axis=0).max() > 0
    last = torch.cat(seen[-3:]).mean(dim=0).numpy()
    np.testing.assert_allclose(first.weights.mean(axis=0), last, atol=0.1)  # of a student that has gone on a little


def test_metrics_are_told_from_losses():
    rows = [
        {'lr': 0.1, 'loss': 2.0, 'step': 1},
        {'mtkd/weight_logit/a/mean': 0.5, 'step': 1},
        {'accuracy/top1': 50.0, 'time': 1.0, 'step': 2},
    ]
    assert metrics_of(rows) == {'accuracy/top1': [(2, 50.0)]}


@pytest.mark.parametrize(
    ('inputs', 'flip', 'expected'),
    [
        (torch.tensor([[[7]]]), False, [7, 7, 7]),
        (torch.tensor([[[1]], [[2]], [[3]]]), True, [3, 2, 1]),
        (torch.tensor([[[0.2]], [[0.4]]]), False, [102, 102, 102]),
    ],
)
def test_a_picture_as_it_is_shown(inputs, flip, expected):
    assert picture(inputs, flip)[0, 0].tolist() == expected


def test_what_is_no_run(tmp_path):
    with pytest.raises(MTKDError, match='there is no config in it'):
        write_report(tmp_path, tmp_path / 'report.html', None)
    runs.train(runs.config(tmp_path / 'plain', epochs=1, save=True))
    with pytest.raises(MTKDError, match='it has no MTKDHook'):
        write_report(tmp_path / 'plain', tmp_path / 'report.html', None)


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason='no Chromium is installed')
def test_a_browser_shows_it_without_complaint(finished, tmp_path):
    work_dir, _ = finished
    assert tool().main([str(work_dir), '-o', str(tmp_path / 'report.html')]) == 0
    command = [BROWSER, '--headless', '--no-sandbox', '--disable-gpu', '--enable-logging=stderr', '--v=0']
    shot = tmp_path / 'shot.png'
    done = subprocess.run(
        [*command, '--window-size=1366,768', f'--screenshot={shot}', (tmp_path / 'report.html').as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert shot.stat().st_size > 10_000
    assert 'CONSOLE' not in done.stderr
