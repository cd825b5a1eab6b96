"""The one exception that users of mtkd_rl are meant to read."""

from collections.abc import Iterable
from difflib import get_close_matches


class MTKDError(ValueError):
    """A mistake in what mtkd_rl was given, told in one line: what is wrong, where, and what to do.

    The tools print its message without a traceback and exit with status 1; nothing else that mtkd_rl raises on purpose
    reaches a user.
    """


def candidates(wrong: str, names: Iterable[str], most: int = 8) -> str:
    """Names that a wrong one may have meant, as text for an error message.

    Args:
        wrong: The name that was not found.
        names: The names that exist.
        most: How many to list at the most.

    Returns:
        The closest names first; when none is close, the first ones in their own order.
    """
    names = list(names)
    listed = get_close_matches(wrong, names, n=most, cutoff=0.5) or names[:most]
    left = len(names) - len(listed)
    return ', '.join(listed) + (f' (and {left} more)' if left > 0 else '')
