"""How fast a fusion student is, and how large."""

import statistics
import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from mtkd_rl.fusion.models import FusionModel


@torch.no_grad()
def measure_fusion(model: FusionModel, size: tuple[int, int], threads: int, rounds: int) -> dict[str, Any]:
    """Fuses made pairs, one at a time.

    Args:
        model: A student; where it is, it is measured.
        size: Height and width of the pictures.
        threads: Of torch on the CPU.
        rounds: Turns; each lasts about a second.

    Returns:
        ``fps``, pairs a second in the median turn, and ``of_rounds``, those of each; ``parameters``; ``gmacs``, 10^9
        multiplications with addition of a pair, those of convolutions and matrices; ``size``, ``threads``, ``device``.
    """
    device = next(model.parameters()).device
    pair = torch.rand(1, 2, *size, device=device)
    network = model.eval().network
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with FlopCounterMode(display=False) as counter:
            network(pair)
        turns = []
        for turn in range(rounds + 1):
            count, started = 0, time.perf_counter()
            while time.perf_counter() - started < 1.0:
                network(pair)
                if device.type == 'cuda':
                    torch.cuda.synchronize(device)
                count += 1
            if turn:  # the first one warms up
                turns.append(count / (time.perf_counter() - started))
    finally:
        torch.set_num_threads(before)
    return {
        'fps': round(statistics.median(turns), 2),
        'of_rounds': [round(each, 2) for each in turns],
        'parameters': sum(p.numel() for p in network.parameters()),
        'gmacs': round(counter.get_total_flops() / 2e9, 4),
        'size': list(size),
        'threads': threads,
        'device': str(device),
    }
