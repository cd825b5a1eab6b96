"""The registered losses on fused pictures, which take the place of logits in fusion."""

from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.registry import LOSSES

from . import functional


@LOSSES.register_module()
@dataclass(frozen=True)
class FusedPicture:
    """``a ||F_s - F_t||_1 + b || |grad F_s| - |grad F_t| ||_1 + c (1 - SSIM(F_s, F_t))`` of fused pictures.

    Intensities, edges and structure, as the losses that train fusion networks compare a picture with its sources.

    Args:
        intensity: a, at least 0.
        gradient: b, at least 0.
        structure: c, at least 0.
    """

    kind: ClassVar[Literal['logit']] = 'logit'
    of: ClassVar[Literal['pictures']] = 'pictures'
    wants_target: ClassVar[bool] = False
    intensity: float = 1.0
    gradient: float = 1.0
    structure: float = 1.0

    def __call__(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> Tensor:
        """The loss of every sample, ``(B,)``, of pictures ``(B, 1, H, W)``; target and temperature play no part."""
        loss = self.intensity * functional.l1(student, teacher)
        if self.gradient:
            loss = loss + self.gradient * functional.l1(functional.sobel(student), functional.sobel(teacher))
        if self.structure:
            loss = loss + self.structure * (1 - functional.ssim(student, teacher))
        return loss


@LOSSES.register_module()
@dataclass(frozen=True)
class PerceptualPicture:
    """Mean squared distance of a frozen network's features of both (Johnson et al., 2016), as AgentFuse has it.

    Args:
        checkpoint: File of the weights of torchvision's network; none is downloaded.
        network: Name of a torchvision model whose layers can be named one after another, such as ``vgg19``.
        layer: Name of the last layer that counts; of ``vgg19`` by default the fourth convolution of the third block.

    Raises:
        MTKDError: The network, the layer or the file is not there, or they do not fit.
    """

    kind: ClassVar[Literal['logit']] = 'logit'
    of: ClassVar[Literal['pictures']] = 'pictures'
    wants_target: ClassVar[bool] = False
    checkpoint: str
    network: str = 'vgg19'
    layer: str = 'features.16'

    def __call__(self, student: Tensor, teacher: Tensor, target: Tensor, temperature: float) -> Tensor:
        """The loss of every sample, ``(B,)``, of pictures ``(B, 1, H, W)`` in [0, 1]."""
        with torch.autocast(student.device.type, enabled=False):
            features = [self._extractor.to(student.device)(_normalised(x.float()))['out'] for x in (student, teacher)]
        return functional.mse(*features)

    @cached_property
    def _extractor(self) -> nn.Module:
        from torchvision.models import get_model, list_models
        from torchvision.models.feature_extraction import create_feature_extractor

        from mtkd_rl.teachers.checkpoint import load_into, read_checkpoint, state_dict_of

        if self.network not in list_models():
            known = candidates(self.network, list_models())
            raise MTKDError(f'PerceptualPicture: torchvision has no {self.network!r}; did you mean: {known}')
        model = get_model(self.network, weights=None)
        weights = state_dict_of(read_checkpoint(self.checkpoint), self.checkpoint)
        load_into(model, weights, name='PerceptualPicture', path=self.checkpoint)
        try:
            extractor = create_feature_extractor(model, {self.layer: 'out'})
        except ValueError:
            names = [name for name, _ in model.named_modules() if name]
            raise MTKDError(
                f'PerceptualPicture: {self.network} has no layer {self.layer!r}; did you mean: '
                f'{candidates(self.layer, names)}'
            ) from None
        return extractor.eval().requires_grad_(False)


def _normalised(pictures: Tensor) -> Tensor:
    """Grey pictures in [0, 1] as ImageNet's networks want colours."""
    mean = pictures.new_tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = pictures.new_tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)
    return (pictures - mean) / std
