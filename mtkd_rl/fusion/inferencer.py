"""Fusing pictures with a trained model, one pair or folders of them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.datasets.layouts import match
from mtkd_rl.fusion.models import FusionModel
from mtkd_rl.fusion.transforms import PackPair
from mtkd_rl.fusion.transforms.loading import PairError, read_pair
from mtkd_rl.registry import MODELS


class Inferencer:
    """A trained fusion model as a function from two pictures to one.

    Args:
        cfg: Config of a ``FusionModel``.
        checkpoint: A file that training saved.
        device: Where it runs; a GPU where there is one, when not given.

    Raises:
        MTKDError: The config is of another model; the checkpoint is not there, may run code, or does not fit.
    """

    def __init__(self, cfg: Config, checkpoint: str, device: str | None = None) -> None:
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'mtkd_rl')):
            model = MODELS.build(cfg.model)
        if not isinstance(model, FusionModel):
            raise MTKDError(f'{type(model).__name__}: it fuses no pictures; give the config of a FusionModel')
        path = tooling.local_copy(checkpoint)
        saved = tooling.check_checkpoint(path)
        assert saved is not None
        tooling.check_fit(model, saved, checkpoint)
        self.model = model.eval().to(device or ('cuda' if torch.cuda.is_available() else 'cpu'))
        self._pack = PackPair()

    @torch.no_grad()
    def __call__(self, infrared: np.ndarray, visible: np.ndarray) -> np.ndarray:
        """Fuses a pair.

        Args:
            infrared: uint8 ``(H, W)``.
            visible: uint8 ``(H, W)``, or ``(H, W, 3)`` in RGB order.

        Returns:
            uint8, of the shape of the visible, with its colours.
        """
        item: Any = self._pack.transform({'infrared': infrared, 'visible': visible})
        (sample,) = self.model.test_step({key: [value] for key, value in item.items()})
        planes = sample.fused.cpu().numpy()
        return planes[0] if len(planes) == 1 else planes.transpose(1, 2, 0)


class Job(NamedTuple):
    """A pair of files, and where its fused picture goes."""

    infrared: Path
    visible: Path
    out: Path


def plan(infrared: Path, visible: Path, out: Path) -> tuple[list[Job], list[Path]]:
    """What there is to do for two files, or two folders.

    Args:
        infrared: A file or a folder.
        visible: Likewise.
        out: A file; of folders a folder, in which every fused picture is a PNG named as its pair.

    Returns:
        The jobs, and the pictures that are in no pair.

    Raises:
        MTKDError: One is a file and the other a folder; something is not there; no two pictures are named as a pair.
    """
    if infrared.is_dir() != visible.is_dir():
        raise MTKDError(
            f'{infrared} and {visible}: one is a folder and the other is not; give two files or two folders'
        )
    if not infrared.is_dir():
        return [Job(infrared, visible, out)], []
    if out.exists() and not out.is_dir():
        raise MTKDError(f'{out}: it is a file; give a folder for the fused pictures of a folder')
    pairing = match(infrared, visible)
    return [Job(*pair, out / f'{name}.png') for name, pair in pairing.pairs.items()], pairing.left


def fuse_files(inferencer: Inferencer, jobs: list[Job]) -> Iterator[tuple[Job, PairError | None]]:
    """Fuses pairs of files; one that cannot be read or written costs that one.

    Yields:
        Every job, with what went wrong.
    """
    for job in jobs:
        try:
            picture = inferencer(*read_pair(job.infrared, job.visible))
            job.out.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(job.out)
            yield job, None
        except PairError as error:
            yield job, error
        except (OSError, ValueError) as error:  # Pillow's, of a folder that is full or an ending that it does not know
            yield job, PairError(f'{job.out}: cannot be written ({error}); give another place or ending')
