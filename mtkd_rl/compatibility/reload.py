"""A checkpoint of a hooked run in the model that its toolbox builds, in a process without the rest of mtkd_rl."""

import copy
import importlib
import re
import sys
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.runner import set_random_seed
from torch import Tensor

from mtkd_rl.compatibility import made, prepare

CHECKPOINT = 'iter_2.pth'
EXPECTED = 'expected.pt'


def load(toolbox: str, root: str, config: str, side: int, fit: bool, folder: str, grown: list[str]) -> dict[str, Any]:
    """Loads a checkpoint with ``strict=True``, and compares what the model says of the pictures.

    Args:
        toolbox: One of the three toolboxes.
        root: The folder with its ``configs``.
        config: A path below them.
        side: Of the pictures.
        fit: See `made.Size`.
        folder: Where `hooked.train` left the checkpoint.
        grown: Keys that the model gets in training without the hook too, and a new one does not have.

    Returns:
        ``compared``, how many numbers of its answers were the same.

    Raises:
        Exception: It does not load, or says something else.
    """
    importlib.import_module(f'{toolbox}.models')
    # errors has one class, which the server that forked this process needs
    foreign = [name for name in sys.modules if re.match(r'mtkd_rl\.(?!compat|errors)', name)]
    if foreign:
        raise ImportError(f'the process that loads has imported {foreign[0]}')
    cfg = prepare.read(Path(root), config)
    prepare.shrink(cfg, side, fit)
    model = prepare.build(toolbox, cfg)
    checkpoint = torch.load(Path(folder, CHECKPOINT), map_location='cpu', weights_only=False)
    load_strictly(model, {key: value for key, value in checkpoint['state_dict'].items() if key not in grown})
    expected = torch.load(Path(folder, EXPECTED), weights_only=False)
    said = predictions(model, expected['samples'], toolbox)
    if len(said) != len(expected['said']):
        raise ValueError(f'it answers with {len(said)} tensors, the trained model with {len(expected["said"])}')
    for ours, theirs in zip(said, expected['said']):
        if ours.shape != theirs.shape or not torch.allclose(ours, theirs, 1e-4, 1e-5, equal_nan=True):
            raise ValueError('its predictions are not those of the trained model')
    return {'compared': sum(tensor.numel() for tensor in said)}


def load_strictly(model: BaseModel, state_dict: dict[str, Tensor]) -> None:
    """Loads with ``strict=True``, or, into a model that refuses even its own state dict so, with the same keys.

    Raises:
        RuntimeError: It does not fit.
    """
    own = model.state_dict()
    try:
        model.load_state_dict(copy.copy(own), strict=True)
        strict = True
    except RuntimeError:
        strict = False  # a hook of its own drops keys that it makes anew
        different = sorted(own.keys() ^ state_dict.keys())
        if different:
            raise RuntimeError(f'keys differ: {", ".join(different[:3])}') from None
    model.load_state_dict(state_dict, strict=strict)


@torch.no_grad()
def predictions(model: BaseModel, samples: list[dict[str, Any]], toolbox: str) -> list[Tensor]:
    """What a model says of the first picture: the raw outputs of its heads, or its predictions where it gives none.

    One picture, because some models take no more in evaluation.

    Args:
        model: The model; it is in evaluation mode afterwards.
        samples: From `made.batch`.
        toolbox: One of the three toolboxes.

    Returns:
        Tensors on the CPU.
    """
    model.eval()
    set_random_seed(2)

    def say(mode: str) -> list[Tensor]:
        # models change their samples in place
        data = model.data_preprocessor(prepare.collate(toolbox)(copy.deepcopy(samples[:1])), False)
        return made.tensors(model(data['inputs'], data['data_samples'], mode=mode))

    try:
        return say('tensor')
    except Exception:  # many models cannot, each in its own way
        return say('predict')
