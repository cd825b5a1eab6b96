"""What PyTorch's restricted unpickler may meet in a checkpoint besides tensors and plain containers.

Everything here is harmless with any arguments and any state, for a hostile file chooses both. Where mmengine's own
class or function is not, something narrower stands in for it.
"""

import argparse
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim.scheduler.param_scheduler import OneCycleParamScheduler


class _History(HistoryBuffer):
    """Stands in for `HistoryBuffer`, whose own ``__setstate__`` lets a file replace methods of the class itself.

    Other methods are refused and not only left out: mmengine, which reads some files after us, would take them.
    """

    def __setstate__(self, state: dict[str, Any]) -> None:
        methods = state.get('statistics_methods', {})
        if any(methods[name] is not _METHODS.get((_History, name)) for name in methods):
            raise pickle.UnpicklingError('GLOBAL HistoryBuffer.register_statistics')
        self.__dict__.update({key: state[key] for key in ('max_length', '_log_history', '_count_history')})
        self.__class__ = HistoryBuffer


class _OneCycle:
    """Stands in for `OneCycleParamScheduler`, of which files only name static methods."""


_METHODS: dict[tuple[type, str], Callable] = {
    **{(_History, name): getattr(HistoryBuffer, name) for name in ('min', 'max', 'current', 'mean')},
    **{(_OneCycle, name): getattr(OneCycleParamScheduler, name) for name in ('_annealing_cos', '_annealing_linear')},
}


def _method(owner: type, name: str) -> Callable:
    """Stands in for ``getattr``, which would reach anything from an allowed class: only methods that mmengine saves."""
    if (owner, name) not in _METHODS:
        raise pickle.UnpicklingError(f'GLOBAL builtins.getattr({getattr(owner, "__name__", owner)!s:.40},{name!s:.40})')
    return _METHODS[owner, name]


_NUMPY_CORE: Any = np._core if hasattr(np, '_core') else np.core

# Arrays of objects and of records are left out: their dtypes let a file say how memory is to be read.
_DTYPES = {type(np.dtype(code)) for code in ('?bBhHiIlLqQefdgFDSU')}

# Pairs, also where the name is the object's own, so that leaving takes away nothing that the user allowed.
SAFE: list[Any] = [
    (_History, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (_OneCycle, 'mmengine.optim.scheduler.param_scheduler.OneCycleParamScheduler'),
    (_method, 'builtins.getattr'),
    (ConfigDict, 'mmengine.config.config.ConfigDict'),
    (argparse.Namespace, 'argparse.Namespace'),
    (np.ndarray, 'numpy.ndarray'),
    (np.dtype, 'numpy.dtype'),
    *((dtype, f'{dtype.__module__}.{dtype.__qualname__}') for dtype in _DTYPES),
    # Files name these by their place before or after numpy 2.
    *(
        (getattr(_NUMPY_CORE.multiarray, name), f'numpy.{place}.multiarray.{name}')
        for name in ('_reconstruct', 'scalar')
        for place in ('core', '_core')
    ),
]

_ALONE = RLock()


@contextmanager
def safely() -> Iterator[None]:
    """PyTorch's restricted unpickler allows `SAFE` in this block; what it allows is global, so one thread at a time."""
    with _ALONE, torch.serialization.safe_globals(SAFE):
        yield
