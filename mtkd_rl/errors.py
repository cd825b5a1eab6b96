"""The one exception that users of mtkd_rl are meant to read."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

T = TypeVar('T')


class MTKDError(ValueError):
    """A mistake in what mtkd_rl was given, told in one line: what is wrong, where, and what to do.

    The tools print its message without a traceback and exit with status 1; nothing else that mtkd_rl raises on purpose
    reaches a user.
    """


FEW = 15
"""Up to so many names are listed whole."""


def candidates(wrong: str, names: Iterable[str], most: int = 8) -> str:
    """Names that a wrong one may have meant, as text for an error message.

    Args:
        wrong: The name that was not found.
        names: The names that exist.
        most: How many to list at the most.

    Returns:
        The closest names first; of a long list those alone, or the first ones where none is close.
    """
    names = list(names)
    close = get_close_matches(wrong, names, n=most, cutoff=0.5)
    rest = [name for name in names if name not in close]
    listed = close + rest if len(names) <= FEW else close or names[:most]
    left = len(names) - len(listed)
    return ', '.join(listed) + (f' (and {left} more)' if left > 0 else '')


def check_number(where: str, name: str, value: object, low: float = 0.0, whole: bool = False) -> None:
    """Refuses an option that is no finite number of at least ``low``.

    Args:
        where: Whose option it is.
        name: The option.
        value: What it was set to.
        low: The least value.
        whole: Whether it must be an integer.

    Raises:
        MTKDError: It is not.
    """
    wanted = isinstance(value, int if whole else int | float) and not isinstance(value, bool)
    if not wanted or not low <= value < float('inf'):  # type: ignore[operator]
        kind = 'an integer' if whole else 'a finite number'
        raise MTKDError(f'{where}: {name} is {value!r}; give {kind} of at least {low:g}')


def from_options(kind: Callable[..., T], name: str, options: Any, otherwise: str = '') -> T:
    """Builds what an option of the hook, itself a dict of options, describes.

    Args:
        kind: What is built.
        name: Of the hook's option.
        options: What it was set to.
        otherwise: What else it may be set to, for the message.

    Raises:
        MTKDError: It is no dict, or has an option that there is not.
    """
    if not isinstance(options, Mapping):
        raise MTKDError(f'MTKDHook: {name} is {options!r}; give a dict of its options{otherwise}')
    known = list(inspect.signature(kind).parameters)
    for option in options:
        if option not in known:
            raise MTKDError(f'MTKDHook: {name} has no option {option!r}; did you mean: {candidates(option, known)}')
    return kind(**options)
