"""The part of a config that makes a student run, as JSON, and what of it may be built."""

import json
import re
from collections.abc import Iterator, Set
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from mmengine import registry as roots
from mmengine.registry import Registry

from mtkd_rl.errors import MTKDError

SCOPES = ('mmengine', 'mmcv', 'mmpretrain', 'mmdet', 'mmseg', 'mtkd_rl')
NAME = re.compile(rf'(?:(?:{"|".join(SCOPES)})\.)?([A-Za-z_][A-Za-z0-9_]*)')
LOADS = ('init_cfg', 'pretrained', 'load_from')
"""Keys that make a model look for weights of its own."""
OPERATORS = {'nms', 'soft_nms'}
"""What detectors name in the same way, and mmcv evaluates as Python."""


def to_json(recipe: Any) -> str:
    """A recipe as JSON; tuples stay tuples.

    Raises:
        MTKDError: Something in it is no plain value.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {str(key): plain(each) for key, each in value.items()}
        if isinstance(value, tuple):
            return {'tuple': [plain(each) for each in value]}
        if isinstance(value, list):
            return [plain(each) for each in value]
        if value is None or isinstance(value, str | int | float | bool):
            return value
        raise MTKDError(f'the config holds a {type(value).__name__}, which cannot be published; write plain values')

    return json.dumps(plain(recipe), sort_keys=True)


def from_json(text: str) -> Any:
    """The recipe of ``to_json``."""

    def read(value: dict[str, Any]) -> Any:
        return tuple(value['tuple']) if set(value) == {'tuple'} else value

    return json.loads(text, object_hook=read)


def neutral(recipe: Any) -> Any:
    """A copy without what makes a model look for other weights."""
    if isinstance(recipe, dict):
        return {key: None if key in LOADS else neutral(value) for key, value in recipe.items()}
    if isinstance(recipe, list | tuple):
        return type(recipe)(neutral(each) for each in recipe)
    return recipe


def check_types(recipe: Any, file: str) -> None:
    """Refuses a recipe that would build anything but what OpenMMLab and mtkd_rl register.

    mmengine's registries take the dotted name of any function too, which a file from elsewhere must not choose.

    Raises:
        MTKDError: A ``type`` is none of these.
    """
    scope = recipe.get('default_scope')
    if scope not in SCOPES:
        raise MTKDError(
            f'zoo: {file} is refused: its default_scope is {scope!r}; it must be one of {", ".join(SCOPES)}'
        )
    kinds = list(values_of(recipe, 'type'))
    named = {kind.partition('.')[0] for kind in kinds if isinstance(kind, str) and '.' in kind}
    known = registered({scope, *named.intersection(SCOPES)}) | OPERATORS
    for elsewhere in values_of(recipe, '_scope_'):
        if elsewhere not in SCOPES:
            raise MTKDError(f'zoo: {file} is refused: it would look into {elsewhere!r}; only into {", ".join(SCOPES)}')
    for kind in kinds:
        found = NAME.fullmatch(kind) if isinstance(kind, str) else None
        if found is None or found[1] not in known:
            raise MTKDError(f'zoo: {file} is refused: it would build {kind!r}, which OpenMMLab does not register')


def values_of(recipe: Any, key: str) -> Iterator[Any]:
    """All that a key stands for, anywhere in a recipe."""
    if isinstance(recipe, dict):
        if key in recipe:
            yield recipe[key]
        recipe = list(recipe.values())
    if isinstance(recipe, list | tuple):
        for each in recipe:
            yield from values_of(each, key)


def registered(scopes: Set[str]) -> set[str]:
    """The names of all that is registered in packages, where they are installed."""
    names: set[str] = set()
    for scope in scopes:
        if find_spec(scope) is not None and find_spec(f'{scope}.registry') is not None:
            import_module(f'{scope}.registry')

    def collect(registry: Registry) -> None:
        registry.import_from_location()
        names.update(registry.module_dict)
        for child in [*registry._children.values()]:  # which importing adds to
            collect(child)

    for registry in vars(roots).values():
        if isinstance(registry, Registry):
            collect(registry)
    return names
