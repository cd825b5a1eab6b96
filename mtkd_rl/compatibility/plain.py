"""One training step of a config as its toolbox does it, without anything of mtkd_rl but ``mtkd_rl.compat``."""

import copy
import importlib
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.optim import build_optim_wrapper

from mtkd_rl.compatibility import made, prepare


def step(toolbox: str, root: str, config: str, own: str, others: dict[str, str]) -> dict[str, Any]:
    """Trains a step, on small pictures first, then on those that the config says its model wants.

    Args:
        toolbox: One of the three toolboxes.
        root: The folder with its ``configs``.
        config: A path below them.
        own: See `prepare.check_task`.
        others: See `prepare.check_task`.

    Returns:
        ``side`` and ``fit`` of `made.Size`, ``grown`` (keys that its state dict got in the step), ``loss``.

    Raises:
        Exception: Whatever the toolbox raises on the last size of picture.
    """
    importlib.import_module(f'{toolbox}.models')
    cfg = prepare.read(Path(root), config)
    prepare.check_task(toolbox, cfg, own, others)
    sizes = made.sizes(toolbox, cfg)
    for size in sizes:
        try:
            return _step(toolbox, copy.deepcopy(cfg), size)
        except (ImportError, KeyError, NotImplementedError):
            raise  # no other size of picture helps
        except Exception:
            if size == sizes[-1]:
                raise
    raise AssertionError


def _step(toolbox: str, cfg: Any, size: made.Size) -> dict[str, Any]:
    prepare.shrink(cfg, *size)
    model = prepare.build(toolbox, cfg)
    model.init_weights()
    model.train()
    prepare.say_where_training_is()
    shapes = _shapes(model)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    data = model.data_preprocessor(prepare.collate(toolbox)(made.batch(toolbox, cfg, size.side)), True)
    loss, _ = model.parse_losses(model(**data, mode='loss'))
    if not torch.isfinite(loss):
        raise FloatingPointError(f'the loss is {float(loss)}')
    loss.backward()
    if not any(parameter.grad is not None and parameter.grad.any() for parameter in learning):
        raise FloatingPointError('no parameter has a gradient')
    wrapper = build_optim_wrapper(model, prepare.optimizer())
    wrapper.step()
    if not all(torch.isfinite(parameter).all() for parameter in learning):
        raise FloatingPointError('a parameter is not finite after the step')
    after = _shapes(model)
    if any(after.get(name) != shape for name, shape in shapes.items()):
        raise ValueError('its buffers follow the size of the pictures, so that no new model loads its checkpoint')
    return {**size._asdict(), 'grown': sorted(after.keys() - shapes.keys()), 'loss': float(loss)}


def _shapes(model: BaseModel) -> dict[str, torch.Size]:
    return {name: value.shape for name, value in model.state_dict().items()}
