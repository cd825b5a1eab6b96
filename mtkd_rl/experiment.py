"""Several trainings side by side, each in a process of its own, and what came of them."""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import cache
from pathlib import Path
from typing import NamedTuple

from scipy.stats import t as student_t

from mtkd_rl import tooling
from mtkd_rl.errors import MTKDError
from mtkd_rl.plot import read_scalars
from mtkd_rl.teachers.checkpoint import sha256_of

DONE = 'score.json'


class Job(NamedTuple):
    """One training: a row of a table and a seed of it.

    Attributes:
        row: Name of the row.
        config: Path of the config.
        work_dir: Where it writes.
        seed: Of the run.
        options: Further ``KEY=VALUE`` changes to the config.
    """

    row: str
    config: str
    work_dir: Path
    seed: int
    options: tuple[str, ...] = ()

    @property
    def told(self) -> str:
        """How it is called where something is wrong with it."""
        return f'{self.row}, seed {self.seed}'


class Score(NamedTuple):
    """What a training reached.

    Attributes:
        values: Metrics of the last validation, or of a test, by name.
        seconds: Wall time of the process.
    """

    values: dict[str, float]
    seconds: float


def train(job: Job, metrics: Sequence[str], again: bool = False) -> Score:
    """Trains in a process of its own on one core, unless that was done before.

    Args:
        job: What to train. A run that is done has left a file in its work dir, with the command that made it and a
            checksum of what its config says and of its teachers; after a change of either it is made again.
        metrics: Names of scalars of the last validation.
        again: Train also what is done.

    Raises:
        MTKDError: The run failed; the message has the last line it said and where the rest is. It logged no such
            metric.
    """
    command = ['-m', 'mtkd_rl', 'train', job.config, '--work-dir', str(job.work_dir)]
    command += ['--cfg-options', f'randomness.seed={job.seed}', *job.options]
    done, made = job.work_dir / DONE, made_of(job.config)  # before it begins, as files may change meanwhile
    if done.is_file() and not again:
        saved = json.loads(done.read_text())
        same = saved['command'] == command and saved.get('made_of') == made
        if same and set(metrics) <= set(saved['scores']):
            return Score({metric: saved['scores'][metric] for metric in metrics}, saved['seconds'])
    seconds = on_one_core(command, job.work_dir, job.told)
    newest = max(job.work_dir.glob('*/vis_data')).parent.name  # not what an earlier run reached there
    try:
        values = {metric: float(read_scalars(job.work_dir, metric, newest)[-1][metric]) for metric in metrics}
    except MTKDError as error:
        raise MTKDError(f'{job.told}: {error}; a detector that finds nothing has no mAP') from None
    told = {'command': command, 'made_of': made, 'scores': values, 'seconds': seconds}
    done.write_text(json.dumps(told) + '\n')
    return Score(values, seconds)


@cache
def made_of(config: str) -> str:
    """SHA-256 of a config as it is resolved and, where they are files, of its teachers' checkpoints."""
    cfg = tooling.load_config(config)
    told = hashlib.sha256(cfg.pretty_text.encode())
    teachers = [teacher for entry in tooling.hook_entries(cfg) for teacher in (entry.get('teachers') or {}).values()]
    for teacher in teachers:
        checkpoint = teacher.get('checkpoint') if isinstance(teacher, dict) else None
        if isinstance(checkpoint, str) and Path(checkpoint).is_file():
            told.update(sha256_of(Path(checkpoint)).encode())
    return told.hexdigest()


def test(job: Job, config: str, metrics: Sequence[str]) -> Score:
    """Scores the last checkpoint of a training that is done with another config, in a process of its own.

    Args:
        job: What was trained.
        config: Path of a config with the same model; its test set is what counts.
        metrics: Names of metrics of it.

    Raises:
        MTKDError: The run failed; the message has the last line it said. There is no such metric.
    """
    folder = job.work_dir / f'test_{Path(config).stem}'
    checkpoint = str(tooling.last_checkpoint(job.work_dir))
    seconds = on_one_core(['-m', 'mtkd_rl', 'test', config, checkpoint, '--work-dir', str(folder)], folder, job.told)
    newest = max(folder.glob('*/*.json'))
    seen = json.loads(newest.read_text())
    missing = [metric for metric in metrics if metric not in seen]
    if missing:
        raise MTKDError(f'{job.told}: {config} has no {", ".join(missing)}; it has {", ".join(seen)}')
    return Score({metric: float(seen[metric]) for metric in metrics}, seconds)


def on_one_core(command: Sequence[str], folder: Path, told: str) -> float:
    """Runs Python with arguments in a process of its own on one core; ``log.txt`` of the folder is what it said.

    Returns:
        Wall time in seconds.

    Raises:
        MTKDError: It failed; the message begins with ``told`` and has the last line it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / 'log.txt'
    started = time.perf_counter()
    with log.open('w') as file:
        process = subprocess.run(
            [sys.executable, *command],
            stdout=file,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, 'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1'},
        )
    if process.returncode != 0:
        last = (log.read_text().strip().splitlines() or ['it said nothing'])[-1]
        raise MTKDError(f'{told}: {last} (all of it: {log})')
    return round(time.perf_counter() - started, 1)


def run_all(
    work: Callable[[Job], Score], jobs: Sequence[Job], workers: int, tell: Callable[[Job, Score], None]
) -> dict[str, list[Score]]:
    """Does the same with all, a few at a time.

    Args:
        work: What is done with a job, such as `train`.
        jobs: In the order of the table.
        workers: How many at a time.
        tell: Is told of each that is done.

    Returns:
        Row to the scores of its seeds, in their order.
    """
    scores: dict[Job, Score] = {}
    with ThreadPoolExecutor(workers) as executor:
        waiting = {executor.submit(work, job): job for job in jobs}
        try:
            for future in as_completed(waiting):
                job = waiting[future]
                scores[job] = future.result()
                tell(job, scores[job])
        finally:
            executor.shutdown(cancel_futures=True)
    return {job.row: [scores[other] for other in jobs if other.row == job.row] for job in jobs}


class Summary(NamedTuple):
    """What a row reached in one metric.

    Attributes:
        mean: Over the seeds.
        sd: Standard deviation over the seeds; 0 of a single one.
        values: Of every seed.
    """

    mean: float
    sd: float
    values: list[float]


def summarise(seeds: Sequence[Score], metric: str, percent: float = 1.0) -> Summary:
    """Mean and standard deviation of one row over its seeds, rounded to four digits behind the point.

    Args:
        seeds: The scores of its seeds.
        metric: Name of a metric.
        percent: What the metric is multiplied by.
    """
    values = [percent * score.values[metric] for score in seeds]
    spread = statistics.stdev(values) if len(values) > 1 else 0.0
    return Summary(round(statistics.mean(values), 4), round(spread, 4), [round(value, 4) for value in values])


class Difference(NamedTuple):
    """A row beside another one, seed by seed.

    Attributes:
        mean: Of the differences.
        low: Lower end of the 95% interval of the mean; NaN of a single seed.
        high: Upper end.
        values: Of every seed.
    """

    mean: float
    low: float
    high: float
    values: list[float]


def paired(row: Summary, other: Summary) -> Difference:
    """How much better a row is than another one, seeds in pairs.

    ``mean(d) +- t_{0.975, n-1} sd(d) / sqrt(n)`` with the differences d of n seeds: Student's interval. Runs of one
    seed share initial weights and the order of the data, so part of what a seed changes cancels.

    Args:
        row: Scores of n seeds.
        other: Of the same seeds.
    """
    values = [round(a - b, 4) for a, b in zip(row.values, other.values, strict=True)]
    mean, count = statistics.mean(values), len(values)
    if count < 2:
        return Difference(round(mean, 4), float('nan'), float('nan'), values)
    half = float(student_t.ppf(0.975, count - 1)) * statistics.stdev(values) / count**0.5
    return Difference(round(mean, 4), round(mean - half, 4), round(mean + half, 4), values)


def in_markdown(rows: Mapping[str, Mapping[str, Summary]], against: str) -> str:
    """A table for a document: of each row every metric, and its paired difference to one of the rows.

    Args:
        rows: Row to metric to what it reached.
        against: Name of that row.
    """
    metrics = list(rows[against])
    heading = ['', *(cell for metric in metrics for cell in (short(metric), f'against {against}, 95% interval'))]
    lines = [heading, ['---'] * len(heading)]
    for name, reached in rows.items():
        line = [name]
        for metric in metrics:
            line.append(f'{reached[metric].mean:.2f} ± {reached[metric].sd:.2f}')
            line.append('' if name == against else told(paired(reached[metric], rows[against][metric])))
        lines.append(line)
    count = len(rows[against][metrics[0]].values)
    table = '\n'.join(f'| {" | ".join(line)} |' for line in lines)
    return f'{table}\n\nMean ± sd of {count} seeds; differences are paired by seed.\n'


def told(difference: Difference) -> str:
    """A difference in a few characters."""
    if difference.low != difference.low:
        return f'{difference.mean:+.2f}'
    return f'{difference.mean:+.2f} [{difference.low:+.2f}, {difference.high:+.2f}]'


def short(metric: str) -> str:
    """A metric's name without its family's."""
    return metric.rpartition('/')[2]
