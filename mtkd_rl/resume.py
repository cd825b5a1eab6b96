"""Going on after a kill as if nothing had happened: a whole checkpoint to start from, and the random states.

mmengine deletes old checkpoints before it writes the new one, writes it in place, saves no random states, and skips the
validation that was due when it resumes. None of that is changed here; it is made up for around it.
"""

import logging
import os
import re
import shutil
import zipfile
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, broadcast_object_list, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, EarlyStoppingHook, Hook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mtkd_rl.errors import MTKDError
from mtkd_rl.rng import random_state, set_random_state

KEY = 'mtkd_rl'
"""The key of a checkpoint under which everything of ours lies."""

NUMBERED = r'(?!best_)([A-Za-z_]*?)_?(\d+)\.pth'
KEPT = '.mtkd_rl_previous.pth'
"""Another name, or a copy, of a whole checkpoint, which outlives its deletion until the next one is written."""


class ResumeHook(Hook):
    """Comes with `MTKDHook`, so that a killed run goes on exactly.

    On the CPU, in one process or several, the resumed run is bitwise the uninterrupted one where the data are: with
    ``num_workers=0``, or with workers that start anew each epoch. Workers that live longer (``persistent_workers``,
    iteration-based loops) carry random states that nobody can save, so their augmentation differs; this is said.

    Args:
        own: Says what this process has for itself besides the random states, in plain containers and tensors.
    """

    priority = 'NORMAL'

    def __init__(self, own: Callable[[Runner], dict[str, Any]]) -> None:
        self.own = own
        self._training = False
        self._resumed = False
        self._random: dict[str, Any] | None = None
        self._stopping: list[tuple[int, float]] = []
        self._validated = False
        self._copied = False
        self._gathered: list[dict[str, Any]] | None = None
        self._kept: set[str] = set()
        self._put_back: Callable[[], None] | None = None

    def before_run(self, runner: Runner) -> None:
        """Where the run is to find the latest checkpoint itself: the latest that is whole."""
        if not any(isinstance(hook, _GoesOn) for hook in runner.hooks):
            runner.register_hook(_GoesOn(self))
        if runner._resume and runner._load_from is None:
            runner._load_from = _one_for_all(Path(runner.work_dir))

    def load_state_dict(self, state: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Takes what each process had for itself, and keeps the random states until all is ready to go on.

        Returns:
            What was saved of this process; ``None`` where there were more processes, or fewer.
        """
        self._resumed = True
        self._validated = state[0]['validated']
        self._stopping = state[0]['early_stopping']
        if len(state) != get_world_size():
            print_log(
                f'mtkd_rl: the checkpoint is of {len(state)} processes and this run has {get_world_size()}: the random '
                'states start anew, so it will not end as the uninterrupted one',
                logger='current',
                level=logging.WARNING,
            )
            return None
        self._random = state[get_rank()]['random']
        return state[get_rank()]

    def go_on(self, runner: Runner) -> None:
        """When all hooks are ready to train: random states, and the validation that the checkpoint came before."""
        self._training = True
        resumed, self._resumed = self._resumed, False
        if not resumed:
            self._forget(runner)  # what a run before may have left
            return
        _warn_of_what_differs(runner)
        for hook in _hooks_of(runner, CheckpointHook):  # mmengine forgets it, and with it to write it again
            last = runner.message_hub.runtime_info.get('last_ckpt')
            if last is not None and Path(last).parent == Path(hook.out_dir):
                hook.last_ckpt = last
        for hook, (waited, best) in zip(_hooks_of(runner, EarlyStoppingHook), self._stopping):
            hook.wait_count, hook.best_score = waited, best
        # making an iterator draws a number; one that the uninterrupted run had made before draws it aside
        if _had_iterator(runner):
            loader = runner.train_dataloader
            self._put_back = partial(setattr, loader, 'generator', loader.generator)
            loader.generator = torch.Generator()
        if _had_val_iterator(runner):
            runner.val_dataloader.generator = torch.Generator()
        if self._random is not None:
            set_random_state(self._random)
        if not self._validated and _validation_is_due(runner):
            assert runner.val_loop is not None
            runner.val_loop.run()

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """What is saved from here on comes before the next validation."""
        self._validated = self._copied = False

    def after_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Before a checkpoint that counts iterations."""
        if self._put_back is not None:
            self._put_back()
            self._put_back = None
        self._keep(runner)
        if get_world_size() > 1 and any(
            not hook.by_epoch
            and (hook.every_n_train_iters(runner, hook.interval, hook.save_begin) or hook.is_last_train_iter(runner))
            for hook in _hooks_of(runner, CheckpointHook)
        ):
            self._gather(runner)

    def after_train_epoch(self, runner: Runner) -> None:
        """Before a checkpoint that counts epochs."""
        self._keep(runner)
        if get_world_size() > 1:
            self._gather(runner)

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float] | None = None) -> None:
        """Before the checkpoint that mmengine writes again after a new best result; testing passes here too."""
        if self._training:
            self._validated = True
            if get_world_size() > 1:
                self._gather(runner)

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Saves what each process has for itself, and keeps a checkpoint that is written again in place."""
        alone = get_world_size() == 1 or self._gathered is None
        checkpoint.setdefault(KEY, {})['processes'] = [self._mine(runner)] if alone else self._gathered
        if self._validated and not self._copied:
            self._copied = True
            for hook in _hooks_of(runner, CheckpointHook):
                if hook.last_ckpt is not None and Path(hook.last_ckpt).is_file():
                    _keep_as(Path(hook.last_ckpt), shutil.copyfile)  # no link outlives being written again

    def after_train(self, runner: Runner) -> None:
        """The last checkpoint is whole, and nothing more will be deleted."""
        self._training = False
        self._forget(runner)

    def _forget(self, runner: Runner) -> None:
        if get_rank() == 0:
            for hook in _hooks_of(runner, CheckpointHook):
                Path(hook.out_dir, KEPT).unlink(missing_ok=True)

    def _mine(self, runner: Runner) -> dict[str, Any]:
        stopping = [(hook.wait_count, hook.best_score) for hook in _hooks_of(runner, EarlyStoppingHook)]
        more = {'validated': self._validated, 'early_stopping': stopping}
        return {**self.own(runner), 'random': random_state(), **more}

    def _gather(self, runner: Runner) -> None:
        """Saving is the first process's alone, so what it needs of the others comes before."""
        gathered: list[Any] = all_gather_object(self._mine(runner))
        self._gathered = gathered

    def _keep(self, runner: Runner) -> None:
        """Gives the checkpoint that may be deleted next another name; a link, which costs nothing."""
        if get_rank() != 0:
            return
        for hook in _hooks_of(runner, CheckpointHook):
            last = hook.last_ckpt
            if hook.max_keep_ckpts <= 0 or last is None or last in self._kept or not Path(last).is_file():
                continue
            try:
                _keep_as(Path(last), os.link)
            except OSError:  # a file system without links
                _keep_as(Path(last), shutil.copyfile)
            self._kept.add(last)


class _GoesOn(Hook):
    """Comes after all other hooks are ready to train."""

    priority = 'LOWEST'

    def __init__(self, resume: ResumeHook) -> None:
        self.resume = resume

    def before_train(self, runner: Runner) -> None:
        self.resume.go_on(runner)


def latest_whole(work_dir: Path) -> Path | None:
    """The latest checkpoint of a work dir that was written to its end.

    Args:
        work_dir: With mmengine's ``last_checkpoint``, which may be older than the latest file, or name a deleted one.

    Damaged ones that are later get ``.damaged`` behind their name.

    Returns:
        Its path; ``None`` where nothing was ever saved to the end, so that the run starts anew.

    Raises:
        MTKDError: Checkpoints were saved here and not one of them is whole.
    """
    pointer = work_dir / 'last_checkpoint'
    text = pointer.read_text().strip() if pointer.is_file() else ''
    if '://' in text:
        return None  # mmengine knows how to fetch it
    named = Path(text) if text else None
    if named is not None and (work_dir / named.name).is_file():
        named = work_dir / named.name  # also where the work dir was moved or copied
    folder = work_dir if named is None else named.parent
    found = _in_order(folder, named, pointer)
    for path in found:
        if is_whole(path):
            for damaged in found[: found.index(path)]:  # no later step may take it for a whole one
                with suppress(FileNotFoundError):  # where several processes look
                    damaged.rename(f'{damaged}.damaged')
            return path
        print_log(
            f'mtkd_rl: checkpoint {path} is damaged or gone, as after a kill while it was written; looking for the one '
            'before',
            logger='current',
            level=logging.WARNING,
        )
    if named is not None:
        raise MTKDError(
            f'{work_dir}: none of its checkpoints is whole, and {pointer.name} names {named}; name another with '
            f'--resume PATH, or remove {pointer.name} to start anew'
        )
    return None


def _in_order(folder: Path, named: Path | None, pointer: Path) -> list[Path]:
    """The checkpoints of a folder in the order in which to try them.

    First those that were written after mmengine last said which is the latest, then that one, the one that was kept,
    and all others by their age. A number alone tells nothing: a folder may hold the files of an earlier run.
    """
    files = {path: match for path in folder.glob('*.pth') if (match := re.fullmatch(NUMBERED, path.name))}
    by_age = sorted(files, key=lambda path: path.stat().st_mtime_ns, reverse=True)
    kept = [path for path in (folder / KEPT,) if path.is_file()]
    if named is None:
        return [*by_age, *kept]
    of_named = re.fullmatch(NUMBERED, named.name)
    said = pointer.stat().st_mtime_ns

    def later(path: Path) -> bool:
        same = of_named is not None and files[path][1] == of_named[1] and int(files[path][2]) > int(of_named[2])
        return same and path.stat().st_mtime_ns > said

    newer = [path for path in by_age if later(path)]
    return list(dict.fromkeys([*newer, named, *kept, *by_age]))


def _one_for_all(work_dir: Path) -> str | None:
    """The first process's choice, or its error, for every process."""
    told: list[Any] = [None, None]
    if get_rank() == 0:
        try:
            told[0] = latest_whole(work_dir)
        except MTKDError as error:
            told[1] = str(error)
    broadcast_object_list(told)
    if told[1] is not None:
        raise MTKDError(told[1])
    return None if told[0] is None else str(told[0])


def _keep_as(last: Path, take: Callable[[Path, Path], Any]) -> None:
    """Lets ``KEPT`` be a checkpoint, all at once."""
    new = last.with_name(f'{KEPT}.new')
    new.unlink(missing_ok=True)
    take(last, new)
    new.replace(last.with_name(KEPT))


def is_whole(path: Path) -> bool:
    """Whether a file that ``torch.save`` wrote has its end, and every part the checksum that is written there."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (OSError, zipfile.BadZipFile):
        return False


def _hooks_of(runner: Runner, kind: type[Any]) -> list[Any]:
    return [hook for hook in runner.hooks if isinstance(hook, kind)]


def _validation_is_due(runner: Runner) -> bool:
    """Whether the training loop validates where it stands, as it does right after the checkpoint of an interval."""
    loop = runner.train_loop
    if runner.val_loop is None:
        return False
    loop._decide_current_val_interval()
    if _stands_in_an_epoch(loop):
        return False
    done, last = _progress(loop)
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)


def _stands_in_an_epoch(loop: Any) -> bool:
    """Whether a loop over epochs was saved within one, which mmengine begins anew."""
    return isinstance(loop, EpochBasedTrainLoop) and loop.iter != loop.epoch * len(loop.dataloader)


def _progress(loop: Any) -> tuple[int, int]:
    by_epoch = isinstance(loop, EpochBasedTrainLoop)
    return (loop.epoch, loop.max_epochs) if by_epoch else (loop.iter, loop.max_iters)


def _had_iterator(runner: Runner) -> bool:
    """Whether the uninterrupted run had made the iterator of its training pictures before."""
    return isinstance(runner.train_loop, IterBasedTrainLoop) or runner.train_dataloader.persistent_workers


def _had_val_iterator(runner: Runner) -> bool:
    loop = runner.train_loop
    if runner.val_loop is None or not runner.val_dataloader.persistent_workers:
        return False
    first = -(-max(loop.val_begin, 1) // loop.val_interval) * loop.val_interval
    return _progress(loop)[0] > first


def _warn_of_what_differs(runner: Runner) -> None:
    """Says what keeps a resumed run from ending as the uninterrupted one."""
    loader = runner.train_dataloader
    if _stands_in_an_epoch(runner.train_loop):
        print_log(
            'mtkd_rl: the checkpoint was saved within an epoch, which mmengine begins anew, so the run will not end as '
            'the uninterrupted one; CheckpointHook with by_epoch=True, or an iteration-based loop, resumes exactly',
            logger='current',
            level=logging.WARNING,
        )
    outlive = loader.persistent_workers or isinstance(runner.train_loop, IterBasedTrainLoop)
    in_views = any(getattr(hook, 'cache', None) is not None for hook in runner.hooks)  # whose randomness is their own
    if loader.num_workers > 0 and outlive and not in_views:
        print_log(
            'mtkd_rl: nobody saved the random states of the data workers, so pictures will be augmented otherwise than '
            'in the uninterrupted run; an epoch-based loop with persistent_workers=False resumes exactly',
            logger='current',
            level=logging.WARNING,
        )
