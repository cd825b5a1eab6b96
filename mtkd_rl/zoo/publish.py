"""What a work dir leaves for others: the student alone, and all that is known of it."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import mmengine
import torch
import yaml
from mmengine.config import Config
from safetensors.torch import save
from torch import Tensor

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError
from mtkd_rl.plot import read_scalars
from mtkd_rl.teachers.checkpoint import read_checkpoint, sha256_of
from mtkd_rl.teachers.contract import loaded_order
from mtkd_rl.zoo.index import METAFILE
from mtkd_rl.zoo.load import FORMAT
from mtkd_rl.zoo.recipe import neutral, to_json

TASKS = {'mmpretrain': 'classification', 'mmdet': 'detection', 'mmseg': 'segmentation', 'mtkd_rl': 'fusion'}


COLLECTION = {
    'Name': 'mtkd_rl',
    'Paper': {
        'Title': 'Multi-Teacher Knowledge Distillation with Reinforcement Learning for Visual Recognition',
        'URL': 'https://arxiv.org/abs/2502.18510',
    },
}


class Published(NamedTuple):
    """What was written.

    Attributes:
        safetensors: Weights and recipe.
        pth: The same weights as a checkpoint that plain OpenMMLab loads.
        model: The entry of the metafile.
    """

    safetensors: Path
    pth: Path
    model: dict[str, Any]


def publish(
    work_dir: Path,
    out: Path,
    *,
    name: str,
    config: str,
    data: str,
    licence: str,
    metrics: Sequence[str],
) -> Published:
    """Publishes the last checkpoint of a run.

    Args:
        work_dir: Of the run.
        out: Folder of the zoo; its metafile gets the entry, in the place of one of the same name.
        name: Of the student.
        config: Path of the config that it was trained with, in a checkout.
        data: What it was trained on.
        licence: Of these data.
        metrics: Scalars of the last validation that are to be published.

    Raises:
        MTKDError: The work dir holds no checkpoint, or its latest one was not scored by such a metric.
    """
    checkpoint = read_checkpoint(str(tooling.last_checkpoint(work_dir)))
    cfg = Config.fromstring(checkpoint['meta']['cfg'], '.py')
    scope = cfg.get('default_scope')
    if scope not in TASKS:
        raise MTKDError(f'{work_dir}: default_scope is {scope!r}; it must be one of {", ".join(TASKS)}')
    reached = {metric: round(scored(work_dir, metric, steps_of(cfg, checkpoint['meta'])), 4) for metric in metrics}
    weights = {key: value.contiguous().clone() for key, value in checkpoint['state_dict'].items()}
    classes = tuple((checkpoint['meta'].get('dataset_meta') or {}).get('classes') or ())
    recipe = neutral(recipe_of(cfg))
    teachers = (checkpoint.get('mtkd_rl') or {}).get('teachers') or []
    out.mkdir(parents=True, exist_ok=True)
    file = written(out, name, '.safetensors', save(weights, packed(recipe, classes)))
    pth = as_checkpoint(out, name, weights, classes)
    model = {
        'Name': name,
        'In Collection': 'mtkd_rl',
        'Config': config,
        'Metadata': {
            'Parameters': sum(value.numel() for key, value in weights.items() if is_parameter(key)),
            'Bytes': file.stat().st_size,
            'SHA256': sha256_of(file),
            'Training Data': data,
            'Licence of the Data': licence,
            'Teachers': [each['name'] for each in teachers],
            'Epochs': checkpoint['meta'].get('epoch'),
            'Seed': checkpoint['meta'].get('seed'),
            'Versions': {'torch': str(torch.__version__), 'mmengine': mmengine.__version__},
        },
        'Results': [{'Task': TASKS[scope], 'Dataset': data, 'Metrics': reached}],
        'Weights': file.name,
    }
    enter(out / METAFILE, model)
    for path in (file, pth):  # not before: a kill must not leave an entry without its file
        for old in out.glob(f'{name}-????????{path.suffix}'):
            if old != path:
                old.unlink()
    return Published(file, pth, model)


def steps_of(cfg: Config, meta: Mapping[str, Any]) -> int:
    """How far a checkpoint's run had come, as its loop counts: epochs or iterations."""
    loop = cfg.train_cfg
    by_epoch = loop.get('by_epoch', 'Iter' not in str(loop.get('type', '')))
    return int(meta['epoch'] if by_epoch else meta['iter'])


def scored(work_dir: Path, metric: str, step: int) -> float:
    """What a metric said at a step.

    Raises:
        MTKDError: Nothing: the weights of a checkpoint shall not be published with what others reached.
    """
    rows = {row['step']: float(row[metric]) for row in read_scalars(work_dir, metric)}
    if step not in rows:
        raise MTKDError(
            f'{work_dir}: {metric} was not measured at {step}, where the checkpoint is from, but at '
            f'{", ".join(map(str, rows))}; validate whenever a checkpoint is written'
        )
    return rows[step]


def recipe_of(cfg: Config) -> dict[str, Any]:
    """The part of a config that a student needs to run."""
    dataset = cfg.test_dataloader.dataset
    while 'pipeline' not in dataset and 'dataset' in dataset:
        dataset = dataset['dataset']
    whole = cfg.to_dict()
    recipe = {key: whole.get(key) for key in ('default_scope', 'model', 'data_preprocessor', 'visualizer')}
    recipe['order'] = loaded_order(whole)
    return {**recipe, 'pipeline': Config(dict(pipeline=dataset.get('pipeline', []))).to_dict()['pipeline']}


def packed(recipe: Mapping[str, Any], classes: Sequence[str]) -> dict[str, str]:
    """What a safetensors file says of itself."""
    return {'format': FORMAT, 'recipe': to_json(recipe), 'classes': to_json(list(classes))}


def is_parameter(key: str) -> bool:
    """Whether a key of a state dict is of a parameter, as far as names tell: statistics of BatchNorm are none."""
    return not key.endswith(('running_mean', 'running_var', 'num_batches_tracked'))


def as_checkpoint(out: Path, name: str, weights: Mapping[str, Tensor], classes: Sequence[str]) -> Path:
    """Writes a checkpoint that plain OpenMMLab loads."""
    draft = out / f'{name}.draft'
    torch.save({'meta': {'dataset_meta': {'classes': tuple(classes)}}, 'state_dict': dict(weights)}, draft)
    content = draft.read_bytes()
    draft.unlink()
    return written(out, name, '.pth', content)


def written(out: Path, name: str, ending: str, content: bytes) -> Path:
    """Writes a file with its hash in its name."""
    path = out / f'{name}-{hashlib.sha256(content).hexdigest()[:8]}{ending}'
    path.write_bytes(content)
    return path


def enter(metafile: Path, model: Mapping[str, Any]) -> None:
    """Puts an entry into a metafile, in the place of one of the same name."""
    known = yaml.safe_load(metafile.read_text()) if metafile.is_file() else {'Models': []}
    others = [each for each in known['Models'] if each['Name'] != model['Name']]
    models = sorted([*others, dict(model)], key=lambda each: str(each['Name']))
    metafile.write_text(
        yaml.safe_dump({'Collections': [COLLECTION], 'Models': models}, sort_keys=False, allow_unicode=True, width=118)
    )
