"""What a model is given made worse, to see how it fares."""

import zlib
from typing import Any

import torch
from mmcv.transforms import BaseTransform
from torch import Generator

from mtkd_rl.degradations import FusionDegradations
from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.colour import from_ycbcr, luma, to_ycbcr
from mtkd_rl.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PairDegrade(BaseTransform):
    """Degrades the inputs of a packed pair, to be put after ``PackPair``; the pictures of its data sample stay clean.

    So metrics, which look at the data sample, compare what was fused of degraded sources with the clean ones. Every
    kind of `FusionDegradations` has a severity of its own, drawn from 0 to ``severity``. What is drawn depends on the
    name of the pair and the seed alone: every model is given the same pictures.

    Args:
        severity: The largest that a kind can have, in 0..1.
        seed: Another one gives other pictures.

    Raises:
        MTKDError: The severity is not in 0..1.
    """

    def __init__(self, severity: float = 0.5, seed: int = 0) -> None:
        if not 0 <= severity <= 1:
            raise MTKDError(f'PairDegrade: severity is {severity!r}; give a number from 0 to 1')
        self.severity = severity
        self.seed = seed
        self.degradations = FusionDegradations()

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Degrades ``inputs``, uint8 ``(4, H, W)``; of the visible its luma.

        Raises:
            MTKDError: The pair is not packed.
        """
        if 'inputs' not in results:
            raise MTKDError('PairDegrade: the pair is not packed; put it after PackPair')
        name = results['data_samples'].metainfo.get('name', '')
        generator = Generator().manual_seed(zlib.crc32(f'{self.seed} {name}'.encode()))
        inputs = results['inputs'].float() / 255
        pair = torch.cat([inputs[:1], luma(inputs[1:])])[None]
        severities = self.severity * torch.rand(1, len(self.degradations.kinds), generator=generator)
        (degraded,) = self.degradations(pair, severities, generator)
        colours = from_ycbcr(torch.cat([degraded[1:], to_ycbcr(inputs[1:])[1:]]))
        inputs = torch.cat([degraded[:1], colours]).clamp(0, 1)
        return {**results, 'inputs': (255 * inputs).round().to(torch.uint8)}
