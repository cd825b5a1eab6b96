"""Why a config does not train plainly here, in words, from the line that its toolbox fails with."""

import re

PATTERNS = (
    (r'^NotOfTheTaskError: (.+)', r'\1'),
    (r'^TimeoutError: (.+)', r'\1'),
    (r"No module named '?([\w.]+)", r'needs the package \1'),
    (r'requires extra multi-modal dependencies', 'multi-modal, and needs optional packages'),
    (r'[Pp]lease (?:run .?)?(?:pip )?install (?:the )?[`"\']*([\w-]+)', r'needs the package \1'),
    (r'operator (\w+): mmcv was installed without', r"needs mmcv's compiled operator \1"),
    (r'not implemented for .?CPU|No kernel|Could not run .*CPU|on CPU is not', 'needs an operator for CUDA only'),
    (r'Connection|URLError|HTTPError|name resolution|Max retries|offline|LocalEntryNotFound', 'needs a download'),
    (r"'NoneType' object has no attribute 'loss'", 'has no head, and so no loss'),
    (r"can't allocate memory|out of memory|MemoryError", 'needs more memory than there is'),
    (r'status 9$', 'its process was ended, probably for want of memory'),
)
"""A pattern of the error, and what it means; the first that is found counts."""


def in_words(error: str) -> str:
    """What an error means.

    Args:
        error: ``Type: message`` in one line.

    Returns:
        A few words; the error itself where it is none of the known.
    """
    for pattern, meaning in PATTERNS:
        found = re.search(pattern, error)
        if found:
            return found.expand(meaning)
    return without_folders(error)[:160]


def without_folders(text: str) -> str:
    """A text in which absolute paths are down to the names of their files."""
    return re.sub(r'(?<![\w:/])/(?:[\w.+-]+/)+', '', text)
