"""The parts that the dense tasks are made of, against definitions, loops and values by hand."""

import copy
import math
from collections import deque

import dense
import pytest
import runs
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import ConfigDict
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample
from torch import nn

from mtkd_rl.distiller import Distiller, match_levels
from mtkd_rl.errors import MTKDError
from mtkd_rl.losses import build_loss
from mtkd_rl.rng import random_state
from mtkd_rl.tasks import find_task
from mtkd_rl.tasks.base import total
from mtkd_rl.tasks.classes import Common, classes_in_common, columns_by_name, count_classes, relabelled
from mtkd_rl.tasks.dense import tensors_of, two_classes, weighed
from mtkd_rl.tasks.detector_logits import by_image
from mtkd_rl.tasks.undisturbed import rows_of, standing_in, undisturbed
from mtkd_rl.teachers import InputContract, build_pool
from mtkd_rl.weighting import AverageWeighting

# ---- rows_of


def test_rows_of_one_picture():
    maps, vector, scalar = torch.rand(3, 4, 5, 6), torch.rand(3), torch.tensor(2.0)
    others = torch.rand(7, 3)
    said = rows_of((maps, [dict(a=maps * 2), vector, scalar], 'as it is', others, None), 1, 3)
    assert torch.equal(said[0], maps[1:2])
    assert torch.equal(said[1][0]['a'], 2 * maps[1:2])
    assert torch.equal(said[1][1], vector)  # one number a class, as it may be, and not one a picture
    assert torch.equal(said[1][2], scalar)
    assert said[2] == 'as it is'
    assert torch.equal(said[3], others)
    assert said[4] is None


def test_rows_of_are_cut_from_the_graph():
    maps = torch.rand(2, 4, requires_grad=True) * 2
    assert not any(x.requires_grad for x in rows_of([maps, maps[0]], 0, 2))


# ---- standing_in


class Parted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone, self.neck, self.head = nn.Linear(2, 3), nn.Linear(3, 4), nn.Linear(4, 1)
        self.ran = 0
        self.neck.register_forward_hook(lambda *args: setattr(self, 'ran', self.ran + 1))

    def forward(self, x):
        return self.head(self.neck(self.backbone(x)))


def test_parts_stand_in_for_themselves():
    model = Parted()
    x = torch.rand(5, 2)
    before = model(x)
    keys = list(vars(model))
    said = model.neck(model.backbone(x))
    ran = model.ran
    with standing_in(model, dict(backbone='nobody looks', neck=said)):
        assert torch.equal(model('whatever'), before)
        assert model.ran == ran
    assert list(vars(model)) == keys
    assert torch.equal(model(x), before)
    assert model.ran == ran + 1


def test_parts_are_back_after_an_error():
    model = Parted()
    with pytest.raises(ZeroDivisionError), standing_in(model, dict(neck=1)):
        raise ZeroDivisionError
    assert isinstance(model.neck, nn.Linear)
    assert 'neck' not in vars(model)


# ---- undisturbed


class Helper:
    """What heads keep beside modules, such as an assigner."""

    def __init__(self) -> None:
        self.threshold = 0.5


class Bookkeeper(nn.Module):
    """Does all that a head could do to itself in a forward pass."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(4)
        self.drop = nn.Dropout(0.5)
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.5, batch_first=True)
        self.frozen = nn.Linear(4, 4).eval()
        self.register_buffer('bases', torch.zeros(3))
        self.register_buffer('momentum', torch.zeros(3))
        self.register_buffer('cache', torch.zeros(2), persistent=False)
        self.history, self.table, self.seen, self.queue = [1.0], dict(a=1), {1}, deque([1], maxlen=3)
        self.epoch, self.ema, self.helper = 0, torch.zeros(2), Helper()

    def forward(self, x, fail=False):
        self.norm(x)
        self.bases = self.bases + 1  # in its place
        self.momentum += 1  # in it
        self.cache = None
        self.history.append(2.0)
        self.history = []
        self.table['b'] = 2
        self.seen.add(2)
        self.queue.append(2)
        self.epoch += 1
        self.new = True
        self.ema = self.ema + 1
        self.helper.threshold = 0.7
        self.drop.p = 0.9
        torch.rand(3)
        if fail:
            raise ZeroDivisionError
        return self.drop(x)


def portrait(model):
    return copy.deepcopy(
        dict(
            state=dict(model.state_dict()),
            buffers=dict(model.named_buffers()),
            modes=[module.training for module in model.modules()],
            books=(model.history, model.table, sorted(model.seen), list(model.queue), model.epoch, model.ema),
            names=[sorted(vars(module)) for module in model.modules()],
            p=model.drop.p,
            threshold=model.helper.threshold,
            random=random_state(),
        )
    )


@pytest.mark.parametrize('fail', [False, True])
@pytest.mark.parametrize('training', [False, True])
def test_nothing_of_a_model_changes_by_asking(training, fail):
    model = Bookkeeper().train(training)
    model.frozen.eval()
    ids = {name: id(value) for name, value in model.named_buffers()} | dict(history=id(model.history))
    x = torch.rand(5, 4)
    before = portrait(model)
    if fail:
        with pytest.raises(ZeroDivisionError), undisturbed(model):
            model(x, fail=True)
    else:
        with undisturbed(model):
            model(x)
            model(x)
    after = portrait(model)
    assert [key for key in before if not runs.same(before[key], after[key])] == []
    assert ids == {name: id(value) for name, value in model.named_buffers()} | dict(history=id(model.history))


def test_inside_it_computes_as_in_training_but_for_chance_and_statistics():
    model = Bookkeeper().eval()
    x = torch.rand(5, 4)
    with undisturbed(model):
        assert model.training
        assert model.frozen.training
        assert not model.norm.training
        assert torch.equal(model.drop(x), x)
        said = model.attention(x[None], x[None], x[None])[0]
        assert not said.requires_grad
    torch.testing.assert_close(said, model.attention(x[None], x[None], x[None])[0])  # of attention nothing is dropped


# ---- totals, places


def test_the_total_is_the_runners():
    losses = dict(
        loss_cls=[torch.tensor(1.0), torch.tensor(2.0)],
        loss_bbox=torch.tensor([1.0, 3.0]),
        d0_loss=torch.tensor(0.5, dtype=torch.float64),
        acc=torch.tensor(77.0),
    )
    assert float(total(losses)) == 1 + 2 + 2 + 0.5
    parsed, _ = Parse().parse_losses(losses)
    assert float(total(losses)) == float(parsed)


class Parse:
    from mmengine.model import BaseModel

    parse_losses = BaseModel.parse_losses


def test_maps_go_before_tokens():
    maps, tokens = torch.rand(2, 3, 4, 4), torch.rand(2, 5, 3)
    assert [x.dim() for x in tensors_of((maps, [tokens, dict(a=maps)]))] == [4, 4]
    assert tensors_of((tokens, 'word', None))[0] is tokens
    assert tensors_of(None) == ()


def test_weights_of_places_sum_to_one_or_are_zero():
    weight = weighed(torch.tensor([[1.0, 3.0], [0.0, 0.0], [0.0, 1e-3]]))
    torch.testing.assert_close(weight, torch.tensor([[0.25, 0.75], [0.0, 0.0], [0.0, 1.0]]))


def test_the_score_of_a_sigmoid_as_two_classes():
    score = 3 * torch.randn(4, 5)
    torch.testing.assert_close(two_classes(score).softmax(dim=-1)[..., 0], score.sigmoid())


@given(st.lists(st.integers(0, 4), min_size=1, max_size=4), st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_regions_by_image(counts, width):
    images = torch.tensor([i for i, count in enumerate(counts) for _ in range(count)], dtype=torch.long)
    rows = torch.randn(len(images), width, requires_grad=True)
    arranged = by_image(rows, images, len(counts))
    assert arranged.shape == (len(counts), max(counts), width)
    start = 0
    for row, count in zip(arranged, counts):
        assert torch.equal(row[:count], rows[start : start + count])
        assert not row[count:].any()
        start += count
    if len(rows):
        assert torch.equal(torch.autograd.grad(arranged.sum(), rows)[0], torch.ones_like(rows))


# ---- levels


def maps_of(*sides):
    return [torch.zeros(1, 1, *(side if isinstance(side, tuple) else (side, side))) for side in sides]


@pytest.mark.parametrize(
    ('student', 'teacher', 'pairs'),
    [
        ((64, 32, 16), (64, 32, 16), [(0, 0), (1, 1), (2, 2)]),
        ((32, 16, 8), (64, 32, 16), [(0, 1), (1, 2)]),
        ((16,), (64, 32, 16), [(0, 2)]),
        ((16,), (64,), [(0, 0)]),  # the only ones
        ((64, 32, 16), (16,), [(2, 0)]),
        ((2, 1, 1), (2, 1, 1), [(0, 0), (1, 1), (2, 2)]),  # small pictures: levels of one size
        ((4, 2, 1, 1), (2, 1, 1), [(1, 0), (2, 1), (3, 2)]),
        (((32, 64), (16, 32)), ((16, 32), (8, 16)), [(1, 0)]),
        ((40, 20), (38, 19), [(0, 0), (1, 1)]),
    ],
)
def test_levels_are_matched_by_size(student, teacher, pairs):
    assert match_levels(maps_of(*student), maps_of(*teacher)) == pairs
    assert match_levels(maps_of(*teacher), maps_of(*student)) == sorted((j, i) for i, j in pairs)


@given(
    st.lists(st.sampled_from([1, 2, 4, 8, 16, 32]), min_size=1, max_size=5),
    st.lists(st.sampled_from([1, 3, 4, 8, 14, 32]), min_size=1, max_size=5),
)
@settings(deadline=None)
def test_some_levels_always_match_and_each_once(student, teacher):
    ours, theirs = maps_of(*sorted(student, reverse=True)), maps_of(*sorted(teacher, reverse=True))
    pairs = match_levels(ours, theirs)
    assert pairs
    assert len({i for i, _ in pairs}) == len({j for _, j in pairs}) == len(pairs)
    nearest = min(abs(math.log(x.shape[2] / y.shape[2])) for x in ours for y in theirs)
    assert min(abs(math.log(ours[i].shape[2] / theirs[j].shape[2])) for i, j in pairs) == nearest


def test_tokens_and_vectors_match_too():
    assert match_levels([torch.zeros(2, 49, 8)], [torch.zeros(2, 64, 6)]) == [(0, 0)]
    assert match_levels([torch.zeros(2, 8)], [torch.zeros(2, 6, 4, 4)]) == [(0, 0)]


# ---- classes


NAMES = st.lists(st.sampled_from('abcdefg'), min_size=1, max_size=6, unique=True)


@given(NAMES, NAMES)
@settings(deadline=None)
def test_classes_in_common_have_the_same_names(student, teacher):
    if not set(student) & set(teacher):
        with pytest.raises(MTKDError, match='no class in common'):
            classes_in_common('t', student, teacher, (len(student), len(teacher)))
        return
    common = classes_in_common('t', student, teacher, (len(student), len(teacher)))
    if student == teacher:
        assert common is None
        return
    names = [student[i] for i in common.student]
    assert names == [teacher[j] for j in common.teacher]
    assert sorted(names) == sorted(set(student) & set(teacher))


def test_without_a_class_in_common_both_are_listed():
    with pytest.raises(MTKDError) as error:
        classes_in_common('r50', ['cat', 'dog'], ['car', 'bus', 'tram'], (2, 3))
    for word in ('teacher r50', 'cat, dog', 'car, bus, tram', 'classes=['):
        assert word in str(error.value)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize(('student', 'teacher'), [(['a', 'b', 'a'], ['b', 'a']), (['a', 'b'], ['b', 'a', 'a'])])
def test_a_name_that_is_there_twice_tells_nothing(student, teacher):
    with pytest.raises(MTKDError, match=r'teacher r50: the class a is there twice.*classes=\[\.\.\.\].*metainfo'):
        classes_in_common('r50', student, teacher, (len(student), len(teacher)))


@pytest.mark.parametrize(
    ('student', 'teacher', 'counts'),
    [
        (None, None, (3, 4)),
        (['a', 'b', 'c'], None, (3, 4)),
        (['a', 'b'], ['a', 'b', 'c', 'd'], (3, 4)),  # names that cannot be those of the logits
    ],
)
def test_other_numbers_of_classes_without_names(student, teacher, counts):
    with pytest.raises(MTKDError, match=r'teacher t has 4 classes, the student 3.*classes=\[\.\.\.\].*metainfo'):
        classes_in_common('t', student, teacher, counts)


def test_equal_numbers_of_classes_without_names_are_the_same():
    assert classes_in_common('t', None, ['a', 'b'], (2, 2)) is None
    assert classes_in_common('t', ['a', 'b'], None, (2, 2)) is None
    assert classes_in_common('t', ['a', 'b'], ['x', 'y', 'z'], (2, 2)) is None  # such names tell nothing


@given(NAMES, NAMES, st.lists(st.integers(-1, 8), max_size=8))
@settings(deadline=None)
def test_labels_follow_their_names(student, teacher, labels):
    if student == teacher or not set(student) & set(teacher):
        return
    common = classes_in_common('t', student, teacher, (len(student), len(teacher)))
    given_labels = torch.tensor(labels, dtype=torch.long)
    found = relabelled(given_labels, common, len(student), 255).tolist()
    for label, new in zip(labels, found):
        if not 0 <= label < len(student):
            assert new == label
        elif student[label] in teacher:
            assert teacher[new] == student[label]
        else:
            assert new == 255
    assert given_labels.tolist() == labels


def test_a_label_map_keeps_its_type():
    labels = torch.tensor([[0, 1, 255]], dtype=torch.uint8)
    found = relabelled(labels, Common((1,), (0,)), 2, 255)
    assert found.dtype == torch.uint8
    assert found.tolist() == [[255, 0, 255]]


@pytest.mark.parametrize('name', ['RetinaNet', 'Cascade R-CNN', 'DETR', 'OCRNet', 'Mask2Former'])
def test_classes_of_a_model_are_counted(name):
    assert count_classes(dense.model_of(name, classes=7)) == 7


# ---- classification: the order of classes


SAME = InputContract(mean=(78.0,), std=(96.0,))
DIGITS = ('zero', 'one', 'two')


def lesson_on_three(teacher, named, change=None):
    """A lesson of a student of three classes, by a teacher whose last layer may be changed first."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = MODELS.build(ConfigDict(runs.classifier(classes=3))).train()
    pool = build_pool(dict(t=teacher | named), temperature=4.0, source=SAME)
    if change is not None:
        change(pool[0].model.head.fc)
    losses = [build_loss(dict(type=name), kind) for name, kind in (('KD', 'logit'), ('MSE', 'feature'))]
    weights = dict(logit_weight=1.0, feature_weight=1.0)
    distiller = Distiller(
        model,
        pool,
        find_task(model),
        SAME,
        AverageWeighting(),
        logit_loss=losses[0],
        feature_loss=losses[1],
        **weights,
        student_layer=None,
        seed=0,
        classes=DIGITS,
    )
    rng = torch.Generator().manual_seed(0)
    inputs = torch.randn(5, 1, 8, 8, generator=rng)
    samples = [DataSample().set_gt_label(label) for label in (0, 1, 2, 0, 1)]
    distiller.student_taps.start()
    own = model(inputs=inputs, data_samples=samples, mode='loss')
    return distiller.lesson(inputs, samples, own, 1.0)


def classifier(classes):
    model = runs.classifier((6, 12), classes=classes, data_preprocessor=dict(mean=[78.0], std=[96.0]))
    return dict(config=model, checkpoint='random')


@pytest.mark.parametrize('names', [('two', 'zero', 'one'), ('ten', 'two', 'one', 'four', 'zero')])
def test_classes_of_a_classifier_go_by_name(names):
    """A teacher with other columns says the same as one whose last layer was put in the student's order by hand."""
    order = [names.index(each) for each in DIGITS]
    told = lesson_on_three(classifier(len(names)), dict(classes=names))

    def sort(layer):
        layer.weight.data, layer.bias.data = layer.weight.data[order], layer.bias.data[order]

    by_hand = lesson_on_three(classifier(len(names)), {}, sort)
    torch.testing.assert_close(told.losses, by_hand.losses)
    state = told.feedback.state
    torch.testing.assert_close(state.teachers[0].logits, by_hand.feedback.state.teachers[0].logits)
    torch.testing.assert_close(state.teacher_loss, by_hand.feedback.state.teacher_loss)
    if len(names) == 3:
        unsorted = lesson_on_three(classifier(3), {})
        assert not torch.allclose(told.losses['loss_kd_logit'], unsorted.losses['loss_kd_logit'])


def test_columns_by_name():
    assert columns_by_name(['a', 'b'], ['b', 'c', 'a']) == [2, 0]
    assert columns_by_name(['a', 'b'], ['a', 'b']) is None
    assert columns_by_name(['a', 'x'], ['a', 'b']) is None
    assert columns_by_name(None, ['a']) is None
    assert columns_by_name(['a'], None) is None


def test_a_classifier_with_other_classes_is_refused():
    with pytest.raises(MTKDError, match=r"teacher t: .* it must have the student's 3 classes"):
        lesson_on_three(classifier(4), dict(classes=('ten', 'two', 'one', 'four')))
