"""Losses of a fused picture that need no labels, only the sources."""

from typing import Literal

import torch
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError, check_number
from mtkd_rl.losses.functional import l1, sobel, ssim
from mtkd_rl.registry import MODELS


@MODELS.register_module()
class FusionLoss(nn.Module):
    """Intensity, gradient and structure of the sources, weighed.

    Writing ``I``, ``Y`` and ``F`` for infrared, visible luma and the fused picture, and ``|grad| = |Sobel_x| +
    |Sobel_y|``, of every sample::

        intensity  ||F - max(I, Y)||_1             or the mean of the sources in place of their maximum
        gradient   || |grad F| - max(|grad I|, |grad Y|) ||_1
        structure  1 - (SSIM(F, I) + SSIM(F, Y)) / 2

    With weights 1, 10 and 0, the default, it is the content loss of SeAFusion (Tang et al. 2022) and CDDFuse (Zhao et
    al. 2023); with 20, 20 and 10 close to SwinFusion's (Ma et al. 2022).

    Args:
        intensity: Weight of the first term, at least 0.
        gradient: Weight of the second, at least 0.
        structure: Weight of the third, at least 0.
        towards: What intensities are compared with: ``maximum`` or ``mean`` of the sources.

    Raises:
        MTKDError: A weight below 0, or another word for ``towards``.
    """

    def __init__(
        self,
        intensity: float = 1.0,
        gradient: float = 10.0,
        structure: float = 0.0,
        towards: Literal['maximum', 'mean'] = 'maximum',
    ) -> None:
        super().__init__()
        self.weights = {'intensity': intensity, 'gradient': gradient, 'structure': structure}
        for name, value in self.weights.items():
            check_number('FusionLoss', name, value)
        if towards not in ('maximum', 'mean'):
            raise MTKDError(f"FusionLoss: towards is {towards!r}; give 'maximum' or 'mean'")
        self.towards = towards

    def forward(self, fused: Tensor, pair: Tensor) -> dict[str, Tensor]:
        """The weighted terms, each ``(B,)``, of fused pictures ``(B, 1, H, W)`` and their sources ``(B, 2, H, W)``."""
        terms = {'intensity': self._intensity, 'gradient': self._gradient, 'structure': self._structure}
        return {name: self.weights[name] * term(fused, pair) for name, term in terms.items() if self.weights[name] > 0}

    def _intensity(self, fused: Tensor, pair: Tensor) -> Tensor:
        wanted = pair.amax(dim=1, keepdim=True) if self.towards == 'maximum' else pair.mean(dim=1, keepdim=True)
        return l1(fused, wanted)

    def _gradient(self, fused: Tensor, pair: Tensor) -> Tensor:
        return l1(sobel(fused), sobel(pair).amax(dim=1, keepdim=True))

    def _structure(self, fused: Tensor, pair: Tensor) -> Tensor:
        return 1 - torch.stack([ssim(fused, source) for source in pair.split(1, dim=1)]).mean(dim=0)
