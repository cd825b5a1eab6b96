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
from mmengine.hooks import CheckpointHook, Hook
from mmengine.logging import print_log
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mtkd_rl.errors import MTKDError
from mtkd_rl.rng import random_state, set_random_state

KEY = 'mtkd_rl'
"""The key of a checkpoint under which everything of ours lies."""

NUMBERED = r'(epoch|iter)_\d+\.pth'
KEPT = '.mtkd_rl_previous.pth'
"""Another name of the newest whole checkpoint, so that it outlives its deletion until the next one is written."""


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
        self._random: dict[str, Any] | None = None
        self._validated = False
        self._copied = False
        self._gathered: list[dict[str, Any]] | None = None
        self._kept: str | None = None
        self._put_back: Callable[[], None] | None = None

    def before_run(self, runner: Runner) -> None:
        """Where the run is to find the latest checkpoint itself: the latest that is whole."""
        if not any(isinstance(hook, _GoesOn) for hook in runner.hooks):
            runner.register_hook(_GoesOn(self))
        if runner._resume and runner._load_from is None:
            chosen = [str(latest_whole(Path(runner.work_dir)) or '') if get_rank() == 0 else '']
            broadcast_object_list(chosen)
            runner._load_from = chosen[0] or None

    def load_state_dict(self, state: list[dict[str, Any]]) -> dict[str, Any] | None:
        """Takes what each process had for itself, and keeps the random states until all is ready to go on.

        Returns:
            What was saved of this process; ``None`` where there were more processes, or fewer.
        """
        if len(state) != get_world_size():
            print_log(
                f'mtkd_rl: the checkpoint is of {len(state)} processes and this run has {get_world_size()}: the random '
                'states start anew, so it will not end as the uninterrupted one',
                logger='current',
                level=logging.WARNING,
            )
            return None
        mine = state[get_rank()]
        self._random, self._validated = mine['random'], mine['validated']
        return mine

    def go_on(self, runner: Runner) -> None:
        """When all hooks are ready to train: random states, and the validation that the checkpoint came before."""
        self._training = True
        random, self._random = self._random, None
        if random is None:
            return
        _warn_of_workers(runner)
        for hook in _checkpoint_hooks(runner):  # mmengine forgets it, and with it to write it again
            last = runner.message_hub.runtime_info.get('last_ckpt')
            if last is not None and Path(last).parent == Path(hook.out_dir):
                hook.last_ckpt = last
        # making an iterator draws a number; one that the uninterrupted run had made before draws it aside
        if _had_iterator(runner):
            loader = runner.train_dataloader
            self._put_back = partial(setattr, loader, 'generator', loader.generator)
            loader.generator = torch.Generator()
        if _had_val_iterator(runner):
            runner.val_dataloader.generator = torch.Generator()
        set_random_state(random)
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
            for hook in _checkpoint_hooks(runner)
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
            for hook in _checkpoint_hooks(runner):
                if hook.last_ckpt is not None and Path(hook.last_ckpt).is_file():
                    _replace(Path(hook.last_ckpt), shutil.copyfile)  # no link outlives being written again

    def after_train(self, runner: Runner) -> None:
        """The last checkpoint is whole, and nothing more will be deleted."""
        self._training = False
        if get_rank() == 0:
            for hook in _checkpoint_hooks(runner):
                Path(hook.out_dir, KEPT).unlink(missing_ok=True)

    def _mine(self, runner: Runner) -> dict[str, Any]:
        return {**self.own(runner), 'random': random_state(), 'validated': self._validated}

    def _gather(self, runner: Runner) -> None:
        """Saving is the first process's alone, so what it needs of the others comes before."""
        gathered: list[Any] = all_gather_object(self._mine(runner))
        self._gathered = gathered

    def _keep(self, runner: Runner) -> None:
        """Gives the checkpoint that may be deleted next another name; a link, which costs nothing."""
        for hook in _checkpoint_hooks(runner):
            last = hook.last_ckpt
            if get_rank() != 0 or hook.max_keep_ckpts <= 0 or last in (None, self._kept) or not Path(last).is_file():
                continue
            try:
                _replace(Path(last), os.link)
            except OSError:  # a file system without links
                _replace(Path(last), shutil.copyfile)
            self._kept = last


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
    named = Path(text) if text else None
    folders = dict.fromkeys([work_dir, *([named.parent] if named is not None else [])])
    files = [path for folder in folders for path in folder.glob('*.pth') if re.fullmatch(NUMBERED, path.name)]
    found = sorted(files, key=lambda path: int(path.stem.rpartition('_')[2]), reverse=True)
    found += [folder / KEPT for folder in folders if (folder / KEPT).is_file()]
    for path in found:
        if is_whole(path):
            for damaged in found[: found.index(path)]:  # no later step may take it for a whole one
                with suppress(FileNotFoundError):  # where several processes look
                    damaged.rename(f'{damaged}.damaged')
            return path
        print_log(
            f'mtkd_rl: checkpoint {path} is damaged, as after a kill while it was written; looking for the one before',
            logger='current',
            level=logging.WARNING,
        )
    if named is not None:
        raise MTKDError(
            f'{work_dir}: none of its checkpoints is whole, and {pointer.name} names {named}; name another with '
            f'--resume PATH, or remove {pointer.name} to start anew'
        )
    return None


def _replace(last: Path, take: Callable[[Path, Path], Any]) -> None:
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


def _checkpoint_hooks(runner: Runner) -> list[CheckpointHook]:
    return [hook for hook in runner.hooks if isinstance(hook, CheckpointHook)]


def _validation_is_due(runner: Runner) -> bool:
    """Whether the training loop validates where it stands, as it does right after the checkpoint of an interval."""
    loop = runner.train_loop
    if runner.val_loop is None:
        return False
    loop._decide_current_val_interval()
    done, last = _progress(loop)
    return done >= loop.val_begin and (done % loop.val_interval == 0 or done == last)


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


def _warn_of_workers(runner: Runner) -> None:
    loader = runner.train_dataloader
    if loader.num_workers > 0 and (loader.persistent_workers or isinstance(runner.train_loop, IterBasedTrainLoop)):
        print_log(
            'mtkd_rl: nobody saved the random states of the data workers, so pictures will be augmented otherwise than '
            'in the uninterrupted run; an epoch-based loop with persistent_workers=False resumes exactly',
            logger='current',
            level=logging.WARNING,
        )
