"""One start of a training: a process that is watched from outside, and killed with all that it started."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from mtkd_rl.chaos.kills import Plan, fits
from mtkd_rl.chaos.progress import Seen, look
from mtkd_rl.errors import MTKDError

MARK = 'MTKD_RL_CHAOS'
"""Environment variable by which all processes of a training are found: torchrun puts each into a session of its own."""
PATIENCE = 600.0
"""Seconds after which a training counts as hanging."""


class Training:
    """One start of ``tools/train.py``.

    Args:
        train: Path of the tool.
        config: Path of the config.
        work_dir: For checkpoints.
        output: File for all that it prints.
        resume: Whether to go on from the latest checkpoint.
        processes: Of the training; more than one under torchrun with gloo.
    """

    def __init__(
        self, train: Path, config: Path, work_dir: Path, output: Path, *, resume: bool, processes: int
    ) -> None:
        self.work_dir = work_dir
        self.mark = str(output)
        command = [sys.executable]
        if processes > 1:
            command += ['-m', 'torch.distributed.run', f'--nproc_per_node={processes}', f'--master_port={_free_port()}']
        command += [str(train), str(config), '--work-dir', str(work_dir)]
        command += ['--launcher', 'pytorch'] * (processes > 1) + ['--resume'] * resume
        one = {'OMP_NUM_THREADS': '1', 'MKL_NUM_THREADS': '1', 'CUDA_VISIBLE_DEVICES': ''}
        with output.open('wb') as file:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                env={**os.environ, **one, MARK: self.mark},
                start_new_session=True,
            )
        self.output = output.open('rb')
        self._rest = b''
        self._groups: set[int] = set()
        self.seen = Seen()

    def follow(self) -> None:
        """Reads what was printed since, up to the last whole line."""
        *lines, self._rest = (self._rest + self.output.read()).split(b'\n')
        for line in lines:
            self.seen = look(line.decode(errors='replace'), self.seen)

    def wait_for(self, plan: Plan, size: int) -> bool:
        """Waits for the moment of a plan.

        Args:
            plan: When.
            size: Of a whole checkpoint in bytes, to know one that is there in part.

        Returns:
            Whether it came; else the training has ended.
        """
        before = _sizes(self.work_dir)
        for _ in self._ticks(0.002):
            self.follow_until(plan)
            if not self._groups and self.seen.what != 'starting':
                self._groups = _groups(self.mark)  # all are there; looking for them takes too long at the moment itself
            if fits(plan, self.seen):
                if plan.growing:
                    self._wait_for_part(before, size)
                time.sleep(plan.delay)
                return self.process.poll() is None
            before = _sizes(self.work_dir)
        return False

    def follow_until(self, plan: Plan) -> None:
        """As ``follow``, but stops at the line with which a plan's moment comes; the rest is read later."""
        self._rest += self.output.read()
        while not fits(plan, self.seen) and b'\n' in self._rest:
            line, self._rest = self._rest.split(b'\n', 1)
            self.seen = look(line.decode(errors='replace'), self.seen)

    def wait(self) -> None:
        """Waits for the end of the training.

        Raises:
            MTKDError: It failed, with the last line that it said, or it hangs.
        """
        for _ in self._ticks(0.05):
            self.follow()
        self.follow()
        if self.process.returncode != 0:
            raise MTKDError(f'{self.last_line()} (all of it: {self.mark})')

    def last_line(self) -> str:
        """The last thing printed that is not torchrun's report."""
        lines = [line for line in Path(self.mark).read_text(errors='replace').splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r'(\[rank\d+\]: *)?(\w+\.)*(\w*Error\b|error:)', line)]
        return ' '.join((errors or lines or ['it said nothing'])[-1].split())

    def kill(self) -> None:
        """SIGKILL to all its processes, a whole process group at once."""
        if self.process.poll() is None:
            for group in self._groups:
                _kill_group(group)
        while groups := _groups(self.mark):
            for group in groups:
                _kill_group(group)
            self.process.poll()
        self.process.wait()

    def close(self) -> None:
        """Ends it if it runs."""
        self.kill()
        self.output.close()

    def _ticks(self, seconds: float) -> Iterator[None]:
        started = time.monotonic()
        while self.process.poll() is None:
            if time.monotonic() - started > PATIENCE:
                raise MTKDError(f'it hangs: no end after {PATIENCE:.0f} s (its output: {self.mark})')
            yield
            time.sleep(seconds)

    def _wait_for_part(self, before: Mapping[str, tuple[int, int]], size: int) -> None:
        """Until a file that was touched since has a part of its bytes; at most a second."""
        end = time.monotonic() + 1
        while time.monotonic() < end:
            for name, state in _sizes(self.work_dir).items():
                if state != before.get(name) and 0 < state[0] < 0.9 * size:
                    return


def _sizes(work_dir: Path) -> dict[str, tuple[int, int]]:
    """Size and inode of each checkpoint but the best one."""
    found = {}
    try:
        with os.scandir(work_dir) as entries:
            for entry in entries:
                if '.pth' in entry.name and not entry.name.startswith('best_'):
                    state = entry.stat()
                    found[entry.name] = (state.st_size, state.st_ino)
    except FileNotFoundError:  # no work dir yet, or a file that went meanwhile
        pass
    return found


def _groups(mark: str) -> set[int]:
    """Process groups of a training."""
    wanted = f'{MARK}={mark}'.encode()
    found = set()
    for path in Path('/proc').glob('[0-9]*/environ'):
        try:
            if wanted in path.read_bytes().split(b'\0'):
                found.add(os.getpgid(int(path.parent.name)))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(('127.0.0.1', 0))
        return int(probe.getsockname()[1])
