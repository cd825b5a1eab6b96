"""The global random states of python, numpy and torch: kept out of what must not touch them, and saved."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


@contextmanager
def isolated(seed: int | None = None) -> Iterator[None]:
    """Run a block without leaving a trace in the global random states.

    The states of python, numpy, torch on the CPU and, where CUDA is initialised, of the current CUDA device are put
    back on exit, also when the block raises. A CUDA device that the block itself initialises is not put back.

    Args:
        seed: At least 0: all of these generators start from it inside the block. ``None``: they go on from where they
            are, and are rewound afterwards.

    Yields:
        Nothing.
    """
    python, legacy, cpu, cuda = random.getstate(), np.random.get_state(), torch.get_rng_state(), _cuda_state()
    try:
        if seed is not None:
            reseed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(legacy)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state(cuda)


def reseed(seed: int) -> None:
    """Start the generators of python, numpy, torch and, where CUDA is initialised, its current device from one number.

    Args:
        seed: At least 0.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed would also replace the seed that waits for a CUDA that is not initialised yet.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed(seed)


def random_state() -> dict[str, Any]:
    """The global random states as plain containers and tensors, so that ``torch.load(weights_only=True)`` takes them.

    Returns:
        ``python`` (``version``, ``words`` int64 ``(625,)``, ``gauss`` float or ``None``), ``numpy`` (``algorithm``,
        ``words`` int64 ``(624,)``, ``position``, ``has_gauss``, ``gauss``), ``torch`` (uint8) and ``cuda`` (uint8, of
        the current device; ``None`` where CUDA is not initialised).
    """
    version, words, gauss = random.getstate()
    algorithm, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        'python': {'version': version, 'words': torch.tensor(words, dtype=torch.int64), 'gauss': gauss},
        'numpy': {
            'algorithm': str(algorithm),
            'words': torch.from_numpy(np.asarray(keys).astype(np.int64)),
            'position': int(position),
            'has_gauss': int(has_gauss),
            'gauss': float(cached),
        },
        'torch': torch.get_rng_state(),
        'cuda': _cuda_state(),
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Put back what `random_state` returned; the tensors may have been moved to another device since.

    A CUDA state is left out where there is no CUDA.

    Args:
        state: As `random_state` returns it.
    """
    python, legacy = state['python'], state['numpy']
    random.setstate((python['version'], tuple(python['words'].tolist()), python['gauss']))
    words = legacy['words'].cpu().numpy().astype(np.uint32)
    np.random.set_state((legacy['algorithm'], words, legacy['position'], legacy['has_gauss'], legacy['gauss']))
    torch.set_rng_state(state['torch'].cpu())
    if state['cuda'] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(state['cuda'].cpu())


def _cuda_state() -> torch.Tensor | None:
    return torch.cuda.get_rng_state() if torch.cuda.is_initialized() else None
