"""What a killed run goes on from: whole checkpoints, the one before, validations that were due, every random state."""

import json
import os
import shutil
from pathlib import Path

import pytest
import runs
import torch
from mmengine.runner import Runner

from mtkd_rl.errors import MTKDError
from mtkd_rl.hook import KEY
from mtkd_rl.plot import read_scalars
from mtkd_rl.resume import KEPT, is_whole, latest_whole
from mtkd_rl.teachers.checkpoint import read_checkpoint


def save(path: Path, value: float = 0.0) -> Path:
    """A file as ``torch.save`` writes it."""
    torch.save(dict(value=torch.full((1000,), value)), path)
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    """What a kill leaves of a file while it is written."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


def say(folder: Path, name: str) -> None:
    (folder / 'last_checkpoint').write_text(str(folder / name))


# ---- which checkpoint


@pytest.mark.parametrize('share', [0.0, 0.3, 0.9, 0.999])
def test_a_file_that_was_cut_short_is_not_whole(tmp_path, share):
    path = save(tmp_path / 'a.pth')
    assert is_whole(path)
    assert not is_whole(cut(path, share))


def test_a_file_with_a_flipped_byte_is_not_whole(tmp_path):
    path = save(tmp_path / 'a.pth')
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert not is_whole(path)
    assert not is_whole(tmp_path / 'none.pth')


def test_the_latest_whole_one_is_chosen_and_what_is_damaged_put_aside(tmp_path):
    for step in (2, 9, 10, 11):
        save(tmp_path / f'epoch_{step}.pth')
    save(tmp_path / 'best_accuracy_epoch_12.pth')
    say(tmp_path, 'epoch_10.pth')
    cut(tmp_path / 'epoch_11.pth')
    assert latest_whole(tmp_path) == tmp_path / 'epoch_10.pth'
    assert (tmp_path / 'epoch_11.pth.damaged').is_file()
    assert not (tmp_path / 'epoch_11.pth').exists()
    # one that was written to its end before mmengine said so
    save(tmp_path / 'epoch_11.pth')
    assert latest_whole(tmp_path) == tmp_path / 'epoch_11.pth'


def test_the_files_of_an_earlier_run_are_not_taken(tmp_path):
    """A second run in the same folder is at its second epoch; so is one that was resumed from an early checkpoint."""
    for step in (4, 3, 1, 2):
        save(tmp_path / f'epoch_{step}.pth')
    say(tmp_path, 'epoch_2.pth')
    assert latest_whole(tmp_path) == tmp_path / 'epoch_2.pth'


def test_a_copied_work_dir_is_resumed_from_itself(tmp_path):
    (tmp_path / 'a').mkdir()
    save(tmp_path / 'a' / 'epoch_2.pth')
    say(tmp_path / 'a', 'epoch_2.pth')
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    assert latest_whole(tmp_path / 'b') == tmp_path / 'b' / 'epoch_2.pth'


def test_names_of_ones_own_are_found(tmp_path):
    save(tmp_path / 'model_3.pth')
    say(tmp_path, 'model_3.pth')
    cut(save(tmp_path / 'model_4.pth'))
    assert latest_whole(tmp_path) == tmp_path / 'model_3.pth'


def test_what_lies_elsewhere_is_left_to_mmengine(tmp_path):
    (tmp_path / 'last_checkpoint').write_text('s3://bucket/epoch_3.pth')
    assert latest_whole(tmp_path) is None


def test_the_one_before_is_chosen_when_it_was_deleted(tmp_path):
    save(tmp_path / KEPT)
    cut(save(tmp_path / 'epoch_2.pth'))
    say(tmp_path, 'epoch_1.pth')
    assert latest_whole(tmp_path) == tmp_path / KEPT


def test_a_folder_of_its_own_for_checkpoints_is_found(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    save(tmp_path / 'elsewhere' / 'iter_30.pth')
    (tmp_path / 'last_checkpoint').write_text(str(tmp_path / 'elsewhere' / 'iter_30.pth'))
    assert latest_whole(tmp_path) == tmp_path / 'elsewhere' / 'iter_30.pth'


def test_a_run_that_saved_nothing_starts_anew(tmp_path):
    assert latest_whole(tmp_path) is None
    cut(save(tmp_path / 'epoch_1.pth'))
    assert latest_whole(tmp_path) is None


def test_checkpoints_that_are_all_damaged_are_not_lost_silently(tmp_path):
    cut(save(tmp_path / 'epoch_1.pth'))
    say(tmp_path, 'epoch_1.pth')
    with pytest.raises(MTKDError, match=r'none of its checkpoints is whole.*epoch_1\.pth.*--resume PATH'):
        latest_whole(tmp_path)


# ---- the one before


def files_at_saves(monkeypatch: pytest.MonkeyPatch, folder: Path, **options: object) -> list[bool]:
    """Whether a whole checkpoint lies in the work dir each time that one is about to be written."""
    found = []
    write = torch.save

    def look(*args: object, **kwargs: object) -> None:
        found.append(any(is_whole(path) for path in (*folder.glob('epoch_*.pth'), folder / KEPT)))
        write(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(torch, 'save', look)
        runs.train(keep_one(folder, **options))
    return found


def keep_one(folder: Path, **options: object) -> object:
    cfg = runs.config(folder, [runs.entry()], save=True, val=True, **options)
    cfg.default_hooks.checkpoint.update(max_keep_ckpts=1, save_best='auto')
    return cfg


def test_while_a_checkpoint_is_written_there_is_another(tmp_path, monkeypatch):
    """Although mmengine deletes the only one first. A best one is being written over the same."""
    found = files_at_saves(monkeypatch, tmp_path, epochs=4)
    assert found[0] is False
    assert len(found) >= 6
    assert all(found[1:])
    assert not (tmp_path / KEPT).exists()
    assert [path.name for path in tmp_path.glob('epoch_*.pth')] == ['epoch_4.pth']


def test_also_after_a_resume(tmp_path, monkeypatch):
    runs.train(keep_one(tmp_path, epochs=2))
    assert all(files_at_saves(monkeypatch, tmp_path, epochs=4, resume=True))


def test_a_file_system_without_links(tmp_path, monkeypatch):
    def refuse(*args: object) -> None:
        raise OSError('Operation not permitted')

    monkeypatch.setattr(os, 'link', refuse)
    assert all(files_at_saves(monkeypatch, tmp_path, epochs=3)[1:])


# ---- going on


def ends(folder: Path) -> dict[str, object]:
    """What of the last checkpoint has to be equal."""
    saved = read_checkpoint(max(folder.glob('epoch_*.pth'), key=lambda path: int(path.stem[6:])))
    return {key: saved.get(key) for key in ('state_dict', 'optimizer', 'param_schedulers', KEY)}


PLATEAU = dict(type='ReduceOnPlateauLR', monitor='accuracy/top1', rule='greater', patience=0, by_epoch=True)


@pytest.mark.parametrize('schedulers', [[], [PLATEAU]], ids=['plain', 'a scheduler that looks at the validation'])
def test_a_validation_that_was_due_is_made_up_for(tmp_path, schedulers):
    """The checkpoint of an epoch comes before its validation, which draws numbers and may move a learning rate."""
    options = dict(save=True, val=True, param_scheduler=schedulers, student=runs.classifier(dropout=0.3))
    runs.train(runs.config(tmp_path / 'whole', [runs.entry()], epochs=5, **options))
    shutil.copytree(tmp_path / 'whole', tmp_path / 'cut', ignore=shutil.ignore_patterns('2*'))
    for step in (3, 4, 5):
        (tmp_path / 'cut' / f'epoch_{step}.pth').unlink()
    say(tmp_path / 'cut', 'epoch_2.pth')
    runs.train(runs.config(tmp_path / 'cut', [runs.entry()], epochs=5, resume=True, **options))
    assert runs.same(ends(tmp_path / 'whole'), ends(tmp_path / 'cut'))
    assert [row['step'] for row in read_scalars(tmp_path / 'cut', 'accuracy/top1')] == [2, 3, 4, 5]


def test_a_validation_that_was_done_is_not_done_again(tmp_path):
    """After a new best result mmengine writes the checkpoint of the epoch again."""
    options = dict(save=True, val=True, student=runs.classifier(dropout=0.3))
    cfgs = [runs.config(tmp_path / part, [runs.entry()], epochs=3, **options) for part in ('whole', 'cut')]
    for cfg in cfgs:
        cfg.default_hooks.checkpoint.save_best = 'auto'
    runs.train(cfgs[0])
    shutil.copytree(tmp_path / 'whole', tmp_path / 'cut', dirs_exist_ok=True)
    for step in (2, 3):
        (tmp_path / 'cut' / f'epoch_{step}.pth').unlink()
    saved = read_checkpoint(tmp_path / 'cut' / 'epoch_1.pth')
    assert saved[KEY]['processes'][0]['validated']
    cfgs[1].merge_from_dict(dict(resume=True, load_from=str(tmp_path / 'cut' / 'epoch_1.pth')))
    runs.train(cfgs[1])
    assert runs.same(ends(tmp_path / 'whole'), ends(tmp_path / 'cut'))


def test_the_summary_of_a_resumed_run_is_of_the_whole(tmp_path):
    for part, epochs in (('whole', [4]), ('parted', [2, 4])):
        for until in epochs:
            cfg = runs.config(tmp_path / part, [runs.entry()], epochs=until, save=True, resume=until != epochs[0])
            runs.train(cfg)
    whole, parted = (json.loads((tmp_path / part / 'distillation.json').read_text()) for part in ('whole', 'parted'))
    assert whole == parted


def test_a_stop_that_is_near_is_not_forgotten(tmp_path):
    """EarlyStoppingHook of mmengine counts the validations without a better result."""
    stop = dict(type='EarlyStoppingHook', monitor='accuracy/top1', rule='greater', patience=2, min_delta=1000)
    cfgs = [
        runs.config(tmp_path / part, [runs.entry(), stop], epochs=9, save=True, val=True) for part in ('whole', 'cut')
    ]
    assert runs.train(cfgs[0]).epoch == 3
    shutil.copytree(tmp_path / 'whole', tmp_path / 'cut', dirs_exist_ok=True)
    cfgs[1].merge_from_dict(dict(resume=True, load_from=str(tmp_path / 'cut' / 'epoch_2.pth')))
    assert runs.train(cfgs[1]).epoch == 3


def test_a_checkpoint_within_an_epoch_is_told(tmp_path):
    cfgs = [runs.config(tmp_path, [runs.entry()], epochs=2, save=True, val=True) for _ in range(2)]
    for cfg in cfgs:
        cfg.default_hooks.checkpoint.update(by_epoch=False, interval=4, save_last=False)
    runs.train(cfgs[0])
    cfgs[1].merge_from_dict(dict(resume=True, load_from=str(tmp_path / 'iter_4.pth')))
    runner = runs.train(cfgs[1])
    (log,) = Path(runner.log_dir).glob('*.log')
    assert 'the checkpoint was saved within an epoch' in log.read_text()


def test_another_number_of_processes_is_told(tmp_path):
    runs.train(runs.config(tmp_path, [runs.entry()], epochs=1, save=True))
    path = tmp_path / 'epoch_1.pth'
    saved = torch.load(path, weights_only=False)
    saved[KEY]['processes'] *= 2
    torch.save(saved, path)
    runner = runs.train(runs.config(tmp_path, [runs.entry()], epochs=2, resume=True))
    (log,) = Path(runner.log_dir).glob('*.log')
    assert 'the checkpoint is of 2 processes and this run has 1' in log.read_text()
    assert runner.epoch == 2


def test_workers_that_stay_are_told(tmp_path):
    cfgs = [runs.config(tmp_path, [runs.entry()], epochs=epochs, save=True, resume=epochs > 1) for epochs in (1, 2)]
    for cfg in cfgs:
        cfg.train_dataloader.update(num_workers=1, persistent_workers=True)
        runner = runs.train(cfg)
    (log,) = Path(runner.log_dir).glob('*.log')
    assert 'nobody saved the random states of the data workers' in log.read_text()


def test_a_test_needs_no_checkpoint_of_ours(tmp_path):
    """Testing passes ``before_run`` too, and training may follow."""
    runner = Runner.from_cfg(runs.config(tmp_path, [runs.entry()], val=True))
    runner.test()
    runner.train()
    assert sum(type(hook).__name__ == '_GoesOn' for hook in runner.hooks) == 1
