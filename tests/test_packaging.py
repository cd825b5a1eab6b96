import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

import mtkd_rl

ROOT = Path(__file__).parents[1]
PROJECT = (ROOT / 'pyproject.toml').read_text()


def run(*command, **options):
    done = subprocess.run([str(item) for item in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_version_is_the_same_everywhere():
    assert re.search('^version = "(.*)"$', PROJECT, re.M)[1] == mtkd_rl.__version__
    assert yaml.safe_load((ROOT / 'CITATION.cff').read_text())['version'] == mtkd_rl.__version__


def test_the_core_does_not_pull_openmmlab():
    core = re.search(r'^dependencies = \[(.*?)^\]', PROJECT, re.M | re.S)[1]
    assert 'torch' in core
    assert not re.search('onedl|mmengine|mmcv|mmdet|mmseg|mmpretrain', core)


def test_every_pinned_version_is_one_that_the_metadata_allows():
    pinned = dict(line.split('==') for line in (ROOT / 'constraints.txt').read_text().splitlines() if '==' in line)
    floors = dict(re.findall(r'"([a-z0-9-]+)>=([0-9.]+)"', PROJECT))
    for name in pinned.keys() & floors.keys():
        assert [int(part) for part in pinned[name].split('.')] >= [int(part) for part in floors[name].split('.')], name


def test_the_package_carries_configs_and_tools_of_the_checkout():
    carried = Path(mtkd_rl.__file__).parent / '.mim'
    for name in ('configs', 'tools'):
        assert (carried / name).resolve() == ROOT / name


def test_help_lists_every_target():
    text = run('make', '-C', ROOT, 'help')
    for target in ('install', 'demo', 'test', 'test-all', 'lint', 'clean'):
        assert f'make {target} ' in text


@pytest.mark.skipif(not (ROOT / '.git').exists(), reason='git tells which files of a checkout to copy')
@pytest.mark.slow
def test_the_wheel_works_without_the_checkout(tmp_path):
    source, site = tmp_path / 'source', tmp_path / 'site'
    for name in run('git', 'ls-files', '-co', '--exclude-standard', cwd=ROOT).splitlines():
        if (ROOT / name).exists():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name, follow_symlinks=False)
    (source / 'tools/__pycache__').mkdir()
    (source / 'tools/__pycache__/train.cpython-311.pyc').touch()
    run(sys.executable, '-m', 'pip', 'wheel', '--no-deps', '--wheel-dir', tmp_path, source)

    (wheel,) = tmp_path.glob('*.whl')
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        metadata = archive.read(f'mtkd_rl-{mtkd_rl.__version__}.dist-info/METADATA').decode()
    files = {path for folder in ('configs', 'tools') for path in (source / folder).rglob('*') if path.is_file()}
    wanted = {f'mtkd_rl/.mim/{path.relative_to(source)}' for path in files if '__pycache__' not in path.parts}
    assert wanted <= names
    assert len([name for name in names if '.mim/configs/' in name]) > 0
    assert 'mtkd_rl/py.typed' in names
    assert not [name for name in names if '__pycache__' in name or name.startswith('tests')]
    assert 'Requires-Dist: onedl-mmengine>=0.10.10; extra == "openmmlab"' in metadata

    run(sys.executable, '-m', 'pip', 'install', '--no-deps', '--target', site, wheel)
    config = min(name.split('.mim/configs/')[1] for name in names if '.mim/configs/' in name and '/_base_/' not in name)
    (tmp_path / 'own.py').write_text(f"_base_ = 'mtkd_rl::{config}'\n")
    program = 'from mtkd_rl import tooling; tooling.load_config("own.py"); print(tooling.__file__)'
    environment = dict(os.environ, PYTHONPATH=str(site))
    assert str(site) in run(sys.executable, '-c', program, cwd=tmp_path, env=environment)
    assert 'CONFIG' in run(sys.executable, '-m', 'mtkd_rl', 'train', '--help', cwd=tmp_path, env=environment)
