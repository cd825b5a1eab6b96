"""On which samples an agent trusts whom."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import default_collate, pseudo_collate
from mmengine.registry import DATASETS, MODELS, DefaultScope

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError
from mtkd_rl.registry import HOOKS
from mtkd_rl.rng import isolated
from mtkd_rl.teachers import loaded_order
from mtkd_rl.teachers.checkpoint import read_checkpoint

BATCH = 32


class Trust(NamedTuple):
    """What a strategy decides on samples of the training set.

    Attributes:
        teachers: Names, in the order of the columns.
        kind: Of the knowledge that the weights are of, ``logit`` or ``feature``.
        weights: ``(N, M)``.
        pictures: N of uint8 ``(H, W, 3)``, RGB, augmented as in training.
        labels: Name of the class of each, empty where a picture has no one label.
    """

    teachers: tuple[str, ...]
    kind: str
    weights: np.ndarray
    pictures: list[np.ndarray]
    labels: list[str]


def trust(work_dir: Path, samples: int) -> Trust:
    """Lets the strategy of a finished run decide once more, on samples of its training set.

    Args:
        work_dir: Of the run; its config names the teachers, whose checkpoints have to be there still.
        samples: How many, at most.

    Raises:
        MTKDError: There is no config or checkpoint of a run with ``MTKDHook``; a teacher or the data are gone.
    """
    cfg, saved = config_of(work_dir), saved_of(work_dir)
    tooling.know_packages()
    entry = tooling.hook_entries(cfg)[0]
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        model_cfg = dict(cfg.model)
        model_cfg.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
        student: Any = MODELS.build(Config(dict(model=model_cfg)).model)
        data: Any = DATASETS.build(cfg.train_dataloader.dataset)
        hook: Any = HOOKS.build({**entry, 'guard': None, 'self_learning': None, 'cache': None})
    tooling.check_fit(student, saved, str(work_dir))
    student.eval()
    classes = tuple(getattr(data, 'metainfo', {}).get('classes') or ())
    distiller = hook.assemble(student, cfg, 0, classes or None)
    distiller.load_state_dict(saved['mtkd_rl']['distiller'])
    collate = pseudo_collate if cfg.default_scope in ('mmdet', 'mmseg', 'mtkd_rl') else default_collate
    flip = loaded_order(cfg) == 'bgr'
    weights, pictures, labels = [], [], []
    count = min(samples, len(data))
    with isolated(0):  # augmentation: the same pictures each time
        for start in range(0, count, BATCH):
            items = [data[i] for i in range(start, min(start + BATCH, count))]
            given = student.data_preprocessor(collate(items), False)
            distiller.student_taps.start()
            losses = student(**given, mode='loss')
            observed = distiller.observe(given['inputs'], given['data_samples'], losses, False)
            decision = hook.strategy.decide(observed.state)
            weights.append(getattr(decision, distiller.kinds[0]).detach().cpu())
            pictures += [picture(item['inputs'], flip) for item in items]
            one = observed.state.target is not None
            labels += [classes[i] if one and i < len(classes) else '' for i in observed.state.group.tolist()]
    names = tuple(teacher.name for teacher in distiller.teachers)
    return Trust(names, distiller.kinds[0], torch.cat(weights).numpy(), pictures, labels)


def config_of(work_dir: Path) -> Config:
    """The config that a run has left in its work dir.

    Raises:
        MTKDError: There is none, or it has no ``MTKDHook``.
    """
    found = sorted(work_dir.glob('*.py'), key=lambda path: path.stat().st_mtime)
    if not found:
        raise MTKDError(f'{work_dir}: there is no config in it; give the work dir of a run')
    cfg = Config.fromfile(found[-1])
    if not tooling.hook_entries(cfg):
        raise MTKDError(f'{found[-1]}: it has no MTKDHook in custom_hooks, so there is nothing to report of teachers')
    return cfg


def saved_of(work_dir: Path) -> dict[str, Any]:
    """The last checkpoint of a run.

    Raises:
        MTKDError: There is none, or it was saved without ``MTKDHook``.
    """
    saved = read_checkpoint(str(tooling.last_checkpoint(work_dir)))
    if 'mtkd_rl' not in saved:
        raise MTKDError(f'{work_dir}: its last checkpoint was saved without MTKDHook; give a run with teachers')
    return saved


def picture(inputs: torch.Tensor, flip: bool) -> np.ndarray:
    """A picture as it is shown: the visible one of a pair, grey ones in three channels.

    Args:
        inputs: ``(C, H, W)``, in 0..255, or in 0..1 for a pair.
        flip: Whether its channels are blue first.
    """
    values = inputs.float()
    if len(values) == 2:  # infrared and visible
        values = values[1:]
    values = values * 255 if values.max() <= 1 else values
    planes = values.clamp(0, 255).byte().numpy()
    planes = planes[::-1] if flip and len(planes) == 3 else planes
    return np.ascontiguousarray(np.broadcast_to(planes, (3, *planes.shape[1:])).transpose(1, 2, 0))
