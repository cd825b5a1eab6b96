"""What cannot be done without mmcv's compiled extension."""

from typing import Any

import torch


def missing(operator: str) -> RuntimeError:
    """The error of an operator that is nowhere."""
    return RuntimeError(
        f'operator {operator}: mmcv was installed without its compiled extension, and torchvision has nothing for it; '
        'install mmcv with compiled operators'
    )


def torchvision_operators(operator: str) -> Any:
    """The compiled operators of torchvision, which are registered when it is imported.

    Args:
        operator: What mmcv calls the one that is needed, for the message.

    Raises:
        RuntimeError: torchvision is not installed.
    """
    try:
        import torchvision  # noqa: F401
    except ImportError:
        raise missing(operator) from None
    return torch.ops.torchvision
