"""Several processes as one: what is a mean over the batch becomes one over the global batch."""

from collections.abc import Callable

import torch
from mmengine.dist import all_gather, all_reduce, get_rank, get_world_size
from torch import Tensor


def global_mean(x: Tensor) -> Tensor:
    """The mean over processes of a tensor that each has; the same tensor in one process.

    Args:
        x: Of a floating dtype and of one shape everywhere. Every process has to call this.
    """
    if get_world_size() > 1:
        x = x.contiguous()
        all_reduce(x, op='mean')
    return x


def global_batch(rows: Tensor) -> Tensor:
    """The batches of all processes, dealt out as samplers deal; the same tensor in one process.

    Args:
        rows: ``(B, ...)``, of one shape everywhere. Every process has to call this.

    Returns:
        ``(world B, ...)``.
    """
    return torch.stack(all_gather(rows.contiguous()), dim=1).flatten(0, 1) if get_world_size() > 1 else rows


def own_share(draw: Callable[[int], Tensor], samples: int) -> Tensor:
    """What is drawn for this process's samples, such that several processes draw as one would.

    Args:
        draw: Makes so many rows, the same ones in every process.
        samples: Of this process.

    Returns:
        ``(samples, ...)``: of the rows of the global batch those at the places of its own.
    """
    return draw(samples * get_world_size())[get_rank() :: get_world_size()]
