"""The pool: teachers that are guests of the student's training, frozen and known by one name each."""

import inspect
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from mmengine.model import BaseModule
from torch import nn

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.registry import TEACHERS
from mtkd_rl.rng import isolated
from mtkd_rl.teachers.base import Source
from mtkd_rl.teachers.checkpoint import load_into, locate, read_checkpoint, sha256_of, state_dict_of
from mtkd_rl.teachers.contract import InputContract, Order, pair_of

RANDOM = 'random'


@dataclass(eq=False, slots=True)
class Teacher:
    """A frozen model and what is known about it.

    It is no ``nn.Module``, so that assigning one to an attribute of the student registers nothing.

    Attributes:
        name: The only key of this teacher: config, loss, weight, log scalar, plot.
        model: In evaluation mode, no parameter requires a gradient.
        contract: What the model expects of its input.
        temperature: Of its logit loss, above 0.
        layer: Module name of the tapped feature; ``None``: found by default.
        description: Where it comes from.
        sha256: Of its checkpoint file; of its parameters where there is no file.
        classes: Names of its classes, in the order of its logits; ``None`` where they are not known.
        recipe: All that it was built of but for its weights; empty where that is not known.
    """

    name: str
    model: nn.Module
    contract: InputContract
    temperature: float
    layer: str | None
    description: str
    sha256: str
    classes: tuple[str, ...] | None = None
    recipe: str = ''

    def __post_init__(self) -> None:
        self.model.requires_grad_(False).eval()

    def to(self, device: torch.device | str) -> 'Teacher':
        """Move the model, in place.

        Args:
            device: Where to.

        Returns:
            This teacher.
        """
        self.model.to(device).requires_grad_(False).eval()
        return self


def build_pool(
    entries: Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]],
    *,
    temperature: float,
    source: InputContract,
    loaded: Order | None = None,
) -> tuple[Teacher, ...]:
    """Build the teachers of a hook's ``teachers``.

    The global random states stay as they are. A teacher that keeps random weights has those that its name stands for,
    in every run.

    Args:
        entries: Name to entry; or a list of entries that each have a ``name``. An entry's ``type`` is a class of
            `mtkd_rl.registry.TEACHERS` ('OpenMMLab' if absent); options that `Options` lacks are its arguments.
        temperature: Of teachers that have none of their own.
        source: The student's contract, for teachers that know none of their own.
        loaded: Order of the channels as the student's pictures are loaded, for teachers that only know 'as loaded'.

    Returns:
        The teachers on the CPU, sorted by name, so that their order in the config does not matter.

    Raises:
        MTKDError: Anything is wrong with an entry: see the messages.
    """
    named = entries_by_name(entries)
    if not named:
        raise MTKDError(
            '`teachers` is empty: a student needs at least one teacher; add name=dict(config=..., checkpoint=...)'
        )
    return tuple(_build_teacher(name, named[name], temperature, source, loaded) for name in sorted(named))


def manifest(pool: Sequence[Teacher]) -> list[dict[str, str]]:
    """Who taught: saved with the student, in plain containers.

    Args:
        pool: The teachers.

    Returns:
        One ``{name, source, sha256, input}`` a teacher, in the order of the pool.
    """
    return [
        {'name': each.name, 'source': each.description, 'sha256': each.sha256, 'input': str(each.contract)}
        for each in pool
    ]


def compare_manifests(saved: Sequence[Mapping[str, str]], current: Sequence[Mapping[str, str]]) -> str | None:
    """Say how two pools differ, in names, weights or input; where the same weights lie does not matter.

    Args:
        saved: The manifest of a checkpoint.
        current: The manifest of the running pool.

    Returns:
        Text that names each difference, or ``None``.
    """
    before = {each['name']: each for each in saved}
    now = {each['name']: each for each in current}
    differences = [f"'{name}' was saved and is not in the pool" for name in sorted(before.keys() - now.keys())]
    differences += [f"'{name}' is in the pool and was not saved" for name in sorted(now.keys() - before.keys())]
    differences += [
        f"'{name}' has other weights (saved {before[name]['source']}, sha256 {before[name]['sha256'][:8]}; "
        f'now {now[name]["source"]}, sha256 {now[name]["sha256"][:8]})'
        for name in sorted(before.keys() & now.keys())
        if before[name]['sha256'] != now[name]['sha256']
    ]
    differences += [
        f"'{name}' is fed otherwise (saved {before[name]['input']}; now {now[name]['input']})"
        for name in sorted(before.keys() & now.keys())
        if before[name]['input'] != now[name]['input']
    ]
    return '; '.join(differences) or None


class Options(NamedTuple):
    """Options that every entry may have, whatever its source.

    Attributes:
        checkpoint: Path or URL; 'random' keeps random weights, for tests and benchmarks.
        temperature: Of its logit loss, instead of the hook's.
        layer: Module name of the tapped feature.
        mean: In 0..255 units, instead of what the source says.
        std: Like `mean`.
        channel_order: 'rgb' or 'bgr', instead of what the source says.
        input_size: Side, or height and width, instead of what the source says.
        classes: Names of its classes, instead of what its checkpoint or its config says.
        strict: Refuse a checkpoint of which a key does not fit.
        trust: Unpickle the checkpoint without restriction.
    """

    checkpoint: str | None = None
    temperature: float | None = None
    layer: str | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    channel_order: Order | None = None
    input_size: int | Sequence[int] | None = None
    classes: Sequence[str] | None = None
    strict: bool = True
    trust: bool = False


def entries_by_name(entries: Any) -> dict[str, dict[str, Any]]:
    """Entries by name; a list can hold a name twice, which a dict silently cannot."""
    if isinstance(entries, Mapping):
        pairs = list(entries.items())
    elif isinstance(entries, list | tuple):
        nameless = [entry for entry in entries if not isinstance(entry, Mapping) or 'name' not in entry]
        if nameless:
            raise MTKDError(
                f'`teachers` is a list: each entry must be a dict with a name; this one is not: {nameless[0]!r:.80}'
            )
        pairs = [(entry['name'], {key: value for key, value in entry.items() if key != 'name'}) for entry in entries]
    else:
        raise MTKDError(f'`teachers` must be a dict of name=dict(...), it is a {type(entries).__name__}')
    named: dict[str, dict[str, Any]] = {}
    for name, entry in pairs:
        if not isinstance(name, str) or not re.fullmatch(r'[\w.-]+', name):
            raise MTKDError(
                f"a teacher's name becomes part of metric names; use letters, digits, _ . or -, not {name!r}"
            )
        if name in named:
            raise MTKDError(f"`teachers` has the name '{name}' twice; give each teacher a name of its own")
        if not isinstance(entry, Mapping):
            raise MTKDError(
                f"teacher '{name}' must be a dict(config=..., checkpoint=...), it is a {type(entry).__name__}"
            )
        named[name] = dict(entry)
    return named


def _build_teacher(
    name: str, entry: dict[str, Any], temperature: float, student: InputContract, loaded: Order | None
) -> Teacher:
    options = Options(**{key: entry.pop(key) for key in Options._fields if key in entry})
    _check(name, options)
    given = f'{sorted(entry.items(), key=str)} strict={options.strict}'
    with isolated(seed=zlib.crc32(name.encode())):
        try:
            origin = _source(name, entry)
            if options.checkpoint is None and not origin.trained:
                raise MTKDError(
                    'no checkpoint is given, and a teacher with random weights teaches nothing; add checkpoint=... '
                    "('random' to keep them, for tests and benchmarks)"
                )
            model = origin.build()
            if options.checkpoint == RANDOM and isinstance(model, BaseModule) and not hasattr(model, 'head'):
                fill(model)  # a classifier, which has a head, leaves nothing open
            if not isinstance(model, nn.Module):
                raise MTKDError(
                    f'{origin.description} returned a {type(model).__name__}, not an nn.Module; return the model'
                )
            file = None if options.checkpoint in (None, RANDOM) else locate(str(options.checkpoint))
            checkpoint = file and read_checkpoint(file, options.trust)
            state_dict = checkpoint and state_dict_of(checkpoint, str(options.checkpoint))
        except MTKDError as error:
            raise MTKDError(f"teacher '{name}': {error}") from error
        if state_dict:
            load_into(model, state_dict, name=name, path=str(options.checkpoint), strict=options.strict)
    classes = options.classes or classes_of(checkpoint) or getattr(origin, 'class_names', None)
    return Teacher(
        name=name,
        model=model,
        contract=_contract(origin.contract(model), model, options, student, loaded),
        temperature=float(options.temperature or temperature),
        layer=options.layer,
        description=origin.description,
        sha256=sha256_of(file or model),
        classes=tuple(classes) if classes else None,
        # what does not fit a checkpoint is drawn by the teacher's name
        recipe=getattr(origin, 'recipe', given) + (f' {sha256_of(model)}' if not options.strict else ''),
    )


def fill(model: BaseModule) -> None:
    """Draws the parameters that mmengine's models leave uninitialised until training, and says nothing of it."""
    model._dump_init_info = lambda *args: None
    model.init_weights()
    del model._dump_init_info


def classes_of(checkpoint: Any) -> tuple[str, ...] | None:
    """Names of the classes that OpenMMLab's checkpoints hold of the data they were trained on."""
    meta = checkpoint.get('meta') if isinstance(checkpoint, Mapping) else None
    places = [meta.get('dataset_meta'), meta] if isinstance(meta, Mapping) else []
    for place in places:
        for key in ('classes', 'CLASSES'):  # the second in files of before 2023
            classes = place.get(key) if isinstance(place, Mapping) else None
            if isinstance(classes, list | tuple) and classes:
                return tuple(map(str, classes))
    return None


def _check(name: str, options: Options) -> None:
    """Refuse values of the common options that would only fail later, or silently."""
    where = f"teacher '{name}'"
    temperature = options.temperature
    if temperature is not None and not (_are_numbers([temperature]) and temperature > 0):
        raise MTKDError(f'{where}: temperature must be above 0, it is {temperature!r}')
    if options.channel_order not in (None, 'rgb', 'bgr'):
        raise MTKDError(f"{where}: channel_order must be 'rgb' or 'bgr', it is {options.channel_order!r}")
    if (options.mean is None) != (options.std is None):
        raise MTKDError(f'{where}: mean and std go together; give both, in 0..255 units of the picture')
    for field in ('mean', 'std'):
        values = getattr(options, field)
        if values is not None and not (_are_numbers(values) and len(values) in (1, len(options.mean or ()))):
            raise MTKDError(
                f'{where}: {field} must be a list of numbers, one for each channel or one for all; it is {values!r}'
            )
    if options.std is not None and min(options.std) <= 0:
        raise MTKDError(f'{where}: std must be above 0, it is {tuple(options.std)}')
    classes = options.classes
    if classes is not None and not (isinstance(classes, list | tuple) and all(isinstance(c, str) for c in classes)):
        raise MTKDError(f'{where}: classes must be a list of names in the order of its logits; it is {classes!r:.80}')
    if classes is not None and len(set(classes)) < len(classes):
        raise MTKDError(f'{where}: classes has a name twice; each of its logits needs its own; it is {classes!r:.80}')
    size = options.input_size
    sides = [size, size] if isinstance(size, int) else size
    if sides is not None and not (_are_numbers(sides) and len(sides) == 2 and min(sides) > 0):
        raise MTKDError(f'{where}: input_size must be a number of pixels or (height, width); it is {size!r}')


def _are_numbers(values: Any) -> bool:
    return (
        isinstance(values, list | tuple) and len(values) > 0 and all(isinstance(value, int | float) for value in values)
    )


def _source(name: str, arguments: dict[str, Any]) -> Source:
    kind = arguments.pop('type', 'OpenMMLab')
    cls = TEACHERS.get(kind) if isinstance(kind, str) else kind
    if cls is None:
        raise MTKDError(f"there is no source '{kind}'; there are: {candidates(kind, sorted(TEACHERS.module_dict))}")
    parameters = inspect.signature(cls).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
    for key in arguments:
        if not takes_any and key not in parameters:
            known = [*parameters, *Options._fields]
            raise MTKDError(f"unknown option '{key}' of {cls.__name__}; did you mean: {candidates(key, known)}")
    try:
        inspect.signature(cls).bind(**arguments)
    except TypeError as error:
        raise MTKDError(f'{cls.__name__}: {error}; add it to the entry') from error
    return cls(**arguments)


def _contract(
    own: InputContract | None, model: nn.Module, options: Options, student: InputContract, loaded: Order | None
) -> InputContract:
    """What the source says, else what the student is fed; the entry has the last word."""
    contract = student if own is None else own
    changes: dict[str, Any] = {}
    if options.mean is not None and options.std is not None:
        changes.update(mean=tuple(map(float, options.mean)), std=tuple(map(float, options.std)))
    if options.input_size is not None:
        changes['size'] = pair_of(options.input_size)
    changes['channel_order'] = options.channel_order or contract.channel_order or loaded
    changes['channels'] = contract.channels or _input_channels(model)
    return contract._replace(**changes)


def _input_channels(model: nn.Module) -> int | None:
    """Channels of the pictures that the first convolution reads; ``None`` where it does not read pictures."""
    first = next((module for module in model.modules() if isinstance(module, nn.Conv2d)), None)
    return first.in_channels if first is not None and first.in_channels in (1, 3) else None
