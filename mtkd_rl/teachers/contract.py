"""What a model expects of its input, and how the student's batch becomes a teacher's.

The student's batch is converted after augmentation, so that Mixup and CutMix are the same for every teacher. Writing
``x`` for a channel of the student's batch, ``P`` for the reordering of channels, and ``(m_s, d_s)``, ``(m_t, d_t)`` for
mean and standard deviation of student and teacher, the teacher sees

    y = (P(x d_s + m_s) - m_t) / d_t = P(x) * P(d_s) / d_t + (P(m_s) - m_t) / d_t,

one multiply-add with constants that are kept on the device.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError

Order: TypeAlias = Literal['rgb', 'bgr']

OTHER_ORDER: dict[Order, Order] = {'rgb': 'bgr', 'bgr': 'rgb'}
LUMA = {'rgb': (0.299, 0.587, 0.114), 'bgr': (0.114, 0.587, 0.299)}  # ITU-R BT.601

# Constants closer to "change nothing" than float32 resolves come from rounding, such as 0.485 * 255 against 123.675.
NEGLIGIBLE = 1e-6


class InputContract(NamedTuple):
    """What a model expects of its input.

    Attributes:
        mean: What is subtracted, in 0..255 units of the picture, one number a channel in the order `channel_order` or
            one for all channels; ``None``: the input is not normalised.
        std: What is divided by, like `mean`.
        channel_order: Order of the three colours; ``None``: as the student's pictures are loaded, or unknown.
        size: Height and width; ``None``: as it comes.
        channels: Number of channels; ``None``: as many as `mean` has numbers if it has several, else as it comes.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channel_order: Order | None = None
    size: tuple[int, int] | None = None
    channels: int | None = None


def contract_of(preprocessor: nn.Module, loaded: Order | None) -> InputContract:
    """Read what an OpenMMLab data preprocessor makes of the pictures that it is given.

    Reads the ``mean`` and ``std`` buffers, and ``to_rgb`` (mmpretrain) or ``_channel_conversion`` (mmengine, mmdet,
    mmseg), which exchanges the first and the third channel.

    Args:
        preprocessor: The ``data_preprocessor`` of a model.
        loaded: Order of the channels before the preprocessor, as `loaded_order` finds it.

    Returns:
        The contract of a batch after the preprocessor; its size is left open, and so is its number of channels, but
        where the preprocessor tells (that of fusion: two). A conversion of an unknown order is taken to end in 'rgb',
        as its name says in mmpretrain and as nearly every config means it.
    """
    exchanges = getattr(preprocessor, 'to_rgb', False) or getattr(preprocessor, '_channel_conversion', False)
    converted: Order = OTHER_ORDER[loaded] if loaded else 'rgb'
    return InputContract(
        mean=_numbers(getattr(preprocessor, 'mean', None)),
        std=_numbers(getattr(preprocessor, 'std', None)),
        channel_order=converted if exchanges else loaded,
        channels=getattr(preprocessor, 'channels', None),
    )


def loaded_order(cfg: Mapping[str, Any]) -> Order | None:
    """Order of the colour channels that a config's training (else validation, else test) pipeline ends with.

    Args:
        cfg: A whole OpenMMLab config.

    Returns:
        'bgr' where a transform loads images (OpenCV's order, which every decoder of mmcv keeps), unless an option of a
        transform, ``channel_order``, ``to_rgb`` or ``to_bgr``, says otherwise; 'rgb' where nothing is loaded, because
        data sets that hold arrays (CIFAR) hold them so; ``None`` where there is no pipeline.
    """
    for loader in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        found = data_sets((cfg.get(loader) or {}).get('dataset'))
        pipelines = [each['pipeline'] for each in found if each.get('pipeline') is not None]
        if pipelines:
            return _order_after([transform for pipeline in pipelines for transform in pipeline])
    return None


def convert(inputs: Tensor, source: InputContract, target: InputContract) -> Tensor:
    """Make the student's batch the teacher's.

    Undoes the student's normalisation, reorders the colours (an unknown order is taken to be the other side's), turns
    grey into colours by repetition and colours into grey by luma, applies the teacher's normalisation, and resizes
    (bilinear, antialiased).

    Args:
        inputs: Floating-point batch ``(B, C, H, W)``, normalised as `source` says.
        source: The student's contract; its size and number of channels are those of `inputs`.
        target: The teacher's contract.

    Returns:
        Batch ``(B, C', H', W')`` of the dtype of `inputs`; `inputs` itself when nothing differs.

    Raises:
        MTKDError: The numbers of channels cannot be converted, or a mean has another number of values.
    """
    fold = _fold(source, target, inputs.shape[1], inputs.device, inputs.dtype)
    outputs = inputs.flip(1) if fold.flip else inputs
    if fold.luma is not None:
        outputs = (outputs * fold.luma).sum(dim=1, keepdim=True)
    if fold.affine is not None:
        scale, bias = fold.affine
        outputs = torch.addcmul(bias, outputs, scale)
    if target.size is not None and target.size != tuple(inputs.shape[-2:]):
        outputs = F.interpolate(outputs, target.size, mode='bilinear', antialias=True)
    return outputs


def pair_of(size: int | Sequence[int]) -> tuple[int, int]:
    """Height and width, from a side or from both."""
    height, width = (size, size) if isinstance(size, int) else size
    return int(height), int(width)


class _Fold(NamedTuple):
    """The constants of one conversion; ``None`` where the step changes nothing."""

    flip: bool
    luma: Tensor | None
    affine: tuple[Tensor, Tensor] | None


# A run meets a handful of combinations; the bound only guards a process that builds many pools.
@lru_cache(maxsize=256)
def _fold(
    source: InputContract, target: InputContract, channels: int, device: torch.device, dtype: torch.dtype
) -> _Fold:
    """The constants of `convert` on one device, computed in double precision."""
    wanted = target.channels or (len(target.mean) if target.mean and len(target.mean) > 1 else channels)
    source_order = source.channel_order or target.channel_order
    target_order = target.channel_order or source.channel_order
    mean, std = _per_channel(source, channels, 'student'), _per_channel(source, channels, 'student', 'std')
    new_mean, new_std = _per_channel(target, wanted, 'teacher'), _per_channel(target, wanted, 'teacher', 'std')

    if (channels, wanted) == (3, 1):
        luma = torch.tensor(LUMA[source_order or 'rgb'], dtype=torch.float64)
        scale, bias = 1 / new_std, (luma @ mean - new_mean) / new_std
        return _Fold(False, _constant(luma * std, device, dtype), _affine(scale, bias, device, dtype))
    if channels != wanted and (channels, wanted) != (1, 3):
        raise MTKDError(
            f'the student sees pictures of {channels} channels, a teacher takes {wanted}: only grey and colour can be '
            'converted into each other; leave this teacher out, or correct its mean and std'
        )
    flip = channels == wanted == 3 and source_order != target_order
    if flip:
        mean, std = mean.flip(0), std.flip(0)
    scale, bias = std / new_std, (mean - new_mean) / new_std
    if channels == wanted and bool((scale - 1).abs().max() <= NEGLIGIBLE) and bool(bias.abs().max() <= NEGLIGIBLE):
        return _Fold(flip, None, None)
    return _Fold(flip, None, _affine(scale, bias, device, dtype))


def _affine(scale: Tensor, bias: Tensor, device: torch.device, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return _constant(scale, device, dtype), _constant(bias, device, dtype)


def _constant(values: Tensor, device: torch.device, dtype: torch.dtype) -> Tensor:
    # An inference tensor that is kept would later fail in a step that records gradients.
    with torch.inference_mode(False):
        return values.clone().to(device=device, dtype=dtype).view(-1, 1, 1)


def _per_channel(contract: InputContract, channels: int, whose: str, field: Literal['mean', 'std'] = 'mean') -> Tensor:
    values = getattr(contract, field) or (0.0 if field == 'mean' else 1.0,)
    if len(values) not in (1, channels):
        raise MTKDError(
            f"the {whose}'s {field} has {len(values)} values where pictures have {channels} channels; give one value, "
            'or one for each channel'
        )
    return torch.tensor(values, dtype=torch.float64).expand(channels)


def _numbers(values: Tensor | None) -> tuple[float, ...] | None:
    # Seven digits bring a float32 buffer back to the number that was written in the config.
    return None if values is None else tuple(float(f'{value:.7g}') for value in values.flatten().tolist())


def data_sets(dataset: Any) -> Iterator[Mapping[str, Any]]:
    """A data set's config and those that it wraps, the innermost first; of several beside one another the first."""
    if not isinstance(dataset, Mapping):
        return
    for inner in [dataset.get('dataset'), *(dataset.get('datasets') or [])[:1]]:
        yield from data_sets(inner)
    yield dataset


def _order_after(transforms: Sequence[Mapping[str, Any]]) -> Order:
    order: Order = 'rgb'
    for transform in transforms:
        kind = transform.get('type', '')
        name = getattr(kind, '__name__', str(kind)).rsplit('.', 1)[-1]
        if name.startswith('Load') and 'Image' in name:
            order = transform.get('channel_order', 'bgr')
        elif transform.get('to_rgb'):
            order = 'rgb'
        elif transform.get('to_bgr'):
            order = 'bgr'
    return order
