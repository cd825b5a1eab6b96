"""What the documentation says is so: links, options and defaults, scalars, commands, and every snippet."""

import importlib.util
import inspect
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from mmengine.config import Config
from mmengine.model import BaseModel
from stable_baselines3 import PPO
from toy import batch, one_is_right

from mtkd_rl.hook import MTKDHook
from mtkd_rl.registry import HOOKS, LOSSES, REWARDS, STRATEGIES, TEACHERS, build
from mtkd_rl.rl.agent import DEFAULTS, OPTIONS
from mtkd_rl.teachers.pool import Options
from mtkd_rl.tooling import know_packages

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob('*.md')), *sorted((ROOT / 'docs').glob('*.md'))]
FENCE = re.compile(r'^```(\w*)\n(.*?)^```$', re.DOTALL | re.MULTILINE)


def read(page: str | Path) -> str:
    return (ROOT / page).read_text(encoding='utf-8')


def snippets(page: str | Path, language: str = 'python') -> list[str]:
    return [code for kind, code in FENCE.findall(read(page)) if kind == language]


def snippet(page: str, holds: str) -> str:
    """The one Python snippet of a page that holds a text."""
    (found,) = [code for code in snippets(page) if holds in code]
    return found


def table(page: str, heading: str) -> list[dict[str, str]]:
    """The rows of every table below a heading, up to the next heading; column's name to cell, without backquotes."""
    section = re.split(r'^#+ ', read(page).split(f'# {heading}\n', 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    rows, columns = [], None
    for line in section.splitlines():
        if not line.startswith('|'):
            columns = None
            continue
        cells = [cell.strip().strip('`') for cell in line.strip().strip('|').split('|')]
        if columns is None:
            columns = cells
        elif not set(line) <= set('|- '):
            rows.append(dict(zip(columns, cells, strict=True)))
    return rows


def settings(code: str) -> dict[str, Any]:
    """What a snippet of a config sets."""
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    return {name: value for name, value in namespace.items() if not name.startswith('__')}


def load_tool(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f'tool_{name}', ROOT / 'tools' / f'{name}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- links and commands


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = FENCE.sub('', page.read_text(encoding='utf-8'))
    headings = re.findall(r'^#+ (.+)$', text, re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = re.findall(r'\]\(([^)\s]+)\)', FENCE.sub('', read(page)))
    for link in links:
        if link.startswith(('http://', 'https://')):
            continue
        path, _, anchor = link.partition('#')
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.name)
def test_commands_name_what_is_there(page):
    makefile = read('Makefile')
    commands = '\n'.join([*snippets(page, 'bash'), *re.findall(r'`([^`\n]+)`', read(page))])
    for target in re.findall(r'^make ([a-z-]+)', commands, re.MULTILINE):
        assert re.search(rf'^{target}:', makefile, re.MULTILINE), target
    for tool in re.findall(r'python (tools/\w+\.py)', commands):
        assert (ROOT / tool).is_file(), tool
    for name in re.findall(r'\bmtkd_rl::(\S+\.py)', commands):
        assert (ROOT / 'configs' / name).is_file(), name


# ---- options and defaults


def defaults_of(thing: Any) -> dict[str, str]:
    """Options of a class as the tables write them, without ``*args`` and ``**kwargs``."""
    named = [p for p in inspect.signature(thing).parameters.values() if p.kind is p.POSITIONAL_OR_KEYWORD]
    return {p.name: 'required' if p.default is p.empty else repr(p.default) for p in named}


def test_every_option_of_the_hook_is_listed_with_its_default():
    assert {row['option']: row['default'] for row in table('docs/hook.md', 'MTKDHook')} == defaults_of(MTKDHook)


def test_every_option_of_a_teacher_is_listed_with_its_default():
    listed = {row['option']: row['default'] for row in table('docs/hook.md', "A teacher's entry")}
    assert listed.pop('type') == repr('OpenMMLab')
    assert listed == defaults_of(Options)


def test_every_option_of_ppo_is_listed_with_its_default():
    theirs = defaults_of(PPO)
    ours = {name: repr(DEFAULTS[name]) if name in DEFAULTS else theirs[name] for name in OPTIONS}
    assert {row['option']: row['default'] for row in table('docs/hook.md', "PPO's own options")} == ours


@pytest.mark.parametrize(
    ('heading', 'column', 'registry'),
    [
        ('Sources', 'type', TEACHERS),
        ('Losses', 'type', LOSSES),
        ('Strategies', 'type', STRATEGIES),
        ('Strategies', 'reward', REWARDS),
    ],
)
def test_everything_registered_is_listed_with_its_options(heading, column, registry):
    registry.import_from_location()
    ours = {name: cls for name, cls in registry.module_dict.items() if cls.__module__.startswith('mtkd_rl.')}
    expected = {
        (name, option, default)
        for name, cls in ours.items()
        for option, default in defaults_of(cls).items() or [('', '')]
    }
    rows = [row for row in table('docs/hook.md', heading) if column in row]
    assert {(row[column], row['option'], row['default']) for row in rows} == expected


@pytest.mark.parametrize(
    ('page', 'code'),
    [(page.name, code) for page in PAGES for code in snippets(page) if 'MTKDHook' in code and '_base_' not in code],
)
def test_a_snippet_of_a_config_names_options_that_exist(page, code):
    theirs = {'TorchHub', 'SimilarityWeighting', 'LogitRegression'}  # made and run further down
    (entry,) = settings(code)['custom_hooks']
    hook = {key: value for key, value in entry.items() if not (isinstance(value, dict) and value.get('type') in theirs)}
    teachers = HOOKS.build(hook).teachers
    for name, options in teachers.items():
        own = {key: value for key, value in options.items() if key not in Options._fields}
        if own.get('type') not in theirs:
            build(TEACHERS, {'type': 'OpenMMLab', **own}, name)


@pytest.mark.parametrize(
    ('page', 'base', 'names'),
    [
        ('README.md', 'resnet18_8xb32', {'r50', 'r101', 'next'}),
        ('README.md', 'retinanet_r18', {'r50', 'x101'}),
        ('docs/dense.md', 'retinanet_r18', {'r50', 'r101'}),
    ],
)
def test_the_five_lines_are_a_config(tmp_path, page, base, names):
    (tmp_path / 'my_config.py').write_text(snippet(page, base))
    know_packages()
    cfg = Config.fromfile(tmp_path / 'my_config.py')
    assert cfg.model.backbone.depth == 18
    teachers = HOOKS.build(cfg.custom_hooks[0]).teachers
    assert set(teachers) == names
    for name, options in teachers.items():
        own = {key: value for key, value in options.items() if key not in Options._fields}
        build(TEACHERS, {'type': 'OpenMMLab', **own}, name)


# ---- a run with everything that the pages show

MY_CONFIG = """
_base_ = '{root}/configs/digits/students/tiny_digits.py'
teacher = dict(config='{root}/configs/digits/teachers/weak_digits.py', checkpoint='random')
custom_hooks = [dict(
    type='mtkd_rl.MTKDHook',
    teachers=dict(one=teacher, other=teacher),
    strategy=dict(type='PPOWeighting', rollout=100, strength=(0.5, 1.5)),
    self_learning=dict(held_out=8))]
train_cfg = dict(max_epochs=2, val_interval=2)
default_hooks = dict(logger=dict(interval=1), checkpoint=dict(interval=2))
"""


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """A folder with ``my_config.py`` and its run with an agent, in ``work_dirs/my_config``."""
    folder = tmp_path_factory.mktemp('docs')
    config = MY_CONFIG.format(root=ROOT.as_posix()) + snippet('docs/scalars.md', 'visualizer')
    (folder / 'my_config.py').write_text(config)
    work_dir = folder / 'work_dirs' / 'my_config'
    assert load_tool('train').main([str(folder / 'my_config.py'), '--work-dir', str(work_dir)]) == 0
    return folder


def logged(work_dir: Path) -> dict[str, list[float]]:
    """Every scalar that a run logged."""
    (file,) = work_dir.glob('*/vis_data/scalars.json')
    values: dict[str, list[float]] = {}
    for line in file.read_text().splitlines():
        for key, value in json.loads(line).items():
            values.setdefault(key, []).append(value)
    return values


def documented() -> dict[str, tuple[str, str]]:
    """Pattern of a scalar's name to its name in the docs and its range."""
    rows = [
        row
        for heading in ('On the terminal', 'Of the teachers', 'Of self-learning', 'Of the agent')
        for row in table('docs/scalars.md', heading)
    ]
    places = {'KIND': '(logit|feature)', 'NAME': '(one|other)', 'DEGRADATION': r'\w+'}
    return {
        re.sub('|'.join(places), lambda found: places[found[0]], row['scalar']): (row['scalar'], row['range'])
        for row in rows
    }


def test_every_scalar_is_documented_and_every_documented_one_is_logged(folder):
    mmengines = {'lr', 'data_time', 'time', 'epoch', 'iter', 'step', 'accuracy/top1', 'memory'}
    seen = set(logged(folder / 'work_dirs/my_config')) - mmengines
    matched = {key: [name for pattern, (name, _) in documented().items() if re.fullmatch(pattern, key)] for key in seen}
    assert {key: names for key, names in matched.items() if len(names) != 1} == {}
    assert {name for names in matched.values() for name in names} == {name for name, _ in documented().values()}


def test_scalars_are_in_the_ranges_that_are_documented(folder):
    bounds = {'at least 0': (0, float('inf')), '0 to 1': (0, 1), '0 to 0.5': (0, 0.5), '-1 to 1': (-1, 1)}
    checked = set()
    for key, values in logged(folder / 'work_dirs/my_config').items():
        for pattern, (name, text) in documented().items():
            bound = next((bound for start, bound in bounds.items() if text.startswith(start)), None)
            if bound is not None and re.fullmatch(pattern, key):
                assert all(bound[0] - 1e-6 <= value <= bound[1] + 1e-6 for value in values), (key, values)
                checked.add(name)
    assert len(checked) >= 10


def test_the_loss_on_the_terminal_is_the_students_own():
    own = {'loss': torch.tensor(1.0), 'loss_kd_logit': torch.tensor(2.0)}
    total, shown = BaseModel.parse_losses(torch.nn.Identity(), own)
    assert (float(total), float(shown['loss'])) == (3.0, 1.0)


def test_the_backends_of_the_snippet_are_fed(folder):
    assert list((folder / 'work_dirs/my_config').glob('*/vis_data/events.out.tfevents.*'))


def test_the_run_leaves_behind_what_is_said(folder, monkeypatch):
    work_dir = folder / 'work_dirs' / 'my_config'
    checkpoint = torch.load(work_dir / 'epoch_2.pth', weights_only=False)
    assert not any('teacher' in key or 'adapter' in key for key in checkpoint['state_dict'])
    assert [set(teacher) for teacher in checkpoint['mtkd_rl']['teachers']] == [
        {'name', 'source', 'sha256', 'input'}
    ] * 2
    assert (work_dir / 'agent.pth').is_file()
    assert {'mean', 'left_out', 'leads'} < set(json.loads((work_dir / 'distillation.json').read_text()))
    monkeypatch.chdir(folder)
    exec(snippet('docs/hook.md', 'plot_weights'), {})
    assert (folder / 'weights.png').read_bytes().startswith(b'\x89PNG')


def test_the_environment_of_the_snippet_trains(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path('my_config.py').write_text(MY_CONFIG.format(root=ROOT.as_posix()) + "work_dir = 'work_dirs/my_config'\n")
    namespace: dict[str, Any] = {}
    exec(snippet('docs/how-it-works.md', 'DistillationEnv'), namespace)
    env = namespace['env']
    trained = [parameter.detach().clone() for parameter in env.student.parameters()]
    env.reset()
    assert not any(torch.equal(x, start) for x, start in zip(trained, env.student.parameters(), strict=True))


# ---- the README's own source, strategy and loss

HUBCONF = """
import torch

dependencies = ['torch']


def big_net():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(288, 10))
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """The README's modules in an importable folder, and a repository for its source of teachers."""
    for name in ('my_sources', 'my_strategies', 'my_losses'):
        (tmp_path / f'{name}.py').write_text(snippet('README.md', f'# {name}.py'))
    (tmp_path / 'path/to/repo').mkdir(parents=True)
    (tmp_path / 'path/to/repo/hubconf.py').write_text(HUBCONF)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    for registry, name in ((TEACHERS, 'TorchHub'), (STRATEGIES, 'SimilarityWeighting'), (LOSSES, 'LogitRegression')):
        registry.module_dict.pop(name, None)
    for name in ('my_sources', 'my_strategies', 'my_losses'):
        importlib.sys.modules.pop(name, None)


def test_a_students_teachers_come_from_the_readmes_source(modules):
    source, parts = (settings(snippet('README.md', text)) for text in ("['my_sources']", "['my_strategies'"))
    (hook,), (entry,) = parts['custom_hooks'], source['custom_hooks']
    hub = entry['teachers']['hub']
    hook['teachers'] = dict(hub=hub, again={**hub, 'temperature': 8.0})
    imports = source['custom_imports']['imports'] + parts['custom_imports']['imports']
    (modules / 'mine.py').write_text(
        f"_base_ = '{ROOT.as_posix()}/configs/digits/students/tiny_digits.py'\n"
        f'custom_imports = dict(imports={imports})\n'
        f'custom_hooks = [{hook}]\n'
        'train_cfg = dict(max_epochs=1, val_interval=1)\ndefault_hooks = dict(logger=dict(interval=1))\n'
    )
    assert load_tool('train').main(['mine.py', '--no-validate']) == 0
    values = logged(modules / 'work_dirs/mine')
    assert all(a + b == pytest.approx(1, abs=1e-5) for a, b in zip(values['w_hub'], values['w_again'], strict=True))
    assert values['loss_kd_logit'][0] > 0


def test_the_readmes_strategy_trusts_who_is_like_the_student(modules):
    importlib.import_module('my_strategies')
    state, *_ = batch(one_is_right, torch.Generator().manual_seed(0), size=4)
    similarity = torch.tensor([[1.0, 0.0]]).expand(4, 2)
    weights = build(STRATEGIES, {'type': 'SimilarityWeighting'}, 'strategy').decide(
        state._replace(teachers=state.teachers[:2], similarity=similarity)
    )
    assert torch.allclose(weights.logit, torch.tensor([torch.e / (torch.e + 1), 1 / (torch.e + 1)]).expand(4, 2))
