"""Detectors of every kind, made tiny, as students and teachers: against their own losses, heads and hand-made sums."""

import copy
import itertools

import dense
import pytest
import runs
import torch
from dense import AS_IT_IS, CLASSES, detected, distiller_of, lesson_of, model_of, sum_of, teacher
from torch import nn
from torch.nn import functional as F

from mtkd_rl.errors import MTKDError
from mtkd_rl.guard import Guard, need_of
from mtkd_rl.rl.state import ENCODINGS
from mtkd_rl.rng import random_state
from mtkd_rl.tasks import Detection
from mtkd_rl.tasks.detection import PLACES, scores_of
from mtkd_rl.teachers import convert
from mtkd_rl.weighting import FixedWeighting, PPOWeighting

ONE_STAGE = ('RetinaNet', 'FCOS', 'ATSS')
TWO_STAGES = ('Faster R-CNN', 'Mask R-CNN', 'Cascade R-CNN', 'Dynamic R-CNN')
QUERIES = ('DETR', 'DINO')
ALL = ONE_STAGE + TWO_STAGES + QUERIES


def quick(names, *few):
    """All names, those in the slow suite that are not among a few."""
    return [name if name in few else pytest.param(name, marks=pytest.mark.slow) for name in names]


def batch_of(name, model, **options):
    """Pictures of several sizes, one of them without an object."""
    options = dict(counts=(3, 0, 1), sizes=((64, 64), (48, 64), (64, 40)), masks=name == 'Mask R-CNN') | options
    return detected(model, **options)


def ask(model, teachers, data, strategy=None, **options):
    distiller = distiller_of(model, teachers, strategy, **options)
    return (distiller, *lesson_of(distiller, data))


# ---- the loss by image


@pytest.mark.parametrize('name', quick(ALL, 'RetinaNet', 'Mask R-CNN', 'DINO'))
def test_a_picture_has_the_loss_that_it_has_alone(name):
    """Of student and teacher: that of the whole model on this picture, by its saved statistics."""
    model = model_of(name)
    data = batch_of(name, model)
    distiller, _, lesson = ask(model, dict(t=teacher(name)), data)
    (of,) = distiller.teachers
    inputs = convert(data['inputs'], distiller.source, of.contract)
    for whose, seen, found in (
        (model, data['inputs'], lesson.feedback.state.student.task_loss),
        (of.model, inputs, lesson.feedback.state.teacher_loss[:, 0]),
    ):
        expected = [dense.alone(whose, dict(inputs=seen, data_samples=data['data_samples']), i) for i in range(3)]
        torch.testing.assert_close(found, torch.stack(expected), rtol=1e-4, atol=1e-5)
        assert len(found.unique()) == 3
    assert all(torch.isfinite(loss) for loss in lesson.losses.values())


@pytest.mark.parametrize(('name', 'of'), [('RetinaNet', 'FCOS'), ('Mask R-CNN', 'Faster R-CNN')])
def test_the_loss_by_image_does_not_depend_on_the_pictures_beside_it(name, of):
    """Not even by what samplers draw."""
    model = model_of(name)
    whole = batch_of(name, model)
    _, _, three = ask(model, dict(t=teacher(of)), whole)
    single = dict(inputs=whole['inputs'][2:], data_samples=whole['data_samples'][2:])
    _, _, one = ask(model, dict(t=teacher(of)), single)
    several, alone = three.feedback.state, one.feedback.state
    torch.testing.assert_close(several.student.task_loss[2:], alone.student.task_loss)
    torch.testing.assert_close(several.teacher_loss[2:], alone.teacher_loss)


def test_statistics_of_the_batch_have_no_part_in_it():
    """The student's features are of its forward pass, in training; what follows takes saved statistics."""
    norms = dict(bbox_head__norm_cfg=dict(_delete_=True, type='BN'), norm_eval=False)
    model = model_of('FCOS', **norms)
    data = batch_of('FCOS', model)
    _, _, lesson = ask(model, dict(t=teacher('FCOS', **norms)), data)
    with torch.no_grad():
        features = copy.deepcopy(model).extract_feat(data['inputs'])
        head = copy.deepcopy(model.bbox_head)
        for module in head.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
        expected = [
            sum_of(head.loss([x[i : i + 1] for x in features], [copy.deepcopy(data['data_samples'][i])]))
            for i in range(3)
        ]
    torch.testing.assert_close(lesson.feedback.state.student.task_loss, torch.stack(expected), rtol=1e-4, atol=1e-5)


# ---- nothing changes


def plain(value, above=()):
    """What can be compared of anything that hangs on a module."""
    if isinstance(value, int | float | str | bool | torch.Tensor | type(None)):
        return value
    if isinstance(value, list | tuple):
        return [plain(each, above) for each in value]
    if isinstance(value, dict):
        return {str(key): plain(each, above) for key, each in value.items()}
    if type(value).__module__.startswith('mmdet') and not isinstance(value, nn.Module) and value not in above:
        return {key: plain(each, (*above, value)) for key, each in vars(value).items()}
    return type(value).__name__


def portrait(model):
    own = vars(nn.Module()).keys() - {'training'}
    return copy.deepcopy(
        dict(
            state=dict(model.state_dict()),
            buffers=dict(model.named_buffers()),
            learns=[x.requires_grad for x in model.parameters()],
            books={
                name: {key: plain(value) for key, value in vars(module).items() if key not in own}
                for name, module in model.named_modules()
            },
        )
    )


@pytest.mark.parametrize('name', quick(['RetinaNet', 'Dynamic R-CNN', 'DINO'], 'Dynamic R-CNN'))
@pytest.mark.parametrize('fail', [False, True])
def test_nothing_changes_by_asking(name, fail):
    """Not a number of student and teacher, in a run of steps in which Dynamic R-CNN moves its own thresholds."""
    changes = dict(train_cfg__rcnn__dynamic_rcnn__update_iter_interval=2) if name == 'Dynamic R-CNN' else {}
    model = model_of(name, norm_eval=False, **changes)
    data = batch_of(name, model, counts=(3, 2, 1))
    distiller = distiller_of(model, dict(t=teacher(name, norm_eval=False, **changes)), live=AS_IT_IS)
    (of,) = distiller.teachers
    before = portrait(of.model)
    seen = []
    if fail:
        # by the loss of the second picture, the teacher's thresholds have moved

        def raises(module, args, losses):
            seen.append(1)
            if len(seen) == 2:
                raise ZeroDivisionError

        part = of.model.roi_head.bbox_head if hasattr(of.model, 'roi_head') else of.model.bbox_head
        part.register_forward_hook(raises)
    for _ in range(3):
        distiller.student_taps.start()
        own = model(**data, mode='loss')
        ours, states = portrait(model), random_state()
        if fail:
            seen.clear()
            with pytest.raises(MTKDError, match=r'teacher t: .*ZeroDivisionError'):
                distiller.lesson(**data, losses=own, factor=1.0)
        else:
            distiller.lesson(**data, losses=own, factor=1.0)
        assert runs.same(states, random_state())
        for was, now in ((ours, portrait(model)), (before, portrait(of.model))):
            assert [key for key in was['books'] if not runs.same(was['books'][key], now['books'][key])] == []
            assert [key for key in was if not runs.same(was[key], now[key])] == []


def test_dynamic_thresholds_do_move():
    """So that the test above can fail."""
    model = model_of('Dynamic R-CNN', train_cfg__rcnn__dynamic_rcnn__update_iter_interval=2)
    data = batch_of('Dynamic R-CNN', model, counts=(3, 2, 1))
    before = portrait(model)
    for _ in range(2):
        model(**data, mode='loss')
    after = portrait(model)
    assert not runs.same(before['books']['roi_head'], after['books']['roi_head'])
    assert before['books']['roi_head']['bbox_assigner'] != after['books']['roi_head']['bbox_assigner']


def test_the_annotations_are_the_students_own():
    model = model_of('RetinaNet')
    data = batch_of('RetinaNet', model)
    before = copy.deepcopy([sample.gt_instances for sample in data['data_samples']])
    distiller, _, _ = ask(model, dict(t=teacher('Faster R-CNN', classes_named=('dog', 'car'))), data, classes=CLASSES)
    for was, sample in zip(before, data['data_samples']):
        assert torch.equal(was.labels, sample.gt_instances.labels)
        assert torch.equal(was.bboxes, sample.gt_instances.bboxes)
    kept = distiller.task.keep(data['data_samples'])
    for sample in data['data_samples']:
        sample.gt_instances.bboxes += 1  # as some heads do to what they are given
        sample.gt_instances.labels = sample.gt_instances.labels + 1
    for was, sample in zip(before, kept):
        assert torch.equal(was.labels, sample.gt_instances.labels)
        assert torch.equal(was.bboxes, sample.gt_instances.bboxes)


# ---- logits on a grid


def rows_by_hand(model, inputs):
    """Scores ``(B, P, C)`` level by level, row by row, column by column, anchor by anchor."""
    levels, *_ = model.bbox_head(model.extract_feat(inputs))
    classes = model.bbox_head.num_classes
    rows = []
    for x in levels:
        for row, column, anchor in itertools.product(
            range(x.shape[2]), range(x.shape[3]), range(x.shape[1] // classes)
        ):
            rows.append(x[:, anchor * classes : (anchor + 1) * classes, row, column])
    return torch.stack(rows, dim=1)


def test_rows_are_the_scores_of_these_anchors():
    """Every score that the head's own prediction finds is that of our row, with the box of this row's anchor."""
    model = model_of('RetinaNet')
    data = batch_of('RetinaNet', model, counts=(3, 2), sizes=None)
    _, _, lesson = ask(model, dict(t=teacher('RetinaNet')), data)
    rows = lesson.feedback.state.student.logits
    with torch.no_grad():
        scores, deltas = model.bbox_head(model.extract_feat(data['inputs']))
        (anchors, _), _ = model.bbox_head.get_anchors(
            [x.shape[2:] for x in scores], [sample.metainfo for sample in data['data_samples']], device='cpu'
        )
        found = model.bbox_head.predict_by_feat(
            scores,
            deltas,
            batch_img_metas=[sample.metainfo for sample in data['data_samples']],
            cfg=copy.deepcopy(model.test_cfg) | dict(nms_pre=10**4, score_thr=0.0, min_bbox_size=-1),
            with_nms=False,
        )
    anchors = torch.cat(anchors)
    assert rows.shape == (2, len(anchors), len(CLASSES))
    for i, result in enumerate(found):
        assert len(result) == rows[i].numel()
        flat = rows[i].sigmoid().flatten()
        for score, label, box in list(zip(result.scores, result.labels, result.bboxes))[::97]:
            place = int((flat - score).abs().argmin())
            assert place % len(CLASSES) == label
            mine = torch.cat([x[i].permute(1, 2, 0).reshape(-1, 4) for x in deltas])[place // len(CLASSES)]
            anchor = anchors[place // len(CLASSES)]
            expected = model.bbox_head.bbox_coder.decode(anchor[None], mine[None], max_shape=(64, 64))[0]
            torch.testing.assert_close(box, expected)


def binary_kl(teacher_rows, student_rows, temperature):
    p, q = (torch.sigmoid(x.double() / temperature) for x in (teacher_rows, student_rows))
    return temperature**2 * (p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log())


@pytest.mark.parametrize('temperature', quick([1.0, 2.0], 2.0))
def test_what_is_compared_of_a_grid(temperature):
    """The anchors where the teachers together see most, weighed by how surely; of each class a binary divergence."""
    model = model_of('RetinaNet')
    data = batch_of('RetinaNet', model, sizes=[(96, 96)] * 3)
    teachers = dict(a=teacher('RetinaNet'), b=teacher('RetinaNet'), c=teacher('Faster R-CNN'))
    weights = FixedWeighting(weights=dict(a=0.3, b=0.5, c=0.2))
    distiller, _, lesson = ask(model, teachers, data, weights, temperature=temperature)
    assert distiller.incomparable['c'] is not None
    with torch.no_grad():
        ours = rows_by_hand(model, data['inputs'])
        theirs = [rows_by_hand(each.model, data['inputs']) for each in distiller.teachers[:2]]
    assert ours.shape[1] > 2 * PLACES
    expected = torch.zeros(3, 3)
    for i in range(3):
        surely = sum(rows[i].sigmoid().max(dim=1).values for rows in theirs)
        places = surely.argsort(descending=True)[:PLACES]
        share = surely[places] / surely[places].sum()
        for m, rows in enumerate(theirs):
            divergences = binary_kl(rows[i][places], ours[i][places], temperature).sum(dim=1)
            expected[i, m] = (share * divergences).sum()
    found = lesson.feedback.knowledge.logit
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-6)
    # nobody's logits are there of c, so a and b share its weight
    decided = lesson.feedback.decision
    torch.testing.assert_close(decided.logit[0], torch.tensor([0.375, 0.625, 0.0]))
    torch.testing.assert_close(decided.feature[0], torch.tensor([0.3, 0.5, 0.2]))
    loss = (torch.tensor([0.375, 0.625, 0.0]) * expected).sum(dim=1).mean()
    torch.testing.assert_close(lesson.losses['loss_kd_logit'], loss, rtol=1e-3, atol=1e-6)
    divergence = lesson.feedback.state.divergence
    assert (divergence[:, :2] > 0).all()
    assert not divergence[:, 2].any()


def other_scales(name):
    return teacher(name, bbox_head__anchor_generator__octave_base_scale=8)


CORRESPONDING = {
    'the same head': ('RetinaNet', lambda: teacher('RetinaNet'), True),
    'other anchors': ('RetinaNet', lambda: other_scales('RetinaNet'), False),
    'points and nine anchors': ('FCOS', lambda: teacher('RetinaNet'), False),
    'points and one anchor': ('FCOS', lambda: teacher('ATSS'), True),
    'one anchor, whatever its shape': ('ATSS', lambda: other_scales('ATSS'), True),
    'fewer levels': (
        'FCOS',
        lambda: (
            teacher('FCOS', neck__num_outs=4, bbox_head__strides=[8, 16, 32, 64])
            | dict(cfg_options={'model.bbox_head.regress_ranges': ((-1, 64), (64, 128), (128, 256), (256, 1e8))})
        ),
        False,
    ),
    'softmax and sigmoid': (
        'RetinaNet',
        lambda: teacher('RetinaNet', bbox_head__loss_cls=dict(_delete_=True, type='CrossEntropyLoss')),
        False,
    ),
    'stages': ('Faster R-CNN', lambda: teacher('RetinaNet'), False),
    'stages the other way': ('RetinaNet', lambda: teacher('Faster R-CNN'), False),
    'regions': ('Faster R-CNN', lambda: teacher('Mask R-CNN'), True),
    'regions of a cascade': ('Faster R-CNN', lambda: teacher('Cascade R-CNN'), True),
    'a cascade as student': ('Cascade R-CNN', lambda: teacher('Faster R-CNN'), True),
    'queries': ('DETR', lambda: teacher('DETR'), False),
    'queries of a teacher': ('RetinaNet', lambda: teacher('DETR'), False),
}


@pytest.mark.parametrize('case', CORRESPONDING)
def test_which_logits_correspond(case):
    name, entry, same = CORRESPONDING[case]
    model = model_of(name)
    distiller = distiller_of(model, dict(t=entry(), u=teacher(name) if name != 'DETR' else teacher('FCOS')))
    assert (distiller.incomparable['t'] is None) == same
    if name != 'DETR':
        assert distiller.incomparable['u'] is None
        assert distiller.kinds == ('logit', 'feature')
    else:
        assert distiller.kinds == ('feature',)


def test_a_softmax_grid_leaves_the_background_where_it_is():
    loss = dict(_delete_=True, type='CrossEntropyLoss', use_sigmoid=False)
    model = model_of('RetinaNet', bbox_head__loss_cls=loss)
    data = batch_of('RetinaNet', model)
    entry = teacher('RetinaNet', bbox_head__loss_cls=loss, classes_named=('fish', 'car', 'cat'))
    _, _, lesson = ask(model, dict(t=entry), data, classes=CLASSES)
    state = lesson.feedback.state
    ours = state.student.logits[:, :, [0, 3, 4]]  # cat, fish, and the background after all classes
    theirs = state.teachers[0].logits[:, :, [2, 0, 3]]
    for i in range(3):
        surely = 1 - theirs[i].softmax(dim=1)[:, -1]
        places = surely.argsort(descending=True)[:PLACES]
        each = F.kl_div(ours[i][places].log_softmax(1), theirs[i][places].softmax(1), reduction='none').sum(1)
        expected = (each * surely[places]).sum() / surely[places].sum()
        torch.testing.assert_close(lesson.feedback.knowledge.logit[i, 0], expected, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize('student', ['DETR', 'RetinaNet'])
def test_no_logits_and_no_features_is_an_error(student):
    with pytest.raises(MTKDError) as error:
        distiller_of(model_of(student), dict(big=teacher('DETR')), feature=None)
    assert 'no logits correspond (big: ' in str(error.value)
    assert 'set a feature_loss' in str(error.value)
    assert '\n' not in str(error.value)


# ---- logits on regions


@pytest.mark.parametrize(
    ('student', 'of'),
    [('Faster R-CNN', 'Faster R-CNN'), ('Faster R-CNN', 'Cascade R-CNN'), ('Cascade R-CNN', 'Mask R-CNN')],
)
def test_a_second_stage_is_asked_about_the_students_regions(student, of):
    """Pictures with different numbers of regions; the teacher's extractor and head called by hand."""
    model = model_of(student)
    data = batch_of(of, model)
    distiller = distiller_of(model, dict(t=teacher(of)), temperature=2.0)
    extractor, head = model.roi_head.bbox_roi_extractor, model.roi_head.bbox_head
    if student == 'Cascade R-CNN':
        extractor, head = extractor[0], head[0]
    regions, said = [], []
    extractor.register_forward_hook(lambda module, args, output: regions.append(args[1].detach()))
    head.register_forward_hook(lambda module, args, output: said.append(output[0].detach()))
    _, lesson = lesson_of(distiller, data)
    rois, ours = regions[0], said[0]  # of the student's own forward pass
    counts = torch.bincount(rois[:, 0].long(), minlength=3).tolist()
    assert len(set(counts)) > 1
    roi_head = distiller.teachers[0].model.roi_head
    with torch.no_grad():
        features = distiller.teachers[0].model.extract_feat(data['inputs'])
        theirs_extractor, theirs_head = roi_head.bbox_roi_extractor, roi_head.bbox_head
        if of == 'Cascade R-CNN':
            theirs_extractor, theirs_head = theirs_extractor[0], theirs_head[0]
        theirs, _ = theirs_head(theirs_extractor(features[: theirs_extractor.num_inputs], rois))
    state = lesson.feedback.state
    for i in range(3):
        mine = rois[:, 0] == i
        torch.testing.assert_close(state.teachers[0].logits[i, : counts[i]], theirs[mine])
        torch.testing.assert_close(state.student.logits[i, : counts[i]], ours[mine])
        surely = 1 - theirs[mine].softmax(dim=1)[:, -1]
        p, q = (x[mine].div(2).softmax(dim=1).double() for x in (theirs, ours))
        expected = 4 * ((surely / surely.sum())[:, None] * p * (p / q).log()).sum()
        torch.testing.assert_close(lesson.feedback.knowledge.logit[i, 0].double(), expected, rtol=1e-3, atol=1e-6)


# ---- teachers that break


def break_it(module, args, output):
    return [x * float('nan') for x in output[0]], *output[1:]


def test_a_broken_teacher_has_no_say_in_what_is_compared():
    """With it in the pool, the others teach what they teach without it, at the same places."""
    model = model_of('RetinaNet')
    data = batch_of('RetinaNet', model, sizes=[(96, 96)] * 3)
    weights = dict(weights=dict(a=0.5, b=0.5))
    alone, _, expected = ask(model, dict(a=teacher('RetinaNet')), data, FixedWeighting(weights=dict(a=1.0)))
    distiller = distiller_of(
        model, dict(a=teacher('RetinaNet'), b=teacher('RetinaNet')), FixedWeighting(**weights), guard=Guard()
    )
    distiller.teachers[1].model.bbox_head.register_forward_hook(break_it)
    _, lesson = lesson_of(distiller, data)
    assert len(alone.teachers) == 1
    assert lesson.feedback.state.present.tolist() == [True, False]
    torch.testing.assert_close(lesson.losses, expected.losses)
    torch.testing.assert_close(lesson.feedback.knowledge.logit[:, 0], expected.feedback.knowledge.logit[:, 0])


def test_a_teacher_that_is_dropped_does_not_mind_other_sizes():
    model = model_of('RetinaNet')
    weights = FixedWeighting(weights=dict(a=0.5, b=0.5))
    entries = dict(a=teacher('RetinaNet'), b=teacher('RetinaNet'))
    distiller = distiller_of(model, entries, weights, guard=Guard(drop_after=1), live=AS_IT_IS)
    ran = []
    distiller.teachers[1].model.bbox_head.register_forward_hook(break_it)
    distiller.teachers[1].model.backbone.register_forward_hook(lambda *args: ran.append(1))
    lesson_of(distiller, batch_of('RetinaNet', model))
    assert distiller.guard.read().dropped == ['b']
    for sizes in ((96, 64), (64, 128), (64, 64)):
        data = batch_of('RetinaNet', model, counts=(3, 1), sizes=[sizes] * 2)
        _, lesson = lesson_of(distiller, data)
        assert lesson.feedback.state.present.tolist() == [True, False]
        assert all(torch.isfinite(loss) for loss in lesson.losses.values())
        assert lesson.losses['loss_kd_logit'] > 0
        assert torch.isfinite(ENCODINGS['compact'](lesson.feedback.state)).all()
    assert len(ran) == 1


# ---- weight zero


def gradients_of(name, data_of, *hooks):
    model = model_of(name, norm_eval=False)
    data = data_of(model)
    torch.manual_seed(0)
    if hooks:
        losses, lesson = ask(model, dict(own=teacher(name), other=teacher(hooks[0])), data, hooks[1])[1:]
        losses = {**losses, **lesson.losses}
        assert not any(float(loss) for loss in lesson.losses.values())
    else:
        losses = model(**data, mode='loss')
    sum_of(losses).backward()
    return {key: value.grad for key, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize(('name', 'other'), [('FCOS', 'RetinaNet'), ('Mask R-CNN', 'Cascade R-CNN'), ('DETR', 'DINO')])
def test_weight_zero_leaves_the_students_own_gradients(name, other):
    """Bit by bit, that is, also summed in the same order."""

    def data_of(model):
        return batch_of(name, model, counts=(3, 2), sizes=None)

    zeros = FixedWeighting(weights=dict(own=0.0, other=0.0))
    plain, hooked = gradients_of(name, data_of), gradients_of(name, data_of, other, zeros)
    assert [key for key in plain if not torch.equal(plain[key], hooked[key])] == []


# ---- classes by name


def test_other_classes_are_those_of_the_same_name():
    """A teacher with the classes in another order, and one whose last layer was put in order by hand, say the same."""
    order = [2, 0, 3, 1]
    names = [CLASSES[i] for i in order]
    model = model_of('RetinaNet')
    data = batch_of('RetinaNet', model)
    _, _, named = ask(model, dict(t=teacher('RetinaNet', classes_named=names)), data, classes=CLASSES)
    distiller = distiller_of(model, dict(t=teacher('RetinaNet')), classes=CLASSES)
    layer = distiller.teachers[0].model.bbox_head.retina_cls
    columns = [9 * [0] for _ in CLASSES]
    for anchor in range(9):
        for theirs, ours in enumerate(order):
            columns[ours][anchor] = anchor * 4 + theirs
    places = [columns[c][anchor] for anchor in range(9) for c in range(4)]
    layer.weight.data, layer.bias.data = layer.weight.data[places], layer.bias.data[places]
    _, by_hand = lesson_of(distiller, data)
    torch.testing.assert_close(named.losses, by_hand.losses, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(named.feedback.state.teacher_loss, by_hand.feedback.state.teacher_loss)
    _, _, unnamed = ask(model, dict(t=teacher('RetinaNet')), data, classes=CLASSES)
    assert not torch.allclose(named.losses['loss_kd_logit'], unnamed.losses['loss_kd_logit'])


def test_some_classes_in_common():
    """Only these are compared, and only their objects are what the teacher is judged by."""
    names = ('car', 'fish', 'dog')
    model = model_of('FCOS')
    data = batch_of('FCOS', model, counts=(4, 4, 4), sizes=None)
    distiller, _, lesson = ask(model, dict(t=teacher('FCOS', classes_named=names)), data, classes=CLASSES)
    state = lesson.feedback.state
    ours, theirs = state.student.logits[:, :, [1, 3]], state.teachers[0].logits[:, :, [2, 1]]
    surely = theirs.sigmoid().amax(dim=2)  # fewer than PLACES
    each = binary_kl(theirs, ours, 1.0).sum(dim=2).float()
    expected = (surely * each).sum(dim=1) / surely.sum(dim=1)
    torch.testing.assert_close(lesson.feedback.knowledge.logit[:, 0], expected, rtol=1e-3, atol=1e-6)
    samples = copy.deepcopy(data['data_samples'])
    left = 0
    for sample in samples:
        found = [(i, names.index(CLASSES[k])) for i, k in enumerate(sample.gt_instances.labels) if CLASSES[k] in names]
        sample.gt_instances = sample.gt_instances[[i for i, _ in found]]
        sample.gt_instances.labels = torch.tensor([k for _, k in found], dtype=torch.long)
        left += len(found)
    assert 0 < left < 12
    losses = [
        dense.alone(distiller.teachers[0].model, dict(inputs=data['inputs'], data_samples=samples), i) for i in range(3)
    ]
    torch.testing.assert_close(state.teacher_loss[:, 0], torch.stack(losses), rtol=1e-4, atol=1e-5)


def test_relabelled_objects_keep_their_boxes_and_masks():
    model = model_of('Mask R-CNN')
    (sample, _) = detected(model, counts=(4, 1), masks=True)['data_samples']
    sample.gt_instances.labels = torch.tensor([0, 3, 1, 3])
    sample.ignored_instances = copy.deepcopy(sample.gt_instances)
    boxes, masks = sample.gt_instances.bboxes.clone(), sample.gt_instances.masks.masks.copy()
    entry = teacher('Faster R-CNN', classes_named=('bus', 'cat', 'car', 'van', 'tram', 'fish'))
    distiller = distiller_of(model, dict(t=entry), classes=CLASSES)
    distiller.task.relabel(sample, distiller.teachers[0])
    for instances in (sample.gt_instances, sample.ignored_instances):
        assert instances.labels.tolist() == [1, 5, 5]
        assert torch.equal(instances.bboxes, boxes[[0, 1, 3]])
        assert (instances.masks.masks == masks[[0, 1, 3]]).all()


def test_no_class_in_common_is_an_error_that_lists_both():
    with pytest.raises(MTKDError) as error:
        distiller_of(
            model_of('RetinaNet'), dict(big=teacher('Faster R-CNN', classes_named=('car', 'bus'))), classes=CLASSES
        )
    assert 'teacher big' in str(error.value)
    assert 'car, bus' in str(error.value)
    assert ', '.join(CLASSES) in str(error.value)


def test_another_number_of_unknown_classes_is_an_error():
    with pytest.raises(MTKDError, match='teacher big has 7 classes, the student 4, and which are which is not known'):
        distiller_of(model_of('RetinaNet'), dict(big=teacher('Faster R-CNN', classes=7)))


def test_pictures_are_not_resized_for_a_teacher():
    with pytest.raises(MTKDError, match=r'teacher t: .*boxes are those of the student; leave input_size out'):
        distiller_of(model_of('RetinaNet'), dict(t=teacher('RetinaNet', input_size=96)))


def test_a_classifier_is_no_teacher_of_a_detector():
    with pytest.raises(MTKDError, match='teacher t is a Counting; a student of the task Detection'):
        distiller_of(model_of('RetinaNet'), dict(t=runs.counting()))


# ---- features


def test_levels_of_one_size_are_compared():
    """A student from stride 8 to 128, teachers from 4 to 64, of one level, and wider; the mean over levels."""
    model = model_of('RetinaNet')
    data = batch_of('RetinaNet', model, sizes=[(128, 128)] * 3)
    wider = {
        'neck.out_channels': 24,
        'rpn_head.in_channels': 24,
        'roi_head.bbox_roi_extractor.out_channels': 24,
        'roi_head.bbox_head.in_channels': 24,
    }
    entries = dict(
        detr=teacher('DETR'),
        faster=teacher('Faster R-CNN') | dict(cfg_options={f'model.{key}': x for key, x in wider.items()}),
        fcos=teacher('FCOS'),
    )
    distiller, _, lesson = ask(model, entries, data)
    with torch.no_grad():
        ours = model.extract_feat(data['inputs'])
        pairs = dict(detr=[(2, 0)], faster=[(0, 1), (1, 2), (2, 3), (3, 4)], fcos=[(i, i) for i in range(5)])
        for m, each in enumerate(distiller.teachers):
            seen = convert(data['inputs'], distiller.source, each.contract)
            theirs = each.model.extract_feat(seen)
            assert len(distiller.adapters[m]) == len(pairs[each.name])
            losses = []
            for adapter, (i, j) in zip(distiller.adapters[m], pairs[each.name]):
                assert ours[i].shape[2:] == theirs[j].shape[2:]
                assert adapter.layer.out_channels == (24 if each.name == 'faster' else 16)
                mine = F.conv2d(ours[i], adapter.layer.weight, adapter.layer.bias)
                losses.append((mine - theirs[j]).square().mean(dim=(1, 2, 3)))
            expected = torch.stack(losses).mean(dim=0)
            torch.testing.assert_close(lesson.feedback.knowledge.feature[:, m], expected, rtol=1e-4, atol=1e-5)


def test_named_layers_are_what_is_compared():
    model = model_of('RetinaNet')
    data = batch_of('RetinaNet', model)
    entries = dict(t=teacher('RetinaNet', layer='backbone.layer3'))
    distiller, _, lesson = ask(model, entries, data, student_layer='backbone.layer2')
    state = lesson.feedback.state
    with torch.no_grad():
        ours, theirs = model.backbone(data['inputs'])[1], distiller.teachers[0].model.backbone(data['inputs'])[2]
    assert torch.equal(state.student.feature[0], ours)
    assert torch.equal(state.teachers[0].feature[0], theirs)
    assert len(state.student.feature) == len(distiller.adapters[0]) == 1
    mine = distiller.adapters[0][0].layer(F.avg_pool2d(ours, 2))
    torch.testing.assert_close(lesson.feedback.knowledge.feature[:, 0], (mine - theirs).square().mean(dim=(1, 2, 3)))
    assert lesson.losses['loss_kd_logit'] > 0


@pytest.mark.parametrize('loss', ['ChannelWiseKL', 'PKD', 'Cosine'])
def test_other_feature_losses(loss):
    model = model_of('RetinaNet')
    _, _, lesson = ask(model, dict(t=teacher('Faster R-CNN')), batch_of('RetinaNet', model), feature=loss)
    assert torch.isfinite(lesson.feedback.knowledge.feature).all()
    assert lesson.feedback.knowledge.feature.shape == (3, 1)
    lesson.losses['loss_kd_feature'].backward()
    assert model.backbone.conv1.weight.grad.any()


def test_a_loss_that_wants_labels_is_refused():
    model = model_of('RetinaNet')
    with pytest.raises(MTKDError, match='DKD needs a label for every row of logits; a detector has none: use KD'):
        ask(model, dict(t=teacher('RetinaNet')), batch_of('RetinaNet', model), logit='DKD')


# ---- state and credit


def cosine(a, b):
    return sum((x * y).sum() for x, y in zip(a, b)) / (
        sum(x.square().sum() for x in a).sqrt() * sum(x.square().sum() for x in b).sqrt()
    )


@pytest.mark.parametrize('name', ['RetinaNet', 'Faster R-CNN'])
def test_credit_is_the_cosine_of_gradients(name):
    """Of the sum of the student's losses and of what a teacher's loss on one picture pulls, picture by picture."""
    model = model_of(name)
    data = batch_of(name, model, counts=(3, 2, 1))
    distiller = distiller_of(model, dict(a=teacher(name), b=teacher('DETR')), PPOWeighting(rollout=4, batch_size=4))
    head = model.bbox_head if name == 'RetinaNet' else model.roi_head.bbox_head
    points, rois = [], []
    handles = [head.register_forward_hook(lambda module, args, output: points.append(output[0]))]
    if name == 'Faster R-CNN':
        extractor = model.roi_head.bbox_roi_extractor
        handles.append(extractor.register_forward_hook(lambda module, args, output: rois.append(args[1])))
    distiller.student_taps.start()
    features = []
    handles.append(model.neck.register_forward_hook(lambda module, args, output: features.append(output)))
    own = model(**data, mode='loss')
    for handle in handles:
        handle.remove()
    given, outputs = [], distiller.task.outputs
    distiller.task.outputs = lambda *args: given.append(outputs(*args)) or given[-1]
    observed = distiller.observe(**data, losses=own, wants_credit=True)
    assert set(observed.credit) == {'logit', 'feature'}
    # what a teacher pulls at one level alone: the way from a level back to another, as in extra levels, is left out
    taught = given[0][0].feature
    assert all(torch.equal(x, y) for x, y in zip(taught, features[0], strict=True))
    logits = points[0] if isinstance(points[0], list | tuple) else [points[0]]
    for kind, at in (('logit', logits), ('feature', features[0])):
        columns = getattr(observed.knowledge, kind)
        task = torch.autograd.grad(sum_of(own), at, retain_graph=True, allow_unused=True)
        task = [torch.zeros_like(x) if g is None else g for x, g in zip(at, task)]
        for m, i in itertools.product(range(2), range(3)):
            found = observed.credit[kind].alignment[i, m]
            if kind == 'logit' and m == 1:
                assert found == 0
                continue
            pulled = at if kind == 'logit' else taught
            pulls = torch.autograd.grad(columns[i, m], pulled, retain_graph=True, allow_unused=True)
            pulls = [torch.zeros_like(x) if g is None else g for x, g in zip(at, pulls)]

            def of_picture(gradients, i=i, kind=kind):
                if rois and kind == 'logit':
                    return [g[rois[0][:, 0] == i] for g in gradients]
                return [g[i] for g in gradients]

            torch.testing.assert_close(
                found, cosine(of_picture(task), of_picture(pulls)).detach(), rtol=1e-3, atol=1e-4
            )
            assert found != 0
        assert observed.credit[kind].effect is None


@pytest.mark.parametrize('name', ['RetinaNet', 'Faster R-CNN'])
def test_what_the_agent_sees(name):
    model = model_of(name)
    data = batch_of(name, model)
    _, _, lesson = ask(model, dict(a=teacher(name), b=teacher('DETR')), data)
    state = lesson.feedback.state
    assert state.comparable.tolist() == [True, False]
    assert state.present.all()
    assert state.target is None
    seen = ENCODINGS['compact'](state)
    assert seen.shape == (3, 2, 8)
    assert torch.isfinite(seen).all()
    assert not seen[:, 1, [2, 5, 7]].any()  # entropies and divergence, without logits
    assert ((seen[:, :, [1, 2, 4, 5]] >= 0) & (seen[:, :, [1, 2, 4, 5]] <= 1)).all()
    torch.testing.assert_close(seen[:, 1, 1], torch.exp(-state.teacher_loss[:, 1]))
    told = ENCODINGS['paper'](state)
    assert torch.isfinite(told).all()
    assert len(told.unique(dim=0)) == 3
    torch.testing.assert_close(need_of(state, torch.tensor(2.0)), 1 - torch.exp(-state.student.task_loss / 2))
    assert ((state.similarity >= -1.001) & (state.similarity <= 1.001)).all()
    assert not any(x.requires_grad for x in runs.tensors(tuple(state)))


def test_groups_are_the_class_of_most_objects():
    model = model_of('RetinaNet')
    data = detected(model, counts=(5, 0, 1))
    first, _, last = data['data_samples']
    first.gt_instances.labels = torch.tensor([1, 2, 2, 0, 2])
    last.gt_instances.labels = torch.tensor([3])
    distiller, _, lesson = ask(model, dict(t=teacher('RetinaNet')), data)
    assert lesson.feedback.state.group.tolist() == [2, 4, 3]
    assert distiller.task.groups == 5


# ---- bad input


def widened(data):
    """A box that lies half outside its picture, one that lies there wholly, and one of a hair's width."""
    data['data_samples'][0].gt_instances.bboxes = torch.tensor(
        [[40.0, 40.0, 200.0, 200.0], [90.0, -80.0, 120.0, -20.0], [10.0, 10.0, 10.01, 30.0]]
    )
    return data


BATCHES = {
    'a box outside': lambda name, model: widened(batch_of(name, model)),
    'no object at all': lambda name, model: batch_of(name, model, counts=(0, 0), sizes=None),
    'one picture': lambda name, model: batch_of(name, model, counts=(2,), sizes=None),
    'one picture without objects': lambda name, model: batch_of(name, model, counts=(0,), sizes=None),
    'other sizes': lambda name, model: batch_of(name, model, sizes=((49, 64), (96, 48), (48, 48))),
}


@pytest.mark.parametrize('case', BATCHES)
@pytest.mark.parametrize('name', quick(ALL, 'RetinaNet', 'Faster R-CNN'))
def test_batches_that_are_seldom_seen(name, case):
    """A whole step is finite, and the student learns of it."""
    model = model_of(name)
    strategy = PPOWeighting(rollout=2, batch_size=2)
    entries = dict(a=teacher(name), b=teacher('Faster R-CNN'))
    distiller = distiller_of(model, entries, strategy, logit_weight=None, feature_weight=None, guard=Guard())
    for _ in range(2):
        own, lesson = lesson_of(distiller, BATCHES[case](name, model))
        state = lesson.feedback.state
        assert state.present.all()
        for x in (*runs.tensors(tuple(state)), *runs.tensors(lesson.losses)):
            assert torch.isfinite(x.float()).all()
        for credit in lesson.feedback.credit.values():
            assert torch.isfinite(credit.alignment).all()
        assert torch.isfinite(ENCODINGS['compact'](state)).all()
        model.zero_grad()
        (sum_of(own) + sum(lesson.losses.values())).backward()
        assert all(torch.isfinite(x.grad).all() for x in model.parameters() if x.grad is not None)
        assert torch.isfinite(torch.as_tensor(strategy.learn(lesson.feedback)['reward/mean']))
    assert lesson.losses['loss_kd_feature'] > 0


def test_only_detectors_are_accepted():
    assert Detection.accepts(model_of('RetinaNet'))
    assert not Detection.accepts(model_of('PSPNet'))
    assert not Detection.accepts(nn.Linear(2, 2))
    assert scores_of(model_of('DETR')) is None
