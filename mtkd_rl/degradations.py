"""Challenging versions of pictures, of any severity from none at all.

Every kind of degradation holds what follows.

- A severity of 0 leaves a sample as it was, bit for bit, whatever the other severities are.
- What is random is drawn whatever the severities are, so that the same state of the generator gives the same noise,
  stripes and places: with a growing severity a picture then moves away from the clean one, steadily.
- A sample depends on its own severities alone.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mtkd_rl.errors import MTKDError

Change = Callable[[Tensor, Tensor, Generator], Tensor]
"""From pictures ``(B, C, H, W)``, severities ``(B, 1, 1, 1)`` in [0, 1] and a generator to degraded pictures."""


class Degradations(Protocol):
    """A set of degradations that suits the inputs of a task.

    Attributes:
        kinds: Their names, in the order of the columns of ``severities``.
    """

    kinds: tuple[str, ...]

    def __call__(self, inputs: Tensor, severities: Tensor, generator: Generator) -> Tensor:
        """Degrades.

        Args:
            inputs: ``(B, C, H, W)``, float.
            severities: ``(B, K)`` in [0, 1], one column a kind; what is outside is clipped.
            generator: What is random comes from it, on whatever device it is.

        Returns:
            A new tensor of the same shape, type and device.
        """
        ...


class Kind(NamedTuple):
    """One kind of degradation.

    Attributes:
        name: Its name.
        channels: Those of the input that it is for.
        change: What it does.
    """

    name: str
    channels: slice
    change: Change


def _apply(
    kinds: Sequence[Kind], inputs: Tensor, severities: Tensor, generator: Generator, clip: bool = False
) -> Tensor:
    """One kind after another, in their order."""
    if severities.shape != (len(inputs), len(kinds)):
        raise MTKDError(
            f'degradations: severities are {tuple(severities.shape)}; they must be (B, K) = {len(inputs), len(kinds)}, '
            f'with a column for each of {", ".join(kind.name for kind in kinds)}'
        )
    outputs = inputs.clone()
    columns = severities.to(inputs).clamp(0, 1).T.reshape(len(kinds), -1, 1, 1, 1)
    for kind, severity in zip(kinds, columns):
        clean = outputs[:, kind.channels]
        changed = kind.change(clean, severity, generator)
        changed = changed.clamp(0, 1) if clip else changed
        outputs[:, kind.channels] = torch.where(severity > 0, changed, clean)
    return outputs


def _normal(like: Tensor, shape: Sequence[int], generator: Generator) -> Tensor:
    return torch.randn(*shape, generator=generator, device=generator.device).to(like)


def _uniform(like: Tensor, shape: Sequence[int], generator: Generator) -> Tensor:
    return torch.rand(*shape, generator=generator, device=generator.device).to(like)


def _sign(like: Tensor, generator: Generator) -> Tensor:
    """-1 or 1, as likely, for each sample."""
    return torch.where(_uniform(like, (len(like), 1, 1, 1), generator) < 0.5, -1.0, 1.0).to(like)


def exposure(stops: float) -> Change:
    """Light that is too little or too much, as likely: ``x 2^(-stops s)`` or ``x 2^(stops s)``."""

    def change(x: Tensor, s: Tensor, generator: Generator) -> Tensor:
        return x * torch.exp2(stops * s * _sign(x, generator))

    return change


def gamma(most: float) -> Change:
    """Dark parts crushed: ``x^g`` with g from 1 to ``most``."""
    return lambda x, s, _: x ** (1 + (most - 1) * s)


def haze(light: float, thinnest: float) -> Change:
    """Air between: ``x t + light (1 - t)`` (Koschmieder 1924), the transmission t from 1 to ``thinnest``."""
    return lambda x, s, _: x + (1 - thinnest) * s * (light - x)


def contrast(least: float) -> Change:
    """Every picture drawn towards its mean m: ``m + c (x - m)``, c from 1 to ``least``."""
    return lambda x, s, _: x + (1 - least) * s * (x.mean(dim=(1, 2, 3), keepdim=True) - x)


def noise(sigma: float | Tensor) -> Change:
    """Gaussian noise of a standard deviation up to ``sigma``, one number or ``(B, 1, 1, 1)``."""
    return lambda x, s, generator: x + sigma * s * _normal(x, x.shape, generator)


def shot_noise(sigma: float) -> Change:
    """Noise of a sensor, half Gaussian, half Poisson where it is bright.

    Its variance is ``(sigma s)^2 (1 + x) / 2``, at most ``(sigma s)^2``: that of reading and, growing with the light,
    that of counting photons, a Poisson distribution in its normal limit (Foi et al. 2008).
    """

    def change(x: Tensor, s: Tensor, generator: Generator) -> Tensor:
        return x + sigma * s * ((1 + x) / 2).sqrt() * _normal(x, x.shape, generator)

    return change


def stripes(sigma: float) -> Change:
    """An offset a column, as of a sensor with an amplifier for each, of a standard deviation up to ``sigma``."""
    return lambda x, s, generator: x + sigma * s * _normal(x, (len(x), 1, 1, x.shape[3]), generator)


def blur(sigma: float, of_side: bool = False) -> Change:
    """Gaussian blur of a standard deviation up to ``sigma`` pixels, or up to that part of the shorter side."""

    def change(x: Tensor, s: Tensor, _: Generator) -> Tensor:
        most = sigma * min(x.shape[2:]) if of_side else sigma
        return _smooth(_smooth(x, most * s, most).mT, most * s, most).mT

    return change


def _smooth(x: Tensor, sigma: Tensor, most: float) -> Tensor:
    """Along columns, with another Gaussian for each sample; the border is repeated."""
    reach = math.ceil(3 * most)
    steps = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
    kernel = torch.exp(-(steps**2) / (2 * sigma.reshape(-1, 1).clamp(min=1e-3) ** 2))
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(x.shape[1], dim=0)
    padded = F.pad(x, (0, 0, reach, reach), mode='replicate').flatten(0, 1)[None]
    return F.conv2d(padded, kernel[:, None, :, None], groups=len(kernel)).reshape(x.shape)


def occlusion(side: float) -> Change:
    """A rectangle of the picture's mean at a random place, of up to ``side`` of its height and width."""

    def change(x: Tensor, s: Tensor, generator: Generator) -> Tensor:
        inside = torch.ones_like(x[:, :1], dtype=torch.bool)
        for axis in (2, 3):
            centre = _uniform(x, (len(x), 1, 1, 1), generator)
            place = (torch.arange(x.shape[axis], device=x.device, dtype=x.dtype) + 0.5) / x.shape[axis]
            away = (place.reshape((-1, 1) if axis == 2 else (1, -1)) - centre).abs()
            inside = inside & (away <= side * s / 2)
        return torch.where(inside, x.mean(dim=(2, 3), keepdim=True), x)

    return change


def brightness(most: float | Tensor) -> Change:
    """Everything lighter or darker, as likely, by up to ``most``, one number or ``(B, 1, 1, 1)``."""
    return lambda x, s, generator: x + most * s * _sign(x, generator)


def shift(pixels: float) -> Change:
    """Moved in a random direction by up to so many pixels, bilinearly; the border is repeated.

    The way grows with the severity; the distance of pictures with a period need not.
    """

    def change(x: Tensor, s: Tensor, generator: Generator) -> Tensor:
        height, width = x.shape[2:]
        angle = 2 * math.pi * _uniform(x, (len(x), 1, 1, 1), generator)
        way = pixels * s * torch.cat([angle.cos(), angle.sin()], dim=3)
        rows = torch.arange(height, device=x.device, dtype=x.dtype)
        columns = torch.arange(width, device=x.device, dtype=x.dtype)
        grid = torch.stack(torch.meshgrid(rows, columns, indexing='ij')[::-1], dim=2) + way
        half = torch.tensor([width, height], device=x.device, dtype=x.dtype) / 2
        return F.grid_sample(x, (grid + 0.5) / half - 1, padding_mode='border', align_corners=False)

    return change


_INFRARED, _VISIBLE, _ALL = slice(0, 1), slice(1, 2), slice(None)

_PAIR = (
    Kind('visible_haze', _VISIBLE, haze(light=0.8, thinnest=0.2)),
    Kind('visible_blur', _VISIBLE, blur(sigma=2.0)),
    Kind('visible_exposure', _VISIBLE, exposure(stops=2.5)),
    Kind('visible_gamma', _VISIBLE, gamma(most=3.0)),
    Kind('visible_noise', _VISIBLE, shot_noise(sigma=10 / 255)),
    Kind('infrared_occlusion', _INFRARED, occlusion(side=0.5)),
    Kind('infrared_blur', _INFRARED, blur(sigma=3.0)),
    Kind('infrared_contrast', _INFRARED, contrast(least=0.2)),
    Kind('infrared_stripes', _INFRARED, stripes(sigma=8 / 255)),
    Kind('infrared_noise', _INFRARED, noise(sigma=20 / 255)),
)
_SHIFT = Kind('infrared_shift', _INFRARED, shift(pixels=4.0))

KINDS: tuple[str, ...] = tuple(kind.name for kind in _PAIR)
"""What `degrade` does to pairs, in this order: to the scene, the lens, the light, the sensor."""


class FusionDegradations:
    """Degradations of pairs ``(B, 2, H, W)`` in [0, 1], infrared first; the result is in [0, 1].

    Severity 1 is, of the visible: haze of 0.8 with a transmission of 0.2; a blur of 2 pixels; 2.5 stops too dark or too
    bright; a gamma of 3; sensor noise of 10/255. Of the infrared: half its height and width hidden; a blur of 3 pixels,
    as of a lower resolution; a fifth of its contrast; stripes of 8/255; noise of 20/255.

    Args:
        shift: Also move the infrared, by up to 4 pixels, as the last kind; it moves what is to be seen.
    """

    def __init__(self, shift: bool = False) -> None:
        self._kinds = (*_PAIR, _SHIFT) if shift else _PAIR
        self.kinds = tuple(kind.name for kind in self._kinds)

    def __call__(self, inputs: Tensor, severities: Tensor, generator: Generator) -> Tensor:
        """Degrades, as the protocol says.

        Raises:
            MTKDError: The severities are of another shape.
        """
        return _apply(self._kinds, inputs, severities, generator, clip=True)


def degrade(inputs: Tensor, severities: Tensor, generator: Generator) -> Tensor:
    """Degrades pairs by all of `KINDS`; see `FusionDegradations`.

    Args:
        inputs: ``(B, 2, H, W)`` in [0, 1], infrared first.
        severities: ``(B, K)`` in [0, 1], in the order of `KINDS`.
        generator: What is random comes from it.

    Raises:
        MTKDError: The severities are of another shape.
    """
    return FusionDegradations()(inputs, severities, generator)


class PictureDegradations:
    """Degradations of ordinary pictures ``(B, C, H, W)``, normalised in whatever way; nothing is clipped.

    Severity 1 is a blur of 4% of the shorter side; a fifth of the contrast; lighter or darker by one standard deviation
    of the picture; half its height and width hidden by its mean colour; noise of one standard deviation of the picture.
    """

    kinds: tuple[str, ...] = ('blur', 'contrast', 'brightness', 'occlusion', 'noise')

    def __call__(self, inputs: Tensor, severities: Tensor, generator: Generator) -> Tensor:
        """Degrades, as the protocol says.

        Raises:
            MTKDError: The severities are of another shape.
        """
        unit = inputs.std(dim=(1, 2, 3), keepdim=True, correction=0)
        changes = (blur(0.04, of_side=True), contrast(0.2), brightness(unit), occlusion(0.5), noise(unit))
        kinds = [Kind(name, _ALL, change) for name, change in zip(self.kinds, changes)]
        return _apply(kinds, inputs, severities, generator)
