"""The end of a pipeline."""

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mtkd_rl.fusion.structures import FusionDataSample
from mtkd_rl.registry import TRANSFORMS

META = ('name', 'infrared_path', 'visible_path')
"""What of a pair is kept besides its pictures, where it is there."""


@TRANSFORMS.register_module()
class PackPair(BaseTransform):
    """Makes of a pair what ``FusionDataPreprocessor`` takes.

    The pictures of the data sample share their memory with the inputs.
    """

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Packs.

        Returns:
            ``inputs``, uint8 ``(4, H, W)``: infrared, R, G and B, a grey visible three times; ``data_samples``, a
            ``FusionDataSample`` with ``infrared``, ``visible``, ``ideal`` where it is known, and the metainfo.
        """
        infrared, visible = _planes(results['infrared']), _planes(results['visible'])
        inputs = torch.cat([infrared, visible.expand(3, -1, -1)])
        shape = tuple(inputs.shape[1:])
        sample = FusionDataSample(
            metainfo={
                **{key: results[key] for key in META if key in results},
                'ori_shape': results.get('ori_shape', shape),
                'img_shape': shape,
            },
            infrared=inputs[:1],
            visible=inputs[1 : 1 + len(visible)],
        )
        if 'ideal' in results:
            sample.ideal = _planes(results['ideal'])
        return {'inputs': inputs, 'data_samples': sample}


def _planes(picture: np.ndarray) -> Tensor:
    """``(H, W)`` or ``(H, W, C)`` to ``(C, H, W)``."""
    planes = picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(planes))
