"""Other ways to feed a teacher, which its checkpoint may have been trained with."""

from typing import Any

from mtkd_rl.teachers import InputContract

IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
NORMALISATIONS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    '0..1': ((0.0,), (255.0,)),
    '-1..1': ((127.5,), (127.5,)),
    '0..255': ((0.0,), (1.0,)),
}
"""What pixels are brought to, by mean and standard deviation in 0..255 units."""


def complete(contract: InputContract, source: InputContract, shape: tuple[int, int, int]) -> InputContract:
    """A contract with everything in it that conversion would take from elsewhere, so that equal ones are equal.

    Args:
        contract: Of a teacher.
        source: The student's.
        shape: Channels, height and width of the student's pictures.
    """
    several = len(contract.mean) if contract.mean and len(contract.mean) > 1 else None
    channels = contract.channels or several or shape[0]
    order = contract.channel_order or source.channel_order
    return InputContract(
        mean=_spread(contract.mean or (0.0,), channels),
        std=_spread(contract.std or (1.0,), channels),
        channel_order=order if channels == shape[0] == 3 else None,
        size=contract.size or shape[1:],
        channels=channels,
    )


def alternatives(
    applied: InputContract, source: InputContract, shape: tuple[int, int, int], trained_on: tuple[int, int] | None
) -> dict[str, InputContract]:
    """Contracts to try a teacher with.

    Args:
        applied: The one that will be applied.
        source: The student's.
        shape: Channels, height and width of the student's pictures.
        trained_on: Height and width of the pictures that the teacher was trained on, where that is known.

    Returns:
        Name to contract, without those that come to the same as the applied one or as one before.
    """
    wanted = complete(applied, source, shape)
    applied = applied._replace(channels=wanted.channels)
    found = {"student's": source._replace(channels=wanted.channels, size=None)}
    if wanted.channels == 3:
        found["ImageNet's"] = applied._replace(mean=IMAGENET[0], std=IMAGENET[1])
    found |= {name: applied._replace(mean=mean, std=std) for name, (mean, std) in NORMALISATIONS.items()}
    if wanted.channel_order is not None:
        found['other order'] = applied._replace(channel_order='bgr' if wanted.channel_order == 'rgb' else 'rgb')
    found['size as it comes'] = applied._replace(size=None)
    if trained_on is not None:
        found['size of training'] = applied._replace(size=trained_on)
    known = {wanted}
    different = {}
    for name, contract in found.items():
        whole = complete(contract, source, shape)
        if whole not in known:
            known.add(whole)
            different[name] = contract
    return different


def setting(applied: InputContract, other: InputContract) -> str:
    """What to write into a teacher's entry to have another contract than the applied one.

    Args:
        applied: Complete.
        other: Complete.
    """
    fields: dict[str, Any] = {}
    if (applied.mean, applied.std) != (other.mean, other.std):
        fields |= {'mean': _listed(other.mean), 'std': _listed(other.std)}
    if applied.channel_order != other.channel_order:
        fields['channel_order'] = other.channel_order
    if applied.size != other.size:
        fields['input_size'] = other.size
    return ', '.join(f'{name}={value!r}' for name, value in fields.items())


def _spread(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    values = values * channels if len(values) == 1 else values
    return tuple(float(f'{value:.6g}') for value in values)


def _listed(values: tuple[float, ...] | None) -> list[float]:
    return list(dict.fromkeys(values or ())) if len(set(values or ())) == 1 else list(values or ())
