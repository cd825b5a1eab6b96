"""What teachers said, kept: views that come again, rows in a file, and runs that ask a teacher once."""

import errno
import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import runs
import torch
from mmengine.registry import DATASETS, MODELS, DefaultScope
from torch.utils.data import DataLoader

from mtkd_rl.cache.install import fingerprint, give_views
from mtkd_rl.cache.store import HEAD, Store
from mtkd_rl.cache.teacher_cache import TeacherCache, in_bytes
from mtkd_rl.cache.views import VIEW, ViewBatches, Views
from mtkd_rl.errors import MTKDError

AS_IT_IS = dict(fold=False, channels_last=False)
"""Else the first batch is asked about twice, to compare."""

# ---- views


def digits(**options: Any) -> Any:
    pipeline = [dict(type='RandomCrop', crop_size=8, padding=2), dict(type='PackInputs')]
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return DATASETS.build(dict(type='mtkd_rl.Digits', serialize_data=False, limit=30, pipeline=pipeline, **options))


def loader_of(workers: int = 0, views: int = 3, seed: int = 0) -> tuple[DataLoader[Any], ViewBatches]:
    generator = torch.Generator().manual_seed(seed)
    loader: Any = DataLoader(
        digits(), 4, shuffle=True, num_workers=workers, collate_fn=list, generator=generator, drop_last=True
    )
    return loader, give_views(loader, views, seed=0)


def test_a_view_is_the_same_wherever_and_whenever_it_is_made():
    data = Views(digits(), seed=0)
    first = data[3, 1]['inputs']
    np.random.rand(5)
    assert torch.equal(Views(digits(), seed=0)[3, 1]['inputs'], first)
    others = [data[3, view]['inputs'] for view in range(8)]
    together = data.__getitems__([(3, view) for view in reversed(range(8))])
    assert all(torch.equal(each['inputs'], other) for each, other in zip(together, reversed(others), strict=True))
    assert len({tuple(each.flatten().tolist()) for each in others}) > 4
    assert not all(torch.equal(Views(digits(), seed=1)[3, view]['inputs'], others[view]) for view in range(8))


def test_making_a_view_leaves_no_trace_in_the_random_states():
    data = Views(digits(), seed=0)
    np.random.seed(1)
    before = np.random.get_state()[1].copy()
    assert data[0, 0] is not None
    assert np.array_equal(np.random.get_state()[1], before)


def test_workers_make_the_same_views_in_any_order():
    seen: list[dict[Any, Any]] = []
    for workers, seed in ((0, 0), (2, 5)):
        loader, batches = loader_of(workers, seed=seed)
        seen.append({})
        for epoch in range(3):
            batches.epoch = epoch
            for item in (item for batch in loader for item in batch):
                seen[-1][item['data_samples'].metainfo[VIEW][:2]] = item['inputs']
    common = seen[0].keys() & seen[1].keys()
    assert len(common) > 60
    assert all(torch.equal(seen[0][key], seen[1][key]) for key in common)


def test_in_as_many_epochs_each_view_is_shown_once():
    batches = ViewBatches([[0, 1], [2]], views=4, length=3, seed=0)
    shown = []
    for epoch in range(4):
        batches.epoch = epoch
        shown += [key for batch in batches for key in batch]
    assert sorted(shown) == [(index, view) for index in range(3) for view in range(4)]
    assert len({view for index, view in shown[:3]}) > 1  # not all samples begin with the same


def test_batches_without_end_come_to_the_next_view_by_themselves():
    endless = ViewBatches([[0, 1], [2]] * 4, views=4, length=3, seed=0)
    shown = [key for batch in endless for key in batch]
    assert sorted(shown) == [(index, view) for index in range(3) for view in range(4)]


def test_rounds_that_nobody_counts_are_counted():
    batches = ViewBatches([[0]], views=5, length=1, seed=0)
    assert sorted(key for _ in range(5) for batch in batches for key in batch) == [(0, view) for view in range(5)]


def test_the_fingerprint_is_of_the_annotations():
    one = fingerprint(digits())
    assert fingerprint(digits()) == one
    assert fingerprint(digits(split='val')) != one
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        repeated = DATASETS.build(dict(type='RepeatDataset', times=2, dataset=digits()))
    assert one in fingerprint(repeated)


# ---- the file


def filled(folder: Path, rows: int = 10, size: int = 6) -> tuple[Store, np.ndarray]:
    store = Store(folder, rows, size)
    contents = np.random.default_rng(0).integers(0, 256, (rows, size), dtype=np.uint8)
    store.write(range(rows), range(rows), contents)
    return store, contents


def test_what_was_written_is_read_also_by_another(tmp_path):
    store, contents = filled(tmp_path)
    for each in (store, Store(tmp_path, 10, 6), Store(tmp_path, 4, 6)):
        found, known, _ = each.read([3, 0], [3, 0])
        assert known.all()
        assert np.array_equal(found, contents[[3, 0]])


def test_what_was_never_written_or_is_of_another_picture_is_missing(tmp_path):
    store = Store(tmp_path, 10, 6)
    assert not store.read([0, 9], [0, 0])[1].any()
    store.write([2], [77], np.zeros((1, 6), np.uint8))
    _, known, strangers = store.read([2, 2, 3], [77, 78, 77])
    assert list(known) == [True, False, False]
    assert list(strangers) == [False, True, False]


def test_every_flipped_bit_is_noticed(tmp_path):
    filled(tmp_path)
    whole = bytearray((tmp_path / 'rows.bin').read_bytes())
    start = 4 * (HEAD + 6)
    for bit in range(8 * (HEAD + 6)):
        spoilt = bytearray(whole)
        spoilt[start + bit // 8] ^= 1 << bit % 8
        (tmp_path / 'rows.bin').write_bytes(spoilt)
        known = Store(tmp_path, 10, 6).read(range(10), range(10))[1]
        assert list(known) == [row != 4 for row in range(10)]


def test_a_file_that_was_cut_short_has_lost_its_end_alone(tmp_path):
    filled(tmp_path)
    os.truncate(tmp_path / 'rows.bin', 5 * (HEAD + 6) + 3)
    known = Store(tmp_path, 10, 6).read(range(10), range(10))[1]
    assert list(known) == [row < 5 for row in range(10)]


def test_a_folder_that_cannot_be_is_said(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(MTKDError, match='give another folder'):
        Store(tmp_path / 'file' / 'cache', 10, 6)


def scribble(folder: Path, number: int) -> None:
    store = Store(folder, 50, 2000)
    for _ in range(20):
        store.write(range(50), range(50), np.full((50, 2000), number, np.uint8))


def test_two_processes_may_write_the_same_rows(tmp_path):
    """Each row is one's or the other's, or missing; never a mixture."""
    Store(tmp_path, 50, 2000).close()
    context = multiprocessing.get_context('fork')
    writers = [context.Process(target=scribble, args=(tmp_path, number)) for number in (1, 2)]
    for writer in writers:
        writer.start()
    store = Store(tmp_path, 50, 2000)
    for _ in range(30):
        found, known, _ = store.read(range(50), range(50))
        assert all(len(set(row.tolist())) == 1 for row in found[known])
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    found, known, _ = store.read(range(50), range(50))
    assert all(len(set(row.tolist())) == 1 and row[0] in (1, 2) for row in found[known])


# ---- runs


@pytest.fixture
def checkpoint(tmp_path: Path) -> str:
    """Weights of the teacher ``(6, 12)``."""
    return saved_teacher(tmp_path / 'teacher.pth', seed=0)


def saved_teacher(path: Path, seed: int) -> str:
    torch.manual_seed(seed)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(runs.classifier((6, 12)))
    torch.save({'state_dict': model.state_dict()}, path)
    return str(path)


def run(
    work_dir: Path,
    checkpoint: str,
    cache: dict[str, Any] | None,
    *,
    count: list[int] | None = None,
    hook: dict[str, Any] | None = None,
    **options: Any,
) -> tuple[dict[str, torch.Tensor], Any]:
    """Trains a student of one teacher; its weights, and the hook."""
    count = [] if count is None else count

    def listen(runner: Any) -> None:
        (teacher,) = runs.hook_of(runner).pool
        teacher.model.backbone.register_forward_pre_hook(lambda module, args: count.append(len(args[0])))

    teachers = dict(t=runs.teacher((6, 12), checkpoint=checkpoint))
    entry = runs.entry(teachers=teachers, cache=cache, live=AS_IT_IS, **(hook or {}))
    hooks = [entry, runs.watching(before_train=listen)]
    runner = runs.train(runs.config(work_dir, hooks, **options))
    return runs.weights_of(runner), runs.hook_of(runner)


def test_a_teacher_is_asked_once_about_each_view(tmp_path, checkpoint):
    asked: list[int] = []
    cache = dict(folder=str(tmp_path / 'cache'), views=2)
    run(tmp_path / 'a', checkpoint, cache, count=asked, epochs=5)
    assert sum(asked) == 2 * 50
    again: list[int] = []
    run(tmp_path / 'b', checkpoint, cache, count=again, epochs=3)
    assert again == []


def test_runs_that_share_a_cache_end_alike_whoever_filled_it(tmp_path, checkpoint):
    cache = dict(folder=str(tmp_path / 'cache'), views=2)
    filling, _ = run(tmp_path / 'a', checkpoint, cache, epochs=3)
    reading, _ = run(tmp_path / 'b', checkpoint, cache, epochs=3)
    assert runs.same(filling, reading)


def test_what_is_read_is_what_the_teacher_says_in_half_precision(tmp_path, checkpoint):
    seen: list[Any] = []

    def listen(runner: Any) -> None:
        distiller = runs.hook_of(runner).distiller
        ask = distiller.ask_teachers

        def both(batch: Any) -> Any:
            cached = ask(batch)
            distiller.cache, kept = None, distiller.cache
            seen.append((cached[0], ask(batch)[0]))
            distiller.cache = kept
            return cached

        distiller.ask_teachers = both

    entry = runs.entry(
        teachers=dict(t=runs.teacher((6, 12), checkpoint=checkpoint)), cache=dict(folder=str(tmp_path / 'c'), views=1)
    )
    runs.train(runs.config(tmp_path / 'a', [entry, runs.watching(before_train=listen)], epochs=2))
    for cached, live in seen:
        for one, other in zip(cached.tensors(), live.tensors()):
            assert one.dtype == other.dtype
            torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(cached.task_loss, live.task_loss, rtol=1e-6, atol=1e-6)


def test_a_killed_run_goes_on_bit_by_bit(tmp_path, checkpoint):
    caches = [dict(folder=str(tmp_path / name), views=2) for name in ('whole', 'cut')]
    whole, _ = run(tmp_path / 'a', checkpoint, caches[0], epochs=4, save=True)
    run(tmp_path / 'b', checkpoint, caches[1], epochs=3, save=True)
    on, _ = run(tmp_path / 'b', checkpoint, caches[1], epochs=4, save=True, resume=True)
    assert runs.same(whole, on)


def going_on(tmp_path: Path, checkpoint: str, cache: dict[str, Any], **options: Any) -> bool:
    """Whether a run that was interrupted ends as one that was not, each with a cache of its own."""
    caches = [{**cache, 'folder': str(tmp_path / each)} for each in ('whole', 'cut')]
    one, _ = run(tmp_path / 'a', checkpoint, caches[0], save=True, epochs=4, **options)
    run(tmp_path / 'b', checkpoint, caches[1], save=True, epochs=3, **options)
    other, _ = run(tmp_path / 'b', checkpoint, caches[1], save=True, epochs=4, resume=True, **options)
    return runs.same(one, other)


def test_a_run_with_fewer_views_than_wanted_goes_on_with_as_many(tmp_path, checkpoint):
    run(tmp_path / 'size', checkpoint, dict(folder=str(tmp_path / 'size'), views=1), epochs=1)
    size = next((tmp_path / 'size').glob('*/rows.bin')).stat().st_size
    assert going_on(tmp_path, checkpoint, dict(views=8, budget=int(2.5 * size)))


def test_a_run_whose_cache_is_shut_goes_on_with_all_its_augmentation(tmp_path, checkpoint):
    assert going_on(tmp_path, checkpoint, dict(views=2, budget=100))


def test_a_run_that_mixes_goes_on_with_all_its_augmentation(tmp_path, checkpoint):
    student = runs.classifier(train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)))
    assert going_on(tmp_path, checkpoint, dict(views=2), student=student)


def test_a_run_that_teaches_itself_goes_on_with_its_views(tmp_path, checkpoint):
    shown: list[list[int]] = []

    def listen(runner: Any) -> None:
        views = runs.hook_of(runner)._views
        make = views._view
        shown.append([])
        views._view = lambda index, epoch: (shown[-1].append(epoch), make(index, epoch))[1]

    def train(name: str, iters: int, resume: bool = False) -> None:
        entry = runs.entry(
            teachers=dict(t=runs.teacher((6, 12), checkpoint=checkpoint)),
            cache=dict(folder=str(tmp_path / name), views=8),
            self_learning=dict(held_out=8),
            live=AS_IT_IS,
        )
        hooks = [entry, runs.watching(before_train=listen)]
        runs.train(runs.config(tmp_path / name, hooks, iters=iters, save=True, resume=resume))

    train('a', 12)
    train('b', 9)
    train('b', 12, resume=True)
    whole, _, rest = shown
    assert rest[0] >= 3  # 9 batches of 20 pictures are 3 epochs of 50, and a half
    assert whole[-len(rest) :] == rest


def test_a_cache_that_pauses_pools_all_the_same(tmp_path, checkpoint):
    shapes: list[Any] = []

    def listen(runner: Any) -> None:
        distiller = runs.hook_of(runner).distiller
        ask = distiller.ask_teachers

        def asked(batch: Any) -> Any:
            distiller.cache.paused = len(shapes) % 2 == 1
            said = ask(batch)
            shapes.append(tuple(level.dim() for level in said[0].feature))
            return said

        distiller.ask_teachers = asked

    cache = dict(folder=str(tmp_path / 'cache'), views=1, features='pooled')
    entry = runs.entry(teachers=dict(t=runs.teacher((6, 12), checkpoint=checkpoint)), cache=cache)
    runs.train(runs.config(tmp_path / 'a', [entry, runs.watching(before_train=listen)], epochs=2))
    assert set(shapes) == {(2,)}


def test_workers_that_stay_make_the_same_views_in_a_run_that_goes_on(tmp_path, checkpoint):
    def train(name: str, epochs: int, resume: bool = False) -> Any:
        cache = dict(folder=str(tmp_path / 'cache'), views=2)
        entry = runs.entry(teachers=dict(t=runs.teacher((6, 12), checkpoint=checkpoint)), cache=cache)
        cfg = runs.config(tmp_path / name, [entry], epochs=epochs, save=True, resume=resume)
        cfg.train_dataloader.update(num_workers=1, persistent_workers=True)
        return runs.train(cfg)

    whole = runs.weights_of(train('a', 3))
    train('b', 2)
    runner = train('b', 3, resume=True)
    (log,) = Path(runner.log_dir).glob('*.log')
    assert 'random states of the data workers' not in log.read_text()
    assert runs.same(whole, runs.weights_of(runner))


def test_loops_that_count_iterations(tmp_path, checkpoint):
    asked: list[int] = []
    cache = dict(folder=str(tmp_path / 'cache'), views=2)
    run(tmp_path / 'a', checkpoint, cache, count=asked, iters=15)
    assert sum(asked) == 2 * 50


def test_processes_with_a_share_each_come_to_the_next_view_with_the_epoch():
    """Of a sampler without end that deals indices out in turn."""
    shown = []
    for rank in range(2):
        mine = [[0, 2], [1, 0], [2, 1]] if rank == 0 else [[1, 0], [2, 1], [0, 2]]  # of 0 1 2, three times and a bit
        shown += [key for batch in ViewBatches(mine, 4, length=3, seed=0, first=rank, step=2) for key in batch]
    assert len(set(shown)) == len(shown)


def test_a_loop_that_goes_on_comes_to_the_view_it_would_have_come_to(tmp_path, checkpoint):
    caches = [dict(folder=str(tmp_path / name), views=2) for name in ('whole', 'cut')]
    whole, _ = run(tmp_path / 'a', checkpoint, caches[0], iters=12, save=True)
    run(tmp_path / 'b', checkpoint, caches[1], iters=6, save=True)
    on, _ = run(tmp_path / 'b', checkpoint, caches[1], iters=12, save=True, resume=True)
    assert runs.same(whole, on)


@pytest.mark.parametrize('what', ['weights', 'recipe', 'pipeline', 'layer', 'seed', 'size'])
def test_what_is_of_another_is_never_read(what, tmp_path, checkpoint):
    folder = str(tmp_path / 'cache')
    run(tmp_path / 'a', checkpoint, dict(folder=folder, views=1), epochs=1)
    other = saved_teacher(tmp_path / 'other.pth', seed=1) if what == 'weights' else checkpoint
    options: dict[str, Any] = dict(augment=False) if what == 'pipeline' else {}
    teacher: dict[str, Any] = runs.teacher((6, 12), checkpoint=other)
    teacher |= dict(layer='backbone.stages.0') if what == 'layer' else {}
    teacher |= dict(input_size=(16, 16)) if what == 'size' else {}
    teacher |= dict(cfg_options={'model.head.cal_acc': True}) if what == 'recipe' else {}
    entry = runs.entry(teachers=dict(t=teacher), cache=dict(folder=folder, views=1, seed=int(what == 'seed')))
    runner = runs.train(runs.config(tmp_path / 'b', [entry], epochs=1, **options))
    assert ': 0% of 50 answers were read' in runs.hook_of(runner).cache.lines()[0]


def test_pictures_that_changed_are_asked_about_again(tmp_path, checkpoint, monkeypatch):
    """Whatever the files are called."""
    cache = dict(folder=str(tmp_path / 'cache'), views=1)
    run(tmp_path / 'a', checkpoint, cache, epochs=1)
    make = Views.__getitems__

    def changed(self: Any, keys: Any) -> Any:
        items = make(self, keys)
        for item in items:
            index, view, tag = item['data_samples'].metainfo[VIEW]
            item['data_samples'].set_metainfo({VIEW: (index, view, tag ^ (index == 7))})
        return items

    monkeypatch.setattr(Views, '__getitems__', changed)
    asked: list[int] = []
    run(tmp_path / 'b', checkpoint, cache, count=asked, epochs=1)
    assert len(asked) == 1  # the batch of the seventh


def test_pictures_that_are_mixed_anew_each_time_run_live(tmp_path, checkpoint):
    student = runs.classifier(train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)))
    asked: list[int] = []
    cache = dict(folder=str(tmp_path / 'cache'), views=1)
    run(tmp_path / 'a', checkpoint, cache, count=asked, epochs=2, student=student)
    assert sum(asked) == 100
    assert not (tmp_path / 'cache').exists()


def test_a_budget_without_room_for_all_views_has_fewer(tmp_path, checkpoint):
    asked: list[int] = []
    _, hook = run(tmp_path / 'a', checkpoint, dict(folder=str(tmp_path / 'a'), views=8), epochs=1)
    size = next((tmp_path / 'a').glob('*/rows.bin')).stat().st_size // 8
    budget = int(2.5 * size)
    _, hook = run(tmp_path / 'b', checkpoint, dict(folder=str(tmp_path / 'c'), budget=budget), count=asked, epochs=6)
    assert hook.cache.views == 2
    assert next((tmp_path / 'c').glob('*/rows.bin')).stat().st_size == 2 * size
    assert 2 * 50 <= sum(asked) <= 3 * 50


def test_a_budget_without_room_for_one_view_runs_live_with_all_its_augmentation(tmp_path, checkpoint):
    asked: list[int] = []
    cache = dict(folder=str(tmp_path / 'cache'), budget=100)
    _, hook = run(tmp_path / 'a', checkpoint, cache, count=asked, epochs=3)
    assert sum(asked) == 150
    assert hook._views.views is None


@pytest.mark.parametrize('damage', ['', '{}', 'null', '{"key": 1, "layout": []}'])
def test_a_damaged_folder_costs_the_cache_and_not_the_run(damage, tmp_path, checkpoint):
    cache = dict(folder=str(tmp_path / 'cache'), views=1)
    run(tmp_path / 'a', checkpoint, cache, epochs=1)
    (described,) = (tmp_path / 'cache').glob('*/key.json')
    described.write_text(damage)
    asked: list[int] = []
    run(tmp_path / 'b', checkpoint, cache, count=asked, epochs=1)
    assert sum(asked) == 50


def test_the_loader_gives_samples_again_after_the_run(tmp_path, checkpoint):
    entry = runs.entry(
        teachers=dict(t=runs.teacher((6, 12), checkpoint=checkpoint)), cache=dict(folder=str(tmp_path / 'c'))
    )
    runner = runs.train(runs.config(tmp_path / 'a', [entry]))
    assert type(runner.train_dataloader.dataset).__name__ == 'Digits'
    assert len(next(iter(runner.train_dataloader))['data_samples']) == 20


def test_a_pipeline_that_is_exchanged_is_that_of_the_data():
    data = Views(digits(), seed=0)
    data.pipeline = 'another'
    assert data.dataset.pipeline == 'another'


def test_a_full_disk_ends_the_storing_and_not_the_run(tmp_path, checkpoint, monkeypatch, capsys):
    write, written = os.pwrite, []

    def full(file: int, data: bytes, place: int) -> int:
        written.append(place)
        if len(written) > 30:
            raise OSError(errno.ENOSPC, 'No space left on device')
        return write(file, data, place)

    monkeypatch.setattr(os, 'pwrite', full)
    asked: list[int] = []
    _, hook = run(tmp_path / 'a', checkpoint, dict(folder=str(tmp_path / 'cache'), views=1), count=asked, epochs=2)
    assert sum(asked) == 100
    assert 'the disk is full; make room' in ''.join(capsys.readouterr())
    assert not next(iter(hook.cache._shelves.values())).open


def test_pooled_features_take_less_room(tmp_path, checkpoint):
    sizes = {}
    for features in ('whole', 'pooled'):
        cache = dict(folder=str(tmp_path / features), views=1, features=features)
        filling, _ = run(tmp_path / f'{features}1', checkpoint, cache, epochs=2)
        reading, _ = run(tmp_path / f'{features}2', checkpoint, cache, epochs=2)
        assert runs.same(filling, reading)
        sizes[features] = next((tmp_path / features).glob('*/rows.bin')).stat().st_size
        layout = json.loads(next((tmp_path / features).glob('*/key.json')).read_text())['layout']
        assert [name for name, _, _ in layout] == ['logits', 'embedding', 'feature.0']
    assert sizes['pooled'] < sizes['whole']


def test_whole_features_are_kept_where_a_loss_compares_them(tmp_path, checkpoint):
    sizes = {}
    for name, feature_loss in (('maps', dict(type='MSE')), ('embeddings', dict(type='Cosine')), ('none', None)):
        cache = dict(folder=str(tmp_path / name), views=1)
        run(tmp_path / f'run_{name}', checkpoint, cache, hook=dict(feature_loss=feature_loss))
        layout = json.loads(next((tmp_path / name).glob('*/key.json')).read_text())['layout']
        sizes[name] = [len(shape) for part, shape, _ in layout if part == 'feature.0']
    assert sizes == {'maps': [3], 'embeddings': [1], 'none': [1]}


def test_what_came_of_it_is_told(tmp_path, checkpoint):
    _, hook = run(tmp_path / 'a', checkpoint, dict(folder=str(tmp_path / 'cache'), views=1), epochs=4)
    (line,) = hook.cache.lines()
    assert line.startswith('cache: teacher t: 75% of 200 answers were read, stored with a relative error of ')
    assert 1e-5 < float(line.rsplit(' ', 1)[1]) < 1e-3


# ---- options


@pytest.mark.parametrize(
    ('options', 'words'),
    [
        (dict(views=0), 'views is 0; give an integer of at least 1'),
        (dict(features='half'), "features is 'half'; give 'whole', 'pooled' or None"),
        (dict(budget='much'), "budget is 'much'; give bytes, or a text such as '20GB'"),
    ],
)
def test_mistakes_in_options(options, words):
    with pytest.raises(MTKDError, match=words):
        TeacherCache(**options)


def test_options_that_there_are_not():
    from mtkd_rl.cache import build_cache

    with pytest.raises(MTKDError, match=r"cache has no option 'view'; did you mean: views"):
        build_cache(dict(view=3))
    with pytest.raises(MTKDError, match=r'cache is True; give a dict'):
        build_cache(True)


def test_budgets():
    assert in_bytes('20GB') == 20 * 10**9
    assert in_bytes(5) == 5
    assert in_bytes('0.5 MB') == 500_000
