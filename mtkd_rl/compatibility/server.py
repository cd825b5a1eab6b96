"""A process that imports a toolbox once, and forks one of its own for each task.

``python -m mtkd_rl.compatibility.server MODULE ...`` imports the modules, then reads tasks from its standard input, a
JSON object a line, and answers each with another. `Server` is its other end.
"""

import importlib
import json
import os
import resource
import select
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any, TextIO

from mtkd_rl.errors import MTKDError

Answer = dict[str, Any]
"""``seconds``, and either ``value`` (what the function returned) or ``error`` (a line) and ``trace``."""


class Server:
    """A server process.

    Args:
        modules: What it imports before the first task.
        log: What its tasks print is appended to this file.
        threads: Of torch in each task.
        memory: Bytes that a task may take; ``None`` for no limit.
    """

    def __init__(self, modules: list[str], log: Path, threads: int = 1, memory: int | None = None) -> None:
        limits = {name: str(threads) for name in ('OMP_NUM_THREADS', 'MKL_NUM_THREADS', 'OPENBLAS_NUM_THREADS')}
        self._modules, self._log = modules, log
        self._memory = resource.RLIM_INFINITY if memory is None else memory
        # a model whose weights or vocabulary come from a hub is one that needs a download, whether or not it is cached
        offline = {'HF_HUB_OFFLINE': '1', 'TRANSFORMERS_OFFLINE': '1'}
        with log.open('a') as file:
            self._process = subprocess.Popen(
                [sys.executable, '-W', 'ignore', '-m', __name__, *modules],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                env={**os.environ, **limits, **offline},
            )

    def ask(self, function: str, limit: float, **arguments: Any) -> Answer:
        """Runs a function in a process of its own.

        Args:
            function: ``module:name``; it takes and returns what JSON can hold.
            limit: Seconds after which it is stopped.
            **arguments: Of the function.

        Returns:
            The answer.

        Raises:
            MTKDError: The server itself has ended, such as for want of a module.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        task = {'function': function, 'limit': limit, 'memory': self._memory, 'arguments': arguments}
        try:
            self._process.stdin.write(json.dumps(task) + '\n')
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended, and says nothing either
        line = self._process.stdout.readline()
        if not line:
            said = self._log.read_text(errors='replace').strip().splitlines()
            raise MTKDError(
                f'the process that imports {", ".join(self._modules)} has ended: {said[-1] if said else ""}'
            )
        return json.loads(line)

    def close(self) -> None:
        """Ends the server, and the task that it may be at."""
        self._process.terminate()
        self._process.communicate()


def serve(modules: list[str], tasks: TextIO, answers: TextIO) -> None:
    """Imports the modules and answers tasks until there are no more."""
    for module in modules:
        importlib.import_module(module)
    for line in tasks:
        started = time.perf_counter()
        answer = _in_fork(json.loads(line))
        answer['seconds'] = round(time.perf_counter() - started, 1)
        answers.write(json.dumps(answer) + '\n')
        answers.flush()


def _in_fork(task: dict[str, Any]) -> Answer:
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        resource.setrlimit(resource.RLIMIT_DATA, (task['memory'], task['memory']))
        with os.fdopen(writing, 'w') as file:
            json.dump(_run(task), file)
        os._exit(0)
    os.close(writing)

    def stop(*_: Any) -> None:
        os.kill(pid, signal.SIGKILL)
        os._exit(1)

    signal.signal(signal.SIGTERM, stop)
    text = _read(reading, time.monotonic() + task['limit'])
    if text is None:
        os.kill(pid, signal.SIGKILL)
    os.close(reading)
    status = os.waitpid(pid, 0)[1]
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if text is None:
        return {'error': f'TimeoutError: it takes longer than {task["limit"]:g} s', 'trace': ''}
    if not text:
        return {'error': f'ProcessLookupError: its process ended with status {status}', 'trace': ''}
    return json.loads(text)


def _run(task: dict[str, Any]) -> Answer:
    module, name = task['function'].split(':')
    try:
        return {'value': getattr(importlib.import_module(module), name)(**task['arguments'])}
    except BaseException as error:
        line = ' '.join(str(error).split())
        return {'error': f'{type(error).__name__}: {line}'[:500], 'trace': traceback.format_exc()[-4000:]}


def _read(descriptor: int, deadline: float) -> str | None:
    """All that is written until the other end is closed; ``None`` where that is not before the deadline."""
    parts: list[bytes] = []
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        part = os.read(descriptor, 1 << 16)
        if not part:
            return b''.join(parts).decode()
        parts.append(part)
    return None


if __name__ == '__main__':
    channel = os.fdopen(os.dup(1), 'w')
    os.dup2(2, 1)  # what the models print goes to the log
    serve(sys.argv[1:], sys.stdin, channel)
