"""The tool that kills trainings and resumes them, and the parts behind it."""

import copy
import os
import random
import re
import subprocess
import sys
from collections import OrderedDict
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mtkd_rl.chaos import (
    PHASES,
    SPAN,
    SPANS,
    VARIANTS,
    Kill,
    Outcome,
    Plan,
    Seen,
    Training,
    Variant,
    difference,
    draw_plans,
    fits,
    is_unfinished,
    look,
    make_config,
    number_saved,
    phase_of,
    state_of_files,
)
from mtkd_rl.errors import MTKDError

ROOT = Path(__file__).parents[1]
TREE = {
    'state_dict': OrderedDict(weight=torch.tensor([0.5, float('nan'), 0.0]), count=torch.tensor(3)),
    'param_schedulers': [{'best': 0.25, 'milestones': (1, 2), 'name': 'x'}, {}],
}


def load_tool() -> Any:
    spec = spec_from_file_location('tool_chaos', ROOT / 'tools/chaos.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


# --- comparing


def test_equal_trees_do_not_differ() -> None:
    other = copy.deepcopy(TREE)
    other['state_dict'] = dict(other['state_dict'])
    other['state_dict']['weight'] = torch.stack([other['state_dict']['weight']] * 2, 1)[:, 0]  # not contiguous
    assert difference(TREE, other, 'checkpoint') is None


@pytest.mark.parametrize(
    ('path', 'value', 'where'),
    [
        (('state_dict', 'weight'), torch.tensor([0.5, float('nan'), -0.0]), 'state_dict.weight'),
        (('state_dict', 'weight'), torch.tensor([0.5, float('nan'), 1e-45]), 'state_dict.weight'),
        (('state_dict', 'weight'), torch.tensor([0.5, 0.5, 0.0]), 'state_dict.weight'),
        (('state_dict', 'count'), torch.tensor(3, dtype=torch.int32), 'state_dict.count'),
        (('state_dict', 'count'), torch.tensor([3]), 'state_dict.count'),
        (('state_dict', 'count'), 3, 'state_dict.count'),
        (('state_dict', 'more'), 1, 'state_dict.more'),
        (('param_schedulers', 0, 'best'), 0.25 + 2**-54, 'param_schedulers.0.best'),
        (('param_schedulers', 0, 'milestones'), (1,), 'param_schedulers.0.milestones'),
        (('param_schedulers', 0, 'milestones'), (1, 2.0), 'param_schedulers.0.milestones.1'),
        (('param_schedulers',), {}, 'param_schedulers'),
    ],
)
def test_the_first_key_that_differs_is_named(path: tuple[Any, ...], value: Any, where: str) -> None:
    other = copy.deepcopy(TREE)
    node: Any = other
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    for pair in ((TREE, other), (other, TREE)):
        found = difference(*pair, 'checkpoint')
        assert found is not None
        assert found.startswith(f'checkpoint.{where}: ')


# --- where a training is


def test_a_training_tells_where_it_is(tmp_path: Path, capfd: pytest.CaptureFixture) -> None:
    """What mmengine itself prints, over epochs and over iterations."""
    for by_epoch in (True, False):
        cfg = make_config(Variant(by_epoch, 0), 1, 'cache')
        cfg.work_dir = str(tmp_path / str(by_epoch))
        cfg.custom_hooks = []
        cfg.model.backbone.widths, cfg.model.head.in_channels = (4, 8), 8
        cfg.experiment_name = f'chaos_{by_epoch}'
        cfg.train_cfg.update(dict(max_epochs=2) if by_epoch else dict(max_iters=2 * SPAN))
        Runner.from_cfg(cfg).train()
        seen, moments = Seen(), []
        for line in capfd.readouterr().out.splitlines():
            seen = look(line, seen)
            if not moments or moments[-1] != seen:
                moments.append(seen)
        expected = [Seen()]
        for span in (1, 2):
            end = span * SPAN
            expected += [Seen('training', i) for i in range(end - SPAN + 1, end + 1)]
            expected += [Seen('saving', end), *(Seen('validation', end, i) for i in range(1, 11))]
            expected += [Seen('best', end)] * (Seen('best', end) in moments)
        assert moments == expected
        assert Seen('best', SPAN) in moments


def test_a_resumed_training_tells_where_it_goes_on() -> None:
    line = '11/22 05:25:38 - mmengine - INFO - resumed epoch: 2, iter: 30'
    assert look(line, Seen()) == Seen('resumed', 30)
    assert look('11/22 - INFO - Epoch(val) [2][ 3/10]    time: 0.1', Seen('resumed', 30)) == Seen('validation', 30, 3)


def test_the_moment_of_a_plan() -> None:
    training = Plan('training', 20)
    assert not fits(training, Seen('training', 19))
    assert fits(training, Seen('training', 20))
    assert not fits(training, Seen('validation', 30, 4))
    assert fits(training, Seen('training', 31))  # a resumed training may begin later
    assert not fits(Plan('validation', 15, 4), Seen('validation', 15, 3))
    assert fits(Plan('validation', 15, 4), Seen('validation', 15, 4))
    assert fits(Plan('saving', 15), Seen('saving', 15))
    assert not fits(Plan('saving', 15, 10, best=True), Seen('saving', 15))
    assert fits(Plan('saving', 15, 10, best=True), Seen('validation', 15, 10))
    assert fits(Plan('starting'), Seen())


def test_plans_follow_each_other_and_reach_everything() -> None:
    drawn = [draw_plans(random.Random(i), PHASES[i % 3], {15, 45}) for i in range(3000)]
    assert all(plans[0].phase == PHASES[i % 3] for i, plans in enumerate(drawn))
    assert {len(plans) for plans in drawn} == {1, 2, 3}
    assert {plan.phase for plans in drawn for plan in plans} == {'starting', *PHASES}
    assert {plan.done for plans in drawn for plan in plans if plan.phase == 'training'} == set(range(1, 61))
    assert {plan.done for plans in drawn for plan in plans if plan.best} == {15, 45}
    for plans in drawn:
        spans = [-(-plan.done // SPAN) for plan in plans]
        assert spans == sorted(spans)
        assert spans[0] < SPANS
        assert spans[-1] <= SPANS


# --- what a kill left


def write(path: Path, time_: float, data: Any = None) -> None:
    torch.save({'x': torch.zeros(9)}, path) if data is None else path.write_text(data)
    os.utime(path, (time_, time_))


def test_phases_by_what_was_said_and_by_the_files(tmp_path: Path) -> None:
    def phase(seen: Seen) -> str:
        return phase_of(seen, is_unfinished(tmp_path, seen))

    assert phase(Seen()) == 'starting'
    assert phase(Seen('training', 3)) == 'training'
    assert phase(Seen('saving', 15)) == 'saving'  # nothing written yet
    write(tmp_path / 'epoch_1.pth', 100)
    assert phase(Seen('saving', 15)) == 'saving'  # the pointer is still to come
    write(tmp_path / 'last_checkpoint', 101, str(tmp_path / 'epoch_1.pth'))
    assert phase(Seen('saving', 15)) == 'validation'
    assert phase(Seen('validation', 15, 3)) == 'validation'
    assert phase(Seen('resumed', 15)) == 'starting'
    assert phase(Seen('training', 30)) == 'training'
    assert phase(Seen('saving', 30)) == 'saving'
    write(tmp_path / 'best_accuracy_top1_epoch_1.pth', 102)
    assert phase(Seen('validation', 15, 10)) == 'saving'
    assert phase(Seen('best', 15)) == 'saving'  # the checkpoint is written a second time
    write(tmp_path / 'last_checkpoint', 103, str(tmp_path / 'epoch_1.pth'))
    assert phase(Seen('best', 15)) == 'training'


def test_what_was_saved(tmp_path: Path) -> None:
    assert number_saved(tmp_path) == 0
    for text, number in (('/a/epoch_2.pth', 2 * SPAN), ('/a/iter_45.pth', 45), ('', 0)):
        (tmp_path / 'last_checkpoint').write_text(text)
        assert number_saved(tmp_path) == number


def test_state_of_files(tmp_path: Path) -> None:
    assert state_of_files(tmp_path / 'nowhere') == 'none'
    write(tmp_path / 'best_accuracy_top1_epoch_1.pth', 1)
    assert state_of_files(tmp_path) == 'none'  # it has no optimizer, so it is none to resume from
    write(tmp_path / 'epoch_1.pth', 1)
    assert state_of_files(tmp_path) == 'whole'
    hidden = tmp_path / '.epoch_2.pth.new'
    hidden.write_bytes((tmp_path / 'epoch_1.pth').read_bytes()[:-1])
    assert state_of_files(tmp_path) == 'truncated'


STUB = """
import os, subprocess, sys, time
inner = "import time; time.sleep(600)"
for own in (False, True):  # torchrun puts its workers into sessions of their own
    subprocess.Popen([sys.executable, '-c', inner], start_new_session=own)
print('Epoch(train) [1][ 1/15] ' + str(os.getpid()), flush=True)
time.sleep(600)
"""


def living(mark: str) -> list[int]:
    found = []
    for path in Path('/proc').glob('[0-9]*/environ'):
        try:
            if mark.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


def test_a_kill_spares_no_process_of_a_training(tmp_path: Path) -> None:
    stub = tmp_path / 'stub.py'
    stub.write_text(STUB)
    output = tmp_path / 'output.txt'
    training = Training(stub, tmp_path, tmp_path, output, resume=False, processes=1)
    assert training.wait_for(Plan('training', 1), 1)
    assert len(living(str(output))) == 3
    training.close()
    assert not living(str(output))
    assert training.process.returncode == -9


# --- the tool


def test_every_variant_is_first_killed_in_every_phase(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen = set()

    def drawn(random_: Any, first: str, bests: Any) -> Any:
        seen.add((variant, first))
        raise MTKDError('enough')

    monkeypatch.setattr('mtkd_rl.chaos.runs.draw_plans', drawn)
    chaos = tool.Chaos(tool.TRAIN, tmp_path, 1, 0)
    chaos.bests = {each: set() for each in VARIANTS}
    for number in range(len(VARIANTS) * len(PHASES)):
        variant = VARIANTS[number % len(VARIANTS)]
        with pytest.raises(MTKDError, match='enough'):
            chaos.run(number)
    assert len(seen) == len(VARIANTS) * len(PHASES)


def test_only_an_equal_end_of_every_run_and_a_kill_in_every_phase_is_success() -> None:
    whole = [Outcome(VARIANTS[0], (Kill(phase, 'whole', 15),), '') for phase in PHASES]
    assert tool.judge(whole) == []
    assert tool.judge(whole[:1]) == []  # too few to ask for every phase
    assert len(tool.judge([*whole, whole[0]._replace(fault='checkpoint.optimizer: ...')])) == 1
    missed = tool.judge([whole[0], whole[0], whole[2]])
    assert len(missed) == 1
    assert 'saving' in missed[0]


def test_an_error_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / 'mine.txt').touch()
    assert tool.main(['--work-dir', str(tmp_path)]) == 1
    assert re.fullmatch(r'error: --work-dir .*: there are files in it; name a new folder\n', capsys.readouterr().err)
    with pytest.raises(SystemExit):
        tool.parse(['--runs', '0'])


@pytest.mark.slow
@pytest.mark.parametrize('processes', [1, 2])
def test_killed_trainings_end_as_if_nothing_had_happened(tmp_path: Path, processes: int) -> None:
    command = [sys.executable, str(ROOT / 'tools/chaos.py'), '--runs', '3', '--processes', str(processes)]
    done = subprocess.run([*command, '--work-dir', str(tmp_path / 'work')], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == '3/3'
    assert all(f'run {i}: ' in done.stdout for i in range(3))


@pytest.mark.slow
def test_a_training_that_ends_otherwise_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reference is of another seed than the runs."""
    chaos = tool.Chaos(tool.TRAIN, tmp_path, 1, 0)
    chaos.refer(VARIANTS[0])

    def of_another_seed(*args: Any) -> Config:
        cfg = make_config(*args)
        cfg.randomness.seed = 8
        return cfg

    monkeypatch.setattr('mtkd_rl.chaos.runs.make_config', of_another_seed)
    outcome = chaos.run(0)
    assert outcome.kills
    assert outcome.fault.startswith('checkpoint.state_dict.')
