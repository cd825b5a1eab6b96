"""The tool that compares configs and strategies, and the statistics behind it."""

import json
import math
from argparse import ArgumentParser
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from mmengine.config import Config, DictAction
from PIL import Image
from scipy import stats

from mtkd_rl.errors import MTKDError
from mtkd_rl.experiment import Score, Summary, in_markdown, paired, summarise, told
from mtkd_rl.plot import plot_rows

ROOT = Path(__file__).parents[1]
DIGITS = str(ROOT / 'configs/digits/mtkd_rl_tiny_digits.py')
ALONE = str(ROOT / 'configs/digits/students/tiny_digits.py')


def load_tool() -> Any:
    spec = spec_from_file_location('tool_compare', ROOT / 'tools/compare.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


def reached(*values: float) -> Summary:
    return summarise([Score({'top1': value}, 1.0) for value in values], 'top1')


def test_a_paired_difference_by_hand() -> None:
    # differences 1, 2, 3: mean 2, sd 1, t_{0.975, 2} = 4.302653
    found = paired(reached(51.0, 62.0, 73.0), reached(50.0, 60.0, 70.0))
    assert found.values == [1.0, 2.0, 3.0]
    half = 4.302653 / math.sqrt(3)
    assert (found.mean, found.low, found.high) == pytest.approx((2, 2 - half, 2 + half), abs=1e-4)
    assert told(found) == '+2.00 [-0.48, +4.48]'


def test_the_interval_is_that_of_a_paired_t_test() -> None:
    one, other = (50.1, 52.3, 49.8, 51.7, 50.9), (49.5, 52.0, 49.9, 50.6, 50.2)
    found = paired(reached(*one), reached(*other))
    interval = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-4)


def test_one_seed_has_no_interval() -> None:
    found = paired(reached(51.0), reached(50.0))
    assert math.isnan(found.low)
    assert told(found) == '+1.00'


def test_the_table_for_a_document() -> None:
    rows = {'alone': {'accuracy/top1': reached(50.0, 60.0)}, 'taught': {'accuracy/top1': reached(52.0, 62.0)}}
    heading, _, first, second, *_ = in_markdown(rows, 'alone').splitlines()
    assert heading == '|  | top1 | against alone, 95% interval |'
    assert first == '| alone | 55.00 ± 7.07 |  |'
    assert second == '| taught | 57.00 ± 7.07 | +2.00 [+2.00, +2.00] |'


def test_the_picture_of_the_rows(tmp_path: Path) -> None:
    plot_rows({'a': [1.0, 2.0], 'b': [3.0]}, 'top1', tmp_path / 'deep/rows.png')
    assert Image.open(tmp_path / 'deep/rows.png').size[0] > 500


def test_a_row_for_each_strategy_and_one_for_a_student_without_teachers() -> None:
    rows = tool.rows_of([ALONE, DIGITS], ['agent=PPOWeighting', "dict(type='DroppingWeighting', drop=0.3)"])
    assert list(rows) == [
        'tiny_digits',
        'agent',
        "(type='DroppingWeighting', drop=0.3)",
    ]
    assert rows['tiny_digits'] == (ALONE, ())
    _, options = rows["(type='DroppingWeighting', drop=0.3)"]
    assert options == (
        'custom_hooks.0.strategy._delete_=True',
        'custom_hooks.0.strategy.type=DroppingWeighting',
        'custom_hooks.0.strategy.drop=0.3',
    )
    cfg = Config.fromfile(DIGITS)
    cfg.merge_from_dict({'custom_hooks.0.strategy._delete_': True, 'custom_hooks.0.strategy.type': 'X'})
    assert cfg.custom_hooks[0].strategy == {'type': 'X'}


def test_a_row_with_other_options_of_its_hook() -> None:
    text = "agent=dict(type='PPOWeighting', scale=1)  logit_weight=3 guard.limit=0.1"
    config, options = tool.rows_of([DIGITS], [text])['agent']
    cfg = Config.fromfile(config)
    parser = ArgumentParser()
    parser.add_argument('--cfg-options', nargs='+', action=DictAction)
    cfg.merge_from_dict(parser.parse_args(['--cfg-options', *options]).cfg_options)
    hook = cfg.custom_hooks[0]
    assert hook.strategy == {'type': 'PPOWeighting', 'scale': 1}
    assert (hook.logit_weight, hook.guard.limit) == (3, 0.1)
    assert tool.rows_of([DIGITS], ['AverageWeighting logit_weight=3'])['AverageWeighting logit_weight=3']


def test_a_strategy_with_options_in_options() -> None:
    told = tool.options_of("dict(type='X', reward=dict(type='Y', effect=0.5), n=(1, 2))")
    assert told == {'type': 'X', 'reward': {'type': 'Y', 'effect': 0.5}, 'n': (1, 2)}
    assert tool.settings('a', told) == ['a.type=X', 'a.reward.type=Y', 'a.reward.effect=0.5', 'a.n=(1, 2)']


@pytest.mark.parametrize('wrong', ['dict(PPO)', 'f()', 'dict(type=open("x"))', '[1]', 'dict('])
def test_a_strategy_that_is_none(wrong: str) -> None:
    with pytest.raises(MTKDError, match='give the name of one'):
        tool.options_of(wrong)


def test_options_of_the_hook_are_for_those_that_have_one() -> None:
    options = ['custom_hooks.0.logit_weight=3', 'randomness.seed=1']
    assert tool.fitting(ALONE, options) == ['randomness.seed=1']
    assert tool.fitting(DIGITS, options) == options


def test_two_rows_of_one_name() -> None:
    with pytest.raises(MTKDError, match='two rows are called tiny_digits'):
        tool.rows_of([ALONE, ALONE], [])
    with pytest.raises(MTKDError, match='two rows are called a;'):
        tool.rows_of([DIGITS], ['a=PPOWeighting', 'a=AverageWeighting'])
    assert list(tool.rows_of([DIGITS, ALONE.replace('students/', 'average_')], ['a=PPOWeighting']))[1].startswith(
        'average_'
    )


def test_a_row_to_compare_with_that_there_is_not(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [ALONE, '--metric', 'accuracy/top1', '--against', 'nobody', '--work-dir', str(tmp_path)]
    assert tool.main(command) == 1
    assert '--against nobody: there is no such row; rows: tiny_digits' in capsys.readouterr().err


@pytest.mark.slow
def test_strategies_are_compared_seed_by_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / 'mine.py'
    config.write_text(
        f"_base_ = '{DIGITS}'\ntrain_cfg = dict(max_epochs=1)\nparam_scheduler = []\n"
        'train_dataloader = dict(num_workers=0, persistent_workers=False)\n'
    )
    options = [f'custom_hooks.0.teachers.{name}.checkpoint=random' for name in ('strong', 'half', 'weak')]
    command = [str(config), '--strategies', 'AverageWeighting', "dict(type='DroppingWeighting', drop=1)"]
    command += ['--metric', 'accuracy/top1', '--seeds', '2', '--work-dir', str(tmp_path / 'out')]
    assert tool.main([*command, '--cfg-options', *options]) == 0
    summary = json.loads((tmp_path / 'out/summary.json').read_text())
    first, second = summary['rows']
    assert first['against']['row'] == second['against']['row'] == 'AverageWeighting'
    assert first['against']['accuracy/top1']['values'] == [0, 0]
    values = [row['accuracy/top1']['values'] for row in (second, first)]
    assert second['against']['accuracy/top1']['values'] == pytest.approx([a - b for a, b in zip(*values)], abs=1e-3)
    assert '## validation' in (tmp_path / 'out/summary.md').read_text()
    assert Image.open(tmp_path / 'out/summary.png')
    # what is done is not made again
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'out').glob('*/*/score.json')}
    assert len(before) == 4
    assert tool.main([*command, '--cfg-options', *options]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in before}
    assert 'AverageWeighting' in capsys.readouterr().out
