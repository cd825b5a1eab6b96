"""Memory in use, on the CPU and on a GPU, and when a process gives freed memory back."""

import gc
from pathlib import Path

import torch

GIVES_BACK = {'MALLOC_MMAP_THRESHOLD_': '65536'}
"""Environment in which glibc gives freed memory back at once (mallopt(3)), so that resident memory is memory in use.

It costs time: pages are cleared again and again.
"""
KEEPS = {'MALLOC_MMAP_THRESHOLD_': str(2**25), 'MALLOC_TRIM_THRESHOLD_': str(2**40)}
"""Environment in which glibc keeps freed memory.

Left to itself it gives back what happens to lie on top of the heap, which makes one process some 5% slower than another
that does the same.
"""
MIB = 2**20


def memory_kind(device: torch.device) -> str:
    """What ``peak_memory`` measures."""
    return 'peak of allocated CUDA memory' if device.type == 'cuda' else 'peak resident size of the process'


def start_memory(device: torch.device) -> int:
    """Begins to look for a peak.

    Returns:
        Bytes in use now.
    """
    gc.collect()
    if device.type == 'cuda':
        torch.cuda.reset_peak_memory_stats(device)
        return torch.cuda.memory_allocated(device)
    Path('/proc/self/clear_refs').write_text('5')  # resets VmHWM (proc(5))
    return _resident('VmRSS')


def peak_memory(device: torch.device) -> int:
    """Bytes in use at the peak since ``start_memory``."""
    return torch.cuda.max_memory_allocated(device) if device.type == 'cuda' else _resident('VmHWM')


def _resident(field: str) -> int:
    lines = Path('/proc/self/status').read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f'{field}:'))
