"""From pictures as files hold them to the batch that fusion models are given."""

from collections.abc import Mapping
from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor
from torch import Tensor
from torch.nn import functional as F

from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.colour import to_ycbcr
from mtkd_rl.registry import MODELS


@MODELS.register_module()
class FusionDataPreprocessor(BaseDataPreprocessor):
    """Makes a batch of pairs, on the model's device; the same in training and inference, and nothing is random.

    Pictures that are smaller than the largest height and width of their batch are padded on the right and below by
    repeating their last column and row.

    Args:
        non_blocking: Whether copies to the device are not waited for.
    """

    channels = 2

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        """Converts a batch.

        Args:
            data: ``inputs``, for each of B pairs uint8 ``(4, h, w)``: infrared, then R, G and B of the visible, a grey
                one repeated; and ``data_samples``, B ``FusionDataSample`` or ``None``.
            training: Makes no difference.

        Returns:
            ``inputs``, float32 ``(B, 2, H, W)`` in [0, 1], infrared and luma of the visible; ``data_samples``, which
            now have ``img_shape`` and, for a colour visible, ``chroma``.

        Raises:
            MTKDError: An input is of another type or shape.
        """
        data = self.cast_data(data)
        inputs, samples = list(data['inputs']), data.get('data_samples')
        for each in inputs:
            if each.dtype != torch.uint8 or each.ndim != 3 or each.shape[0] != 4:
                raise MTKDError(
                    f'FusionDataPreprocessor: an input is {str(each.dtype).removeprefix("torch.")} '
                    f'{tuple(each.shape)}; it must be uint8 (4, h, w): end the pipeline with mtkd_rl.PackPair'
                )
        height, width = (max(each.shape[axis] for each in inputs) for axis in (1, 2))
        batch = torch.stack([_pad(each.float() / 255, height, width) for each in inputs])
        ycbcr = to_ycbcr(batch[:, 1:])
        for each, sample, chroma in zip(inputs, samples or [], ycbcr[:, 1:]):
            sample.set_metainfo({'img_shape': tuple(each.shape[1:])})
            if sample.visible.shape[0] == 3:
                sample.chroma = chroma
        return {'inputs': torch.cat([batch[:, :1], ycbcr[:, :1]], dim=1), 'data_samples': samples}


def _pad(picture: Tensor, height: int, width: int) -> Tensor:
    """``(C, h, w)`` to ``(C, height, width)``."""
    right, below = width - picture.shape[2], height - picture.shape[1]
    return F.pad(picture, (0, right, 0, below), mode='replicate') if right or below else picture
