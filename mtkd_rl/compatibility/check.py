"""The three questions about a family of configs, each asked in a process of its own, and the record of the answers."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch

from mtkd_rl.compatibility.reasons import in_words, without_folders
from mtkd_rl.compatibility.server import Answer, Server
from mtkd_rl.compatibility.toolboxes import TOOLBOXES, TRIED, root_of

OTHER_TASK = 'NotOfTheTaskError'


class Verdict(NamedTuple):
    """What came of one config.

    Attributes:
        toolbox: One of `TOOLBOXES`.
        family: The folder of the config.
        config: Its path below the toolbox's ``configs``.
        chosen: Whether it stands for its family, or was named by a user.
        versions: What it was run on.
        plain: Whether it trains a step as it is.
        hooked: Whether it trains with the hook; ``None`` where it was not tried.
        checkpoint: Whether the checkpoint of that loads plainly, with the same predictions; likewise.
        knowledge: The kinds of knowledge from which the student got a gradient.
        side: Of the pictures, in pixels; 0 where it does not train.
        seconds: All of it.
        reason: Why not, in words; empty where all went well.
        trace: The end of the traceback of that.
    """

    toolbox: str
    family: str
    config: str
    chosen: bool
    versions: dict[str, str]
    plain: bool = False
    hooked: bool | None = None
    checkpoint: bool | None = None
    knowledge: tuple[str, ...] = ()
    side: int = 0
    seconds: float = 0.0
    reason: str = ''
    trace: str = ''

    @property
    def passed(self) -> bool:
        """Whether all three went well."""
        return bool(self.plain and self.hooked and self.checkpoint)

    @property
    def broken(self) -> bool:
        """Whether it trains plainly, and the hook or the checkpoint does not do its part."""
        return self.plain and not self.passed


class Workers:
    """Pairs of servers, one with the toolbox alone and one with the hook too, as many as there are jobs.

    Args:
        toolbox: One of `TOOLBOXES`.
        jobs: How many.
        log: What the models print is appended to this file.
    """

    def __init__(self, toolbox: str, jobs: int, log: Path) -> None:
        modules = {'plain': 'mtkd_rl.compat', 'hooked': 'mtkd_rl.hook'}
        self._pairs: Queue[dict[str, Server]] = Queue()
        # what a Runner would import of the toolbox, so that no task has to
        parts = [f'{toolbox}.{part}' for part in ('models', 'datasets', 'engine', 'visualization')]
        # a task that takes too much fails by itself, before the system ends another process for it; CUDA reserves more
        memory = None if torch.cuda.is_available() else int(0.9 * available_memory() / jobs)
        self._all = [
            {name: Server([module, *parts], log, memory=memory) for name, module in modules.items()}
            for _ in range(jobs)
        ]
        for pair in self._all:
            self._pairs.put(pair)

    @contextmanager
    def pair(self) -> Iterator[dict[str, Server]]:
        """A pair that nobody else uses; waits for one."""
        pair = self._pairs.get()
        try:
            yield pair
        finally:
            self._pairs.put(pair)

    def close(self) -> None:
        """Ends all servers, and what they are at."""
        for pair in self._all:
            for server in pair.values():
                server.close()


def available_memory() -> int:
    """Bytes of memory that new processes can have."""
    return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')


def check(
    pair: dict[str, Server],
    toolbox: str,
    family: str,
    configs: Sequence[str],
    *,
    chosen: bool,
    versions: dict[str, str],
    limit: float,
) -> Verdict:
    """Asks the three questions of the first config that trains plainly.

    Args:
        pair: From `Workers.pair`.
        toolbox: One of `TOOLBOXES`.
        family: The family.
        configs: Its configs, the smallest first; those with a model of another task are passed over, and of the rest
            `TRIED` are tried.
        chosen: Goes into the verdict, like `versions`.
        versions: What it is run on.
        limit: Seconds that each question may take.

    Returns:
        The verdict on the first that trains plainly, else on the first that is of the toolbox's task.
    """
    where = dict(toolbox=toolbox, root=str(root_of(toolbox)))
    answer, config = _plainly(pair['plain'], where, configs, limit)
    verdict = Verdict(toolbox, family, config, chosen, versions, plain='value' in answer, seconds=answer['seconds'])
    if not verdict.plain:
        return verdict._replace(reason=in_words(answer['error']), trace=answer['trace'])
    said = answer['value']
    verdict = verdict._replace(side=said['side'])
    with TemporaryDirectory(prefix='compatibility-') as folder:
        arguments = dict(**where, config=config, side=said['side'], fit=said['fit'], folder=folder)
        answer = pair['hooked'].ask('mtkd_rl.compatibility.hooked:train', limit, **arguments)
        verdict = verdict._replace(hooked='value' in answer, seconds=verdict.seconds + answer['seconds'])
        if not verdict.hooked:
            return verdict._replace(reason=without_folders(answer['error']), trace=answer['trace'])
        verdict = verdict._replace(knowledge=tuple(answer['value']['knowledge']))
        answer = pair['plain'].ask('mtkd_rl.compatibility.reload:load', limit, **arguments, grown=said['grown'])
    verdict = verdict._replace(checkpoint='value' in answer, seconds=round(verdict.seconds + answer['seconds'], 1))
    if not verdict.checkpoint:
        return verdict._replace(reason=without_folders(answer['error']), trace=answer['trace'])
    return verdict


def _plainly(server: Server, where: dict[str, str], configs: Sequence[str], limit: float) -> tuple[Answer, str]:
    """The first config that trains a step, with the answer; the first of those that do not where none does."""
    box = TOOLBOXES[where['toolbox']]
    refused: list[tuple[Answer, str]] = []
    passed_over: list[tuple[Answer, str]] = []
    for config in configs:
        task = dict(**where, config=config, own=box.own, others=box.others)
        answer = server.ask('mtkd_rl.compatibility.plain:step', limit, **task)
        if 'value' in answer:
            return answer, config
        (passed_over if answer['error'].startswith(OTHER_TASK) else refused).append((answer, config))
        if len(refused) == TRIED:
            break
    return (refused or passed_over)[0]


def read(path: Path) -> list[Verdict]:
    """The verdicts in a file of JSON lines, of each family, or config named, the last; none where there is no file."""
    lines = path.read_text(encoding='utf-8').splitlines() if path.is_file() else []
    verdicts = [Verdict(**{**(record := json.loads(line)), 'knowledge': tuple(record['knowledge'])}) for line in lines]
    return list({(each.chosen, each.family if each.chosen else each.config): each for each in verdicts}.values())


def add(path: Path, verdict: Verdict) -> None:
    """Appends a verdict to a file of JSON lines."""
    record: dict[str, Any] = verdict._asdict()
    with path.open('a', encoding='utf-8') as file:
        file.write(json.dumps(record) + '\n')
