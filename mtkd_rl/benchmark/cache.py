"""What the cache of teachers costs to fill, and what it saves."""

import gc
import os
import statistics
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from torch import nn

from mtkd_rl.benchmark.turns import TeachersLoop, device_name
from mtkd_rl.errors import MTKDError
from mtkd_rl.types import Batch

MANY = 16
"""Batches that are stored."""


class CacheLoop(TeachersLoop):
    """Asks the teachers about ``MANY`` batches: live, while the cache fills, and from it; ``parent`` hears of it."""

    def run(self) -> nn.Module:
        """Measures, and waits for the parent's word."""
        self.runner.call_hook('before_train')
        self.runner.call_hook('before_train_epoch')
        self.runner.model.train()
        batches = [self.told(each) for each in islice(iter(self.dataloader), MANY)]
        self.parent.send(self.measure(batches))
        self.parent.recv()
        return self.runner.model

    def measure(self, batches: Sequence[Batch]) -> dict[str, Any]:
        """The time of all ways to ask; see ``mtkd_rl.benchmark.report.measure_cache``.

        Raises:
            MTKDError: A teacher's outputs were not stored.
        """
        distiller = self.hook().distiller
        cache: Any = distiller.cache

        def median(order: Sequence[Batch]) -> float:
            seconds = [self._repeat(self.asker(batch), 1) for batch in order]
            return round(1000 * statistics.median(seconds), 3)

        distiller.cache = None
        self.asker(batches[0])()  # which makes them faster
        live = median(batches)
        distiller.cache = cache
        fill = median(batches)
        order = [batches[7 * i % MANY] for i in range(MANY)]
        read = median(order)
        told = cache.told()
        cache.close()
        forget(Path(cache.folder))
        cold = median(order)
        wanting = [name for name, each in told.items() if not (each['bytes'] and each['error'])]
        if wanting:
            raise MTKDError(
                f'cache: nothing of {", ".join(wanting)} was stored: it cannot be, or its random weights say numbers '
                'too large for half precision; take another network of its size'
            )
        taken = sum(each['bytes'] for each in told.values())
        samples = len(batches[0].inputs)
        return {
            'ms': {'live': live, 'fill': fill, 'read': read, 'cold': cold},
            'bytes': taken,
            'teachers': told,
            'batch_size': samples,
            'gb_s': {name: round(taken * samples / 1e6 / ms, 3) for name, ms in (('read', read), ('cold', cold))},
            'device': device_name(self.device),
        }


def forget(folder: Path) -> None:
    """Makes the system drop what it holds of the cache's files in memory, so that the disk is read."""
    gc.collect()  # what is mapped cannot be dropped
    for path in folder.glob('*/rows.bin'):
        file = os.open(path, os.O_RDONLY)
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)
