"""The configs of fusion: they parse, build, and train for an iteration on made pairs in the layout of the real set."""

from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from PIL import Image

from mtkd_rl.fusion.models import FusionModel
from mtkd_rl.registry import MODELS

ROOT = Path(__file__).resolve().parent.parent / 'configs'
SETS = {
    'roadscene': ('train/ir', 'train/vi', 'val/ir', 'val/vi'),
    'msrs': ('train/ir', 'train/vi', 'test/ir', 'test/vi'),
    'llvip': ('infrared/train', 'visible/train', 'infrared/test', 'visible/test'),
    'm3fd': ('Ir', 'Vis'),
    'tno': ('ir', 'vis'),
}
ALL = sorted(path for folder in SETS for path in (ROOT / folder).rglob('*.py') if '_base_' not in path.parts)
ALL += sorted(path for path in (ROOT / 'scenes' / 'fusion').rglob('*.py') if '_base_' not in path.parts)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize('path', ALL, ids=name)
def test_it_builds_a_fusion_model_and_says_how_it_is_run(path):
    cfg = Config.fromfile(path)
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        assert isinstance(MODELS.build(cfg.model), FusionModel)
    text = path.read_text()
    for line in ('# Paper: ', f'# Command: python tools/train.py configs/{name(path)}\n', '# Time: ', '# Result: '):
        assert line in text


@pytest.mark.parametrize('path', [path for path in ALL if path.name.startswith(('average', 'mtkd_rl'))], ids=name)
def test_the_hook_is_the_only_difference_from_the_student_alone(path):
    taught = Config.fromfile(path).to_dict()
    (hook,) = taught.pop('custom_hooks')
    teachers = taught.pop('teachers')
    stem = f'tiny_{path.stem.rsplit("tiny_", 1)[1]}'
    assert taught == Config.fromfile(path.parent / 'students' / f'{stem}.py').to_dict()
    assert hook['teachers'] == teachers
    for entry in teachers.values():
        config = Path(entry['config']).resolve()
        assert config.parent == path.parent / 'teachers'
        epochs = Config.fromfile(config).train_cfg.max_epochs
        assert entry['checkpoint'] == f'work_dirs/{config.stem}/epoch_{epochs}.pth'


def write_pairs(root: Path, folders: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    for folder in folders:
        (root / folder).mkdir(parents=True)
        shape = (140, 150) if folder.split('/')[0].lower().startswith('i') or folder.endswith('ir') else (140, 150, 3)
        for i in range(4):
            Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(root / folder / f'{i:05d}.png')
    for split in ('train', 'val'):
        (root / f'{split}.txt').write_text(''.join(f'{i:05d}\n' for i in range(4)))


@pytest.mark.parametrize('folder', sorted(SETS))
def test_a_student_trains_on_pairs_in_the_layout_of_the_real_set(folder, tmp_path, monkeypatch):
    monkeypatch.setenv('MTKD_DATA_ROOT', str(tmp_path))
    write_pairs(tmp_path / folder, SETS[folder])
    cfg = Config.fromfile(ROOT / folder / f'mtkd_rl_tiny_{folder}.py')
    for entry in cfg.custom_hooks[0]['teachers'].values():
        entry['checkpoint'] = 'random'
    cfg.custom_hooks[0]['self_learning']['held_out'] = 1
    cfg.train_dataloader.update(batch_size=2)
    cfg.train_cfg.update(max_epochs=1, val_interval=1)
    cfg.val_evaluator['names'] = ['EN', 'PSNR']
    cfg.default_hooks.logger.interval = 1
    cfg.work_dir, cfg.experiment_name, cfg.log_level = str(tmp_path / 'work'), f'fusion_{folder}', 'WARNING'
    runner = Runner.from_cfg(cfg)
    runner.train()
    assert runner.iter == 2
    assert runner.message_hub.get_scalar('val/mtkd/PSNR').current() > 0
