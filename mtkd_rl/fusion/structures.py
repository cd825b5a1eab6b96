"""What is known of one pair of pictures, in mmengine's form."""

import numpy as np
from mmengine.structures import BaseDataElement
from torch import Tensor


class FusionDataSample(BaseDataElement):
    """A pair of pictures and what a model makes of it.

    Metainfo: ``name``, the stem of the files; ``infrared_path`` and ``visible_path`` where the pair came from files;
    ``ori_shape``, (height, width) in the files; ``img_shape``, (height, width) of what the model is given, without the
    padding of its batch.

    Attributes:
        infrared: uint8 ``(1, h, w)`` in 0..255; (h, w) is ``img_shape``.
        visible: uint8 ``(3, h, w)`` in RGB order, or ``(1, h, w)`` where it is grey.
        ideal: uint8 ``(1, h, w)``, only where it is known what should be seen, as in ``FusionScenes``.
        chroma: Cb and Cr of a colour visible, float32 ``(2, H, W)`` in [-0.5, 0.5], padded as its batch; absent where
            the visible is grey. Set by the data preprocessor.
        fused: uint8 ``(3, h, w)`` or ``(1, h, w)`` as it would be written to a file. Set by the model.
    """

    infrared: Tensor
    visible: Tensor
    ideal: Tensor
    chroma: Tensor
    fused: Tensor


def picture_of(planes: Tensor) -> np.ndarray:
    """A picture of a data sample, uint8 ``(C, H, W)``, as ``(H, W)`` of one channel or ``(H, W, 3)``."""
    picture = planes.detach().cpu().numpy()
    return picture[0] if len(picture) == 1 else picture.transpose(1, 2, 0)
