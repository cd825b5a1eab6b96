"""Running a part of a model once more, without a trace in it."""

import copy
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.utils._pytree import tree_map

from mtkd_rl.rng import isolated

CONTAINERS = (list, dict, set, deque)
STEADY = (_NormBase, _DropoutNd, nn.MultiheadAttention)
"""What does in evaluation what it does not do in training; a head's own way to compute its loss stays training's."""
DROPS = ('DropPath', 'DropBlock')
"""Dropout of several libraries, each with a class of its own."""
OWN = frozenset(vars(nn.Module()))
"""What every module has for itself: parameters, buffers, hooks and so on."""


@contextmanager
def steady(model: nn.Module) -> Iterator[None]:
    """Lets normalisation take its saved statistics and dropout drop nothing; the rest stays in its mode."""
    modules = list(model.modules())
    modes = [module.training for module in modules]
    try:
        for module in modules:
            if isinstance(module, STEADY) or type(module).__name__ in DROPS:
                module.training = False
        yield
    finally:
        for module, mode in zip(modules, modes):
            module.training = mode


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Lets a model compute its loss again, as it would in training, but for normalisation and dropout.

    Normalisation takes its saved statistics and dropout drops nothing, so that a picture's loss does not depend on
    chance or on the pictures beside it. Heads that keep books of their own (Dynamic R-CNN's thresholds, EMANet's bases)
    find them as they were, and so do the global random states.

    Args:
        model: A student or a teacher; without gradients inside.
    """
    modules = list(model.modules())
    modes = [module.training for module in modules]
    attributes = [(vars(each), dict(vars(each))) for each in [*modules, *_helpers(modules)]]
    contents = [
        (value, copy.copy(value))
        for _, before in attributes
        for name, value in before.items()
        if type(value) in CONTAINERS and name not in OWN
    ]
    buffers = [
        (module, name, value, value.clone(), value._version)
        for module in modules
        if not isinstance(module, _NormBase)
        for name, value in module._buffers.items()
        if value is not None
    ]
    try:
        with isolated(), torch.no_grad():
            for module in modules:
                module.training = not isinstance(module, STEADY) and type(module).__name__ not in DROPS
            yield
    finally:
        for live, before in attributes:
            for name in live.keys() - before.keys():
                del live[name]
            live.update({name: value for name, value in before.items() if live.get(name) is not value})
        for value, before in contents:
            value.clear()
            (value.extend if isinstance(value, list | deque) else value.update)(before)
        for module, name, value, saved, version in buffers:
            module._buffers[name] = value
            if value._version != version:  # writing where nothing changed would spoil the student's backward pass
                value.data.copy_(saved)
        for module, mode in zip(modules, modes):
            module.training = mode


def _helpers(modules: Iterable[nn.Module]) -> list[Any]:
    """Objects of modules that are none themselves and may remember things: assigners, samplers, coders."""
    values = [value for module in modules for name, value in vars(module).items() if name not in OWN]
    flat = [each for value in values for each in (value if isinstance(value, list | tuple) else [value])]
    no_helper = (nn.Module, Tensor, type, ModuleType, FunctionType, MethodType, Mapping)
    found = {id(each): each for each in flat if hasattr(each, '__dict__') and not isinstance(each, no_helper)}
    return list(found.values())


@contextmanager
def one_process() -> Iterator[None]:
    """Lets losses believe that this process is the only one.

    Many average the number of objects over all processes; the loss of a picture would then depend on whatever picture
    another process is at, and every picture would wait for it.
    """
    initialised = torch.distributed.is_initialized
    torch.distributed.is_initialized = lambda: False
    try:
        yield
    finally:
        torch.distributed.is_initialized = initialised


@contextmanager
def standing_in(model: nn.Module, parts: Mapping[str, Any]) -> Iterator[None]:
    """Lets parts of a model say what they said before instead of running.

    Args:
        model: Its attributes are shadowed, as an entry of its own ``__dict__`` goes before its modules.
        parts: Name of a child to what it says.
    """

    def says(what: Any) -> Callable[..., Any]:
        return lambda *args, **kwargs: what

    own = vars(model)
    try:
        own.update({name: says(what) for name, what in parts.items()})
        yield
    finally:
        for name in parts:
            own.pop(name, None)


def rows_of(said: Any, i: int, size: int) -> Any:
    """What a part of a model said about one picture, cut from the graph.

    Args:
        said: Tensors, nested as they may be; those whose first dimension is not the picture stay whole.
        i: Number of the picture.
        size: B.
    """

    def cut(x: Any) -> Any:
        if not isinstance(x, Tensor):
            return x
        # maps of several branches (TridentNet) follow one another, each for all pictures
        by_picture = x.dim() > 1 and (len(x) == size or (x.dim() == 4 and len(x) % size == 0))
        return x.detach()[i::size] if by_picture else x.detach()

    return tree_map(cut, said)
