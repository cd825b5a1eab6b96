"""What a long training takes on many GPUs, worked out from what was measured on one machine."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

IN_A_NODE = 8
"""GPUs of a machine."""


class Job(NamedTuple):
    """A training and where it runs.

    Attributes:
        samples: N, of the data set.
        epochs: E.
        views: K, of the cache.
        batch: Pictures of a step on one GPU.
        rate: Pictures a second of the plain student on one GPU.
        storage: What all machines together read from their file system, 10^9 bytes a second.
        network: Of a machine, 10^9 bytes a second.
        parameters: Of the student.
    """

    samples: int
    epochs: int
    views: int
    batch: int
    rate: float
    storage: float
    network: float
    parameters: int


def scale(job: Job, step: Mapping[str, Any], cache: Mapping[str, Any], gpus: Sequence[int]) -> list[dict[str, Any]]:
    """What a training takes with teachers that run, and with the cache.

    A picture costs the plain student ``1 / rate`` seconds, and everything else in proportion, as ``step`` measured it.
    Reading the cache is work of the processor that feeds a GPU, and taken as ``cache`` measured it; it does not become
    faster with the GPU. Gradients are summed once a step, ``2 * 4 * parameters`` bytes over the network of a machine.
    Nothing is assumed to overlap.

    Args:
        job: The training.
        step: The report of ``mtkd_rl.benchmark.measure``.
        cache: The report of ``mtkd_rl.benchmark.report.measure_cache``, of the same config.
        gpus: Numbers of GPUs; 8 are a machine.

    Returns:
        Of each number: ``gpus``; ``plain``, ``live`` and ``cached``, hours; ``epoch_live`` and ``epoch_cached``,
        minutes of an epoch, once all views are there; ``cache_gb``; ``read_gb_s`` and ``write_gb_s``, of all machines
        while reading and while filling; shares of a cached step's time, in [0, 1]: ``storage``, which reads meanwhile,
        ``host``, which unpacks, and ``network``, which sums gradients; ``first``, the largest of these.
    """
    ms = {name: said['ms'] for name, said in step['variants'].items()}
    taught = (ms['ppo'] - ms['teachers']) / ms['plain']
    rows = []
    for count in gpus:
        summed = 2 * 4 * job.parameters / (job.network * 1e9) if count > IN_A_NODE else 0.0
        gradient = summed / job.batch  # seconds of a picture
        read = cache['ms']['read'] / 1000 / cache['batch_size']
        store = max(0.0, cache['ms']['fill'] - cache['ms']['live']) / 1000 / cache['batch_size']
        plain = 1 / job.rate + gradient
        live = ms['ppo'] / ms['plain'] / job.rate + gradient
        computed = taught / job.rate + gradient
        from_storage = cache['bytes'] * count / (job.storage * 1e9)  # seconds a picture of each GPU waits at least
        filling = max(live + store, from_storage)
        cached = max(computed + read, from_storage)
        share = job.samples / count
        views = min(job.views, job.epochs)
        hours = {
            'plain': job.epochs * share * plain / 3600,
            'live': job.epochs * share * live / 3600,
            'cached': (views * filling + (job.epochs - views) * cached) * share / 3600,
        }
        shares = {'storage': from_storage / cached, 'host': read / cached, 'network': gradient / cached}
        rows.append(
            {
                'gpus': count,
                **hours,
                'epoch_live': share * live / 60,
                'epoch_cached': share * cached / 60,
                'cache_gb': job.samples * views * cache['bytes'] / 1e9,
                'read_gb_s': count * cache['bytes'] / cached / 1e9,
                'write_gb_s': count * cache['bytes'] / filling / 1e9,
                **shares,
                'first': max(shares, key=lambda name: shares[name]),
            }
        )
    return rows
