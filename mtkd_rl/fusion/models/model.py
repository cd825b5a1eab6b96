"""FusionModel: what the Runner trains, and what fuses pairs of pictures."""

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModel
from torch import Tensor

from mtkd_rl.fusion.colour import as_written
from mtkd_rl.fusion.structures import FusionDataSample
from mtkd_rl.registry import MODELS


@MODELS.register_module()
class FusionModel(BaseModel):
    """A fusion network with a loss that needs no labels, in mmengine's form.

    Args:
        network: Config of a ``FusionNetwork``.
        loss: Config of a loss; ``FusionLoss`` by default.
        data_preprocessor: Config of the preprocessor; ``FusionDataPreprocessor`` by default.
        init_cfg: As of every mmengine model.
    """

    def __init__(
        self,
        network: dict[str, Any],
        loss: dict[str, Any] | None = None,
        data_preprocessor: dict[str, Any] | None = None,
        init_cfg: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(data_preprocessor or {'type': 'mtkd_rl.FusionDataPreprocessor'}, init_cfg)
        self.network = MODELS.build(network)
        self.criterion = MODELS.build(loss or {'type': 'mtkd_rl.FusionLoss'})

    def forward(
        self, inputs: Tensor, data_samples: Sequence[FusionDataSample] | None = None, mode: str = 'tensor'
    ) -> Tensor | dict[str, Tensor] | list[FusionDataSample]:
        """As mmengine calls it.

        Args:
            inputs: Pairs ``(B, 2, H, W)`` in [0, 1], infrared first.
            data_samples: One a pair; needed to predict.
            mode: ``loss``, ``predict`` or ``tensor``.

        Returns:
            Losses; the data samples with what was fused; or the fused luma ``(B, 1, H, W)``, not clamped.
        """
        if mode == 'loss':
            return self.loss(inputs)
        if mode == 'predict':
            return self.predict(inputs, data_samples or [])
        fused: Tensor = self.network(inputs)
        return fused

    def loss(self, inputs: Tensor, data_samples: Sequence[FusionDataSample] | None = None) -> dict[str, Tensor]:
        """Every term of the loss as a mean over the pairs ``(B, 2, H, W)``; there are no labels to look at."""
        return {f'loss_{name}': term.mean() for name, term in self.criterion(self.network(inputs), inputs).items()}

    def predict(self, inputs: Tensor, samples: Sequence[FusionDataSample]) -> list[FusionDataSample]:
        """The data samples with ``fused``, uint8 as it would be written to a file, of the size of the sources.

        Args:
            inputs: Pairs ``(B, 2, H, W)`` in [0, 1].
            samples: What was read, one a pair.
        """
        for luma, sample in zip(self.network(inputs), samples):
            height, width = sample.img_shape
            chroma = sample.chroma[:, :height, :width] if 'chroma' in sample else None
            sample.fused = as_written(luma[:, :height, :width], chroma)
        return list(samples)

    def loss_by_sample(self, fused: Tensor, inputs: Tensor) -> Tensor:
        """The loss of every pair, ``(B,)``, of any fused pictures ``(B, 1, H, W)`` of it."""
        return torch.stack(list(self.criterion(fused, inputs).values())).sum(dim=0)
