"""The doctor: its statistics against references, its rules, and the tool on teachers that are wrong in a known way."""

import itertools
import json
import math
import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.registry import DATASETS
from mmpretrain.structures import DataSample
from rich.console import Console
from runs import classifier, config, counting, entry, teacher, train
from torch import Tensor, nn
from torch.utils.data import Dataset

from mtkd_rl.doctor.claims import papers_of, same_names_elsewhere
from mtkd_rl.doctor.contracts import IMAGENET, alternatives, complete, setting
from mtkd_rl.doctor.costs import peak
from mtkd_rl.doctor.findings import judge, near_chance
from mtkd_rl.doctor.metrics import Top1, examiner_of, paired_z
from mtkd_rl.doctor.report import Order, Report, TeacherReport, Trial
from mtkd_rl.doctor.show import show
from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers import InputContract, build_pool
from mtkd_rl.types import Outputs

ROOT = Path(__file__).parents[1]
DIGITS = ROOT / 'configs/digits/mtkd_rl_tiny_digits.py'


def load_tool(name: str) -> Any:
    spec = spec_from_file_location(f'tool_{name}', ROOT / 'tools' / f'{name}.py')
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool('doctor')


# --- statistics


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), wrong=st.floats(0, 0.9))
def test_the_best_order_is_that_of_brute_force(seed: int, wrong: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    truth = torch.randint(4, (200,), generator=generator)
    said = torch.where(
        torch.rand(200, generator=generator) < wrong, torch.randint(4, (200,), generator=generator), truth
    )
    said = torch.randperm(4, generator=generator)[said]
    right = {
        order: sum(order[s] == t for s, t in zip(said[:100].tolist(), truth[:100].tolist()))
        for order in itertools.permutations(range(4))
    }
    found = Top1().order(said, truth, 4)
    order = (0, 1, 2, 3) if found is None else found.classes
    assert right[order] == max(right.values())
    if found is not None:
        after = [order[s] == t for s, t in zip(said[100:].tolist(), truth[100:].tolist())]
        assert found.after == pytest.approx(sum(after) / 100)
        assert found.before == pytest.approx(float((said == truth)[100:].float().mean()))


def test_classes_that_are_never_said_keep_their_place() -> None:
    truth = torch.arange(10).repeat(20)[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    knows = truth < 4
    swapped = torch.tensor([1, 0, 3, 2])
    guess = torch.randint(4, (200,), generator=torch.Generator().manual_seed(1))
    said = torch.where(knows, swapped[truth.clamp(max=3)], guess)
    order = Top1().order(said, truth, 10)
    assert order is not None
    assert order.classes == (1, 0, 3, 2, 4, 5, 6, 7, 8, 9)
    assert (order.moved_before, order.moved_after) == (0, 1)
    assert Top1().order(torch.where(knows, truth, guess), truth, 10) is None


def test_an_answer_that_was_no_answer_stays_wrong() -> None:
    truth = torch.tensor([0, 1, 0, 1, 0, 1, 0, 1])
    said = torch.tensor([1, 0, -1, 0, -1, -1, 1, 0])
    order = Top1().order(said, truth, 2)
    assert order is not None
    assert (order.classes, order.before, order.after) == ((1, 0), 0.0, 0.5)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_paired_z_is_mcnemars(pairs: list[tuple[bool, bool]]) -> None:
    before, after = (torch.tensor([pair[i] for pair in pairs]).float() for i in (0, 1))
    won, lost = pairs.count((False, True)), pairs.count((True, False))
    expected = (won - lost) / math.sqrt(won + lost) if won + lost else 0.0
    assert paired_z(before, after) == pytest.approx(expected)


def test_together_is_the_largest_mean_probability() -> None:
    """Two sure of class 0 are outvoted by nobody; two who waver lose to one who is sure."""

    def say(*rows: list[float]) -> Outputs:
        logits = torch.tensor(rows).log()
        return Outputs(logits, logits, (logits,), torch.zeros(len(rows)))

    sure, wavering = say([0.9, 0.1], [0.1, 0.9]), say([0.8, 0.2], [0.6, 0.4])
    assert Top1().together([sure, wavering, wavering]).tolist() == [0, 1]
    assert Top1().together([wavering]).tolist() == [0, 0]


def test_chance_is_what_always_the_same_answer_gets() -> None:
    truth = torch.tensor([2, 2, 2, 0, 1, 2])
    assert Top1().chance(truth, 10) == pytest.approx(4 / 6)
    assert Top1().chance(torch.arange(3), 3) == pytest.approx(1 / 3)


def test_near_chance_is_within_three_standard_errors() -> None:
    error = math.sqrt(0.1 * 0.9 / 400)
    assert near_chance(0.1 + 2.9 * error, 0.1, 400)
    assert not near_chance(0.1 + 3.1 * error, 0.1, 400)


def test_a_task_without_an_examiner_is_named() -> None:
    with pytest.raises(MTKDError, match='knows no metric for object, only for Classification'):
        examiner_of(object())  # type: ignore[arg-type]


# --- contracts

COLOURS = InputContract(mean=(123.7, 116.3, 103.5), std=(58.4, 57.1, 57.4), channel_order='rgb')
GREY = InputContract(mean=(78.0,), std=(96.0,))


@pytest.mark.parametrize(
    ('source', 'applied', 'shape'),
    [
        (COLOURS, InputContract((0.0,), (255.0,), 'bgr', (16, 16), 3), (3, 32, 32)),
        (COLOURS, COLOURS, (3, 8, 8)),
        (GREY, InputContract((33.0,), (77.0,), channels=1), (1, 8, 8)),
        (GREY, COLOURS, (1, 8, 8)),
    ],
)
def test_what_is_to_be_written_gives_the_contract_that_was_tried(source, applied, shape) -> None:
    whole = complete(applied, source, shape)
    tried = alternatives(applied, source, shape, (24, 24))
    wholes = [complete(other, source, shape) for other in tried.values()]
    assert whole not in wholes
    assert len(set(wholes)) == len(wholes)
    given_ = dict(mean=list(whole.mean), std=list(whole.std), channel_order=whole.channel_order, input_size=whole.size)
    for other in wholes:
        options = {**given_, **eval(f'dict({setting(whole, other)})')}
        model = nn.Sequential(nn.Conv2d(whole.channels, 1, 1))
        (built,) = build_pool(
            {'a': dict(type='Callable', build=lambda m=model: m, **options)}, temperature=1.0, source=source
        )
        assert complete(built.contract, source, shape) == other


def test_colours_are_tried_in_the_other_order_and_as_imagenet_has_them() -> None:
    tried = alternatives(COLOURS._replace(size=(16, 16)), COLOURS, (3, 32, 32), None)
    assert tried['other order'].channel_order == 'bgr'
    assert (tried["ImageNet's"].mean, tried["ImageNet's"].std) == IMAGENET
    assert tried["student's"].size is None
    assert not {'other order', "ImageNet's"} & set(alternatives(GREY, GREY, (1, 8, 8), None))


# --- claims


def test_torchvisions_weights_claim_their_accuracy() -> None:
    papers = papers_of('a', dict(type='Torchvision', model='resnet18', weights='DEFAULT'), nn.Linear(1, 1))
    assert papers.claim == pytest.approx(0.69758)
    assert papers.trained_on == (224, 224)
    assert len(papers.classes) == 1000


def test_the_header_of_a_config_claims_unless_the_entry_changes_it() -> None:
    path = str(ROOT / 'configs/digits/teachers/half_digits.py')
    model = nn.Linear(1, 1)
    assert papers_of('a', dict(config=path), model).claim == pytest.approx(0.511)
    assert papers_of('a', dict(config=path), model).trained_on == (8, 8)
    assert papers_of('a', dict(config=path, checkpoint='random'), model).claim is None
    assert papers_of('a', dict(config=path, cfg_options={'model.head.num_classes': 10}), model).claim is None


def test_an_order_by_name_says_which_of_ours_each_of_theirs_is() -> None:
    assert same_names_elsewhere('cab', 'abc') == (2, 0, 1)
    assert same_names_elsewhere('abc', 'abc') is None
    assert same_names_elsewhere('abd', 'abc') is None


# --- rules


def a_report(*teachers: TeacherReport, student: float = 0.1) -> Report:
    return Report('c', 'cpu', 'top-1', 500, 10, 0.12, 0.95, student, 'untrained', list(teachers))


def verdict(teacher: TeacherReport, **more: Any) -> tuple[str, str]:
    finding = next(each for each in judge(a_report(teacher, **more)) if each.teacher == teacher.name)
    return finding.level, finding.text


SWAP = Order((1, 0, *range(2, 10)), 0.7, 0.9, 6.0, 0.02, 0.95)
BETTER = Trial("student's", 'mean=[1.0], std=[2.0]', 0.9, 8.0)


@pytest.mark.parametrize(
    ('known', 'level', 'words'),
    [
        (dict(metric=0.9), 'green', ['90.0%']),
        (dict(metric=0.15), 'red', ['no better than chance', 'no cause was found']),
        (dict(metric=0.9, random=True), 'red', ['random']),
        (dict(metric=0.9, not_finite=100), 'red', ['not finite on 100 of 500']),
        (dict(metric=None, broken="teacher 'a': too big; make it smaller"), 'red', ['too big']),
        (dict(metric=0.7, claim=0.9), 'red', ['claimed 90.0%', 'no cause was found']),
        (dict(metric=0.84, claim=0.9), 'yellow', ['claimed 90.0%', 'same data']),
        (dict(metric=0.89, claim=0.9), 'green', ['claimed 90.0%']),
        (dict(metric=0.7, order=SWAP), 'red', ['permuted', '[1, 0, 2,', '90.0%']),
        (dict(metric=0.7, order=SWAP._replace(z=3.5)), 'green', []),
        (dict(metric=0.7, order=SWAP._replace(moved_before=0.5)), 'green', []),
        (dict(metric=0.8, trials=[BETTER]), 'red', ['normalisation is wrong', 'mean=[1.0], std=[2.0]', '90.0%']),
        (dict(metric=0.8, trials=[BETTER._replace(z=3.5)]), 'green', []),
        (dict(metric=0.95, trials=[BETTER._replace(metric=0.97)]), 'green', []),  # within 3 points
        (dict(metric=0.4, trials=[BETTER._replace(metric=0.5)]), 'green', []),  # a sixth of what was wrong
        (dict(metric=0.4, claim=0.6, trials=[BETTER._replace(metric=0.51)]), 'red', ['normalisation']),
        # as swapped colours look like
        (dict(metric=0.7, order=SWAP._replace(after=0.93), trials=[BETTER]), 'red', ['normalisation']),
        (dict(metric=0.14, missing=('x',), parameters=5), 'red', ['1 of its 5', 'such as x']),
        (dict(metric=0.9, missing=('x',), parameters=5), 'yellow', ['1 are missing']),
        (dict(metric=0.05, order_by_name=(1, 0)), 'red', ['the same classes in another order', '[1, 0]']),
        (dict(metric=0.9, order_by_name=(1, 0)), 'green', []),
    ],
)
def test_the_rules(known: dict[str, Any], level: str, words: list[str]) -> None:
    found = verdict(TeacherReport('a', **known))
    assert found[0] == level
    assert all(word in found[1] for word in words), found[1]
    assert not found[1].startswith('teacher')


def test_a_weak_teacher_is_yellow_beside_a_better_one_or_a_student() -> None:
    weak, strong = TeacherReport('weak', metric=0.5), TeacherReport('strong', metric=0.9)
    lines = judge(a_report(weak, strong))
    assert [(line.level, line.teacher) for line in lines] == [('yellow', 'weak'), ('green', 'strong')]
    assert 'meant to be weak' in lines[0].text
    assert verdict(weak)[0] == 'green'
    assert verdict(weak, student=0.6)[0] == 'yellow'


# --- costs


def test_the_peak_of_a_step_is_what_it_allocates_at_once() -> None:
    def step() -> None:
        first = torch.zeros(1 << 18)
        second = torch.zeros(1 << 19)
        del first
        torch.zeros(1 << 16)
        del second

    step()
    assert peak(step, torch.device('cpu')) == 4 * ((1 << 18) + (1 << 19))


# --- the tool, on small teachers that are trained here

GOOD, LESS = (16, 32), (8, 16)


def shuffled(source: Path, target: Path, named: bool = False) -> list[int]:
    """Writes a checkpoint with its classes in another order, which it may name.

    Returns:
        The class of each of its outputs.
    """
    checkpoint = torch.load(source, weights_only=False)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(1))
    for key in ('head.fc.weight', 'head.fc.bias'):
        checkpoint['state_dict'][key] = checkpoint['state_dict'][key][order]
    if named:
        checkpoint['meta']['dataset_meta'] = dict(classes=[str(each) for each in order.tolist()])
    torch.save(checkpoint, target)
    return order.tolist()


@pytest.fixture(scope='module')
def trained(tmp_path_factory) -> dict[str, Path]:
    """A good teacher and one that has seen the first five digits, as mmengine saves them."""
    folder = tmp_path_factory.mktemp('doctor')
    files = {}
    for name, widths, digits in (('good', GOOD, None), ('half', LESS, (0, 1, 2, 3, 4))):
        cfg = config(
            folder / name,
            student=classifier(widths),
            epochs=4,
            limit=1000,
            batch=50,
            optimizer=dict(type='AdamW', lr=0.01),
            val=True,
            save=True,
            augment=False,
        )
        cfg.train_dataloader.dataset.digits = digits
        train(cfg)
        files[name] = folder / name / 'epoch_4.pth'
    return files


@pytest.fixture
def examine(trained, tmp_path, capsys, monkeypatch):
    """Runs the tool in an empty folder on a config with the pool; each teacher's entry can be changed.

    Returns:
        The exit status and the report.
    """
    folder = tmp_path / 'empty'
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments: str, hook: dict[str, Any] | None = None, **changes: dict[str, Any]) -> tuple[int, dict]:
        teachers = {
            'good': teacher(GOOD, checkpoint=str(trained['good'])),
            'half': teacher(LESS, checkpoint=str(trained['half'])),
        }
        for name, change in changes.items():
            teachers[name] = {**teachers.get(name, {}), **change}
        cfg = config(tmp_path / 'work', [entry(teachers=teachers, **(hook or {}))], val=True)
        cfg.val_dataloader.dataset.limit = None
        cfg.dump(tmp_path / 'config.py')
        capsys.readouterr()
        status = tool.main([str(tmp_path / 'config.py'), '--json', '--images', '400', '--steps', '0', *arguments])
        said = capsys.readouterr()
        assert list(folder.iterdir()) == []
        assert not (tmp_path / 'work').exists()
        return status, json.loads(said.out) if said.out else {'error': said.err}

    return run


def of(report: dict, name: str) -> tuple[str, str]:
    """Level and text of a teacher's first line."""
    return next((level, text) for level, teacher, text in report['findings'] if teacher == name)


def test_a_sound_pool_is_green_but_for_the_weak_one(examine, trained) -> None:
    status, report = examine()
    assert status == 0
    assert of(report, 'good')[0] == 'green'
    assert of(report, 'half')[0] == 'yellow'
    good, half = report['teachers']
    assert good['metric'] > 0.85
    assert 0.3 < half['metric'] < 0.55
    assert half['metric'] < report['together'] <= 1
    assert report['student'] < 0.3
    assert report['pictures'] == 400
    # what the Runner said in its validation after the third epoch; the fourth one's came after the checkpoint
    logged = [
        json.loads(line)
        for line in next(trained['good'].parent.glob('*/vis_data/scalars.json')).read_text().splitlines()
    ]
    said = [row['accuracy/top1'] / 100 for row in logged if 'accuracy/top1' in row]
    assert good['claim'] == pytest.approx(said[-2])
    assert (good['classes'], good['common']) == (10, 10)
    assert good['as_student']
    assert {trial[0] for trial in good['trials']} == {'0..1', '-1..1', '0..255'}


def test_a_permuted_class_order_is_named(examine, trained, tmp_path) -> None:
    order = shuffled(trained['good'], tmp_path / 'shuffled.pth')
    status, report = examine(good=dict(checkpoint=str(tmp_path / 'shuffled.pth')))
    assert status == 1
    level, text = of(report, 'good')
    assert level == 'red'
    assert f'class order is permuted; with the order {order}' in text
    assert report['teachers'][0]['order'][2] > 0.85
    assert of(report, 'half')[0] != 'red'


def test_an_order_that_the_checkpoint_names_is_followed_as_in_training(examine, trained, tmp_path) -> None:
    shuffled(trained['good'], tmp_path / 'shuffled.pth', named=True)
    status, report = examine(good=dict(checkpoint=str(tmp_path / 'shuffled.pth')))
    assert status == 0
    assert of(report, 'good')[0] == 'green'
    assert report['teachers'][0]['metric'] > 0.85


def test_random_weights_are_named(examine) -> None:
    status, report = examine(half=dict(checkpoint='random'))
    assert status == 1
    assert of(report, 'half')[0] == 'red'
    assert 'weights are random' in of(report, 'half')[1]
    assert of(report, 'good')[0] == 'green'


def test_a_wrong_normalisation_is_named_with_the_right_one(examine) -> None:
    status, report = examine(good=dict(mean=[0.0], std=[255.0]))
    assert status == 1
    level, text = of(report, 'good')
    assert level == 'red'
    assert 'normalisation is wrong; with mean=[78.0], std=[96.0]' in text
    assert not report['teachers'][0]['as_student']
    ours = next(trial for trial in report['teachers'][0]['trials'] if trial[0] == "student's")
    assert ours[2] > report['teachers'][0]['metric'] + 0.1


def test_what_a_checkpoint_lacks_is_named(examine, trained, tmp_path) -> None:
    state = torch.load(trained['good'], weights_only=False)['state_dict']
    state = {key: value for key, value in state.items() if not key.startswith('head')} | {'extra': torch.zeros(1)}
    torch.save(state, tmp_path / 'headless.pth')
    status, report = examine(good=dict(checkpoint=str(tmp_path / 'headless.pth'), strict=False))
    assert status == 1
    assert 'stay random' in of(report, 'good')[1]
    assert set(report['teachers'][0]['missing']) == {'head.fc.weight', 'head.fc.bias'}
    assert report['teachers'][0]['unexpected'] == ['extra']


def test_teachers_that_cannot_be_asked_do_not_keep_the_others_from_it(examine) -> None:
    status, report = examine(
        half=dict(checkpoint='nowhere.pth'), nine=counting(classes=9), nan=counting(broken=list(range(99)))
    )
    assert status == 1
    assert "'nowhere.pth' is not there" in of(report, 'half')[1]
    assert "student's 10 classes" in of(report, 'nine')[1]
    assert 'not finite on 400 of 400' in of(report, 'nan')[1]
    assert of(report, 'good')[0] == 'green'


def test_compared_layers_are_those_of_the_config(examine) -> None:
    _, report = examine(hook=dict(student_layer='backbone.stages.0'), good=dict(layer='backbone.stages.1'))
    layers = report['teachers'][0]['layers']
    assert layers[0] == 'backbone.stages.0'
    assert layers[2] == 'backbone.stages.1'
    assert (layers[1][0], layers[3][0], layers[5][0]) == (4, 32, 32)
    assert report['teachers'][1]['layers'][2] == 'backbone'
    _, report = examine(hook=dict(feature_loss=None))
    assert report['teachers'][0]['layers'] is None


def test_without_a_hook_or_pictures_it_says_so_in_one_line(examine) -> None:
    for option, words in (('custom_hooks=[]', 'has no MTKDHook'), ('val_dataloader=None', 'has no val_dataloader')):
        status, report = examine('--cfg-options', option)
        assert status == 1
        assert words in report['error'].splitlines()[-1]


def test_the_tables_tell_what_the_report_holds() -> None:
    known = dict(metric=0.5, claim=0.9, claimed_by='someone', source='OpenMMLab [x]', missing=('k.weight',))
    contract = complete(GREY, GREY, (1, 8, 8))._asdict()
    report = a_report(TeacherReport('a', contract=contract, as_student=False, trials=[BETTER], **known))
    report.findings = judge(report)
    console = Console(width=100, record=True)
    show(report, console)
    text = console.export_text()
    for words in ('50.0', '90.0', 'someone', 'OpenMMLab [x]', 'k.weight', '+40.0', '8 x 8', '✗ teacher a: '):
        assert words in text, words


# --- colours


@DATASETS.register_module(force=True)
class ColoursOfTestDoctor(Dataset):
    """Pictures of 4 by 4 whose strongest colour is their class."""

    metainfo = dict(classes=('red', 'green', 'blue'))

    def __len__(self) -> int:
        return 120

    def __getitem__(self, index: int) -> dict[str, Any]:
        generator = torch.Generator().manual_seed(index)
        picture = 100 * torch.rand(3, 4, 4, generator=generator)
        picture[index % 3] += 100
        return dict(inputs=picture, data_samples=DataSample().set_gt_label(index % 3))


class Strongest(nn.Module):
    """Says red for strong red, if it is fed red, green, blue."""

    def __init__(self) -> None:
        super().__init__()
        self.same = nn.Conv2d(3, 3, 1, bias=False)
        self.same.weight.data = torch.eye(3).view(3, 3, 1, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.same(pictures).mean((2, 3))


def test_a_wrong_channel_order_is_named(tmp_path, capsys) -> None:
    student = classifier((4, 8), classes=3)
    student['backbone']['in_channels'] = 3
    strongest = dict(type='Callable', build='test_doctor.Strongest', channel_order='bgr')
    cfg = config(tmp_path / 'work', [entry(teachers=dict(a=strongest))], student=student, val=True)
    cfg.data_preprocessor = dict(num_classes=3, mean=[78.0], std=[96.0])
    for loader in (cfg.train_dataloader, cfg.val_dataloader):
        loader.dataset = dict(type='ColoursOfTestDoctor')
    cfg.dump(tmp_path / 'config.py')
    assert tool.main([str(tmp_path / 'config.py'), '--json', '--steps', '0']) == 1
    level, text = of(json.loads(capsys.readouterr().out), 'a')
    assert level == 'red'
    assert "channel order is wrong; with channel_order='rgb' (student's) it would have 100.0%" in text


# --- as the user runs it


def run(name: str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / 'tools' / f'{name}.py'), *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope='module')
def demo(tmp_path_factory) -> Path:
    """A folder with the demo's teachers."""
    folder = tmp_path_factory.mktemp('demo')
    for name in ('strong', 'half', 'weak'):
        assert run('train', ROOT / f'configs/digits/teachers/{name}_digits.py', cwd=folder).returncode == 0
    return folder


@pytest.mark.slow
def test_the_demos_config_is_green_but_for_what_is_meant_to_be_weak(demo) -> None:
    before = sorted(demo.rglob('*'))
    done = run('doctor', DIGITS, cwd=demo)
    assert done.returncode == 0, done.stderr
    assert '✓ teacher strong' in done.stdout
    assert '! teacher half' in done.stdout
    assert '! teacher weak' in done.stdout
    assert '✗' not in done.stdout
    assert sorted(demo.rglob('*')) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (['checkpoint=shuffled.pth'], 'class order is permuted'),
        (['checkpoint=random'], 'weights are random'),
        (['mean=[0.0]', 'std=[255.0]'], 'normalisation is wrong'),
    ],
)
@pytest.mark.parametrize('name', ['half', 'strong'])
def test_what_is_wrong_with_a_teacher_of_the_demo_is_named(demo, name, options, words) -> None:
    shuffled(demo / f'work_dirs/{name}_digits/epoch_15.pth', demo / 'shuffled.pth')
    options = [f'custom_hooks.0.teachers.{name}.{option}' for option in options]
    done = run('doctor', DIGITS, '--steps', 0, '--json', '--cfg-options', *options, cwd=demo)
    report = json.loads(done.stdout)
    assert done.returncode == 1
    assert [line[1] for line in report['findings'] if line[0] == 'red'] == [name]
    assert words in of(report, name)[1]


@pytest.mark.slow
def test_steps_are_measured_with_and_without_each_teacher(demo) -> None:
    report = json.loads(run('doctor', DIGITS, '--steps', 3, '--json', cwd=demo).stdout)
    costs = {name: dict(ms=ms, memory=memory, weights=weights) for name, ms, memory, weights in report['costs']}
    assert list(costs) == ['student alone', 'with half', 'with strong', 'with weak', 'all teachers']
    assert all(cost['ms'] > 0 for cost in costs.values())
    state = torch.load(demo / 'work_dirs/strong_digits/epoch_15.pth', weights_only=False)['state_dict']
    size = sum(value.numel() * value.element_size() for value in state.values()) / 2**20
    assert costs['with strong']['weights'] == pytest.approx(size)
    assert costs['all teachers']['weights'] == pytest.approx(3 * size)
    assert costs['all teachers']['memory'] > costs['with strong']['memory'] > costs['student alone']['memory'] > 0
