"""Segmenters of every kind, made tiny, as students and teachers: against their own losses, heads and hand-made sums."""

import copy
import itertools

import dense
import pytest
import runs
import torch
from dense import AS_IT_IS, CLASSES, distiller_of, lesson_of, model_of, segmented, sum_of, teacher
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch import nn
from torch.nn import functional as F

from mtkd_rl.errors import MTKDError
from mtkd_rl.guard import Guard, need_of
from mtkd_rl.rl.state import ENCODINGS
from mtkd_rl.rng import random_state
from mtkd_rl.tasks import Segmentation
from mtkd_rl.tasks.segmentation import semantic_logits
from mtkd_rl.weighting import FixedWeighting, PPOWeighting

ALL = ('PSPNet', 'FCN', 'EMANet', 'OCRNet', 'Mask2Former')
FEW = [name if name in ('PSPNet', 'Mask2Former') else pytest.param(name, marks=pytest.mark.slow) for name in ALL]
STRIDE_16 = dict(backbone__strides=(1, 2, 2, 1), backbone__dilations=(1, 1, 1, 2))
SIGMOID = dict(type='CrossEntropyLoss', use_sigmoid=True)
BINARY = dict(
    classes=2,
    decode_head__out_channels=1,
    decode_head__threshold=0.3,
    decode_head__loss_decode=SIGMOID,
    auxiliary_head=None,
)


def ask(model, teachers, data, strategy=None, **options):
    distiller = distiller_of(model, teachers, strategy, **options)
    return (distiller, *lesson_of(distiller, data))


def scores_of(model, data):
    """What a copy of a model's last head says of a batch, in the mode that the model is in."""
    whole = copy.deepcopy(model)
    with torch.no_grad():
        features = whole.extract_feat(data['inputs'])
        if not isinstance(whole.decode_head, nn.ModuleList):
            return whole.decode_head.forward(features)
        first, last = whole.decode_head
        return last.forward(features, first.forward(features))


def coarse_labels(data, side=8):
    """Labels ``(B, side, side)`` of maps that are made of 8 by 8 blocks."""
    maps = torch.stack([sample.gt_sem_seg.data[0] for sample in data['data_samples']])
    step = maps.shape[1] // side
    return maps[:, ::step, ::step]


# ---- the loss by image


@pytest.mark.parametrize('name', FEW)
def test_a_picture_has_the_loss_that_it_has_alone(name):
    """Of student and teacher: that of the whole model on this picture, by its saved statistics, and no dropout."""
    dropping = {} if name == 'Mask2Former' else dict(auxiliary_head__dropout_ratio=0.5)
    if name in ('PSPNet', 'FCN', 'EMANet'):
        dropping['decode_head__dropout_ratio'] = 0.5
    if name == 'OCRNet':
        dropping = {}
    model = model_of(name, **dropping)
    data = segmented(model, 3, void=[1])
    distiller, _, lesson = ask(model, dict(t=teacher(name, **dropping)), data)
    for whose, found in (
        (model, lesson.feedback.state.student.task_loss),
        (distiller.teachers[0].model, lesson.feedback.state.teacher_loss[:, 0]),
    ):
        expected = torch.stack([dense.alone(whose, data, i) for i in range(3)])
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert len(found.unique()) == 3
    if name == 'PSPNet':
        assert any(isinstance(x, nn.Dropout2d) and x.p == 0.5 for x in model.auxiliary_head.modules())


def test_an_auxiliary_head_counts():
    """It is part of the loss, as it is in training, but not of the logits."""
    model = model_of('PSPNet')
    data = segmented(model)
    _, own, lesson = ask(model, dict(t=teacher('FCN')), data)
    assert {name for name in own if 'loss' in name} == {'decode.loss_ce', 'aux.loss_ce'}
    with torch.no_grad():
        for weight in (model.auxiliary_head.conv_seg.weight, model.auxiliary_head.conv_seg.bias):
            weight.zero_()
    _, _, blank = ask(model, dict(t=teacher('FCN')), data)
    assert not torch.allclose(lesson.feedback.state.student.task_loss, blank.feedback.state.student.task_loss)
    torch.testing.assert_close(lesson.feedback.knowledge.logit, blank.feedback.knowledge.logit)


# ---- nothing changes


def portrait(model):
    own = vars(nn.Module()).keys() - {'training'}
    return copy.deepcopy(
        dict(
            state=dict(model.state_dict()),
            learns=[x.requires_grad for x in model.parameters()],
            books={
                (name, key): value
                for name, module in model.named_modules()
                for key, value in vars(module).items()
                if key not in own and isinstance(value, int | float | str | list | torch.Tensor | type(None))
            },
        )
    )


@pytest.mark.parametrize('name', ['PSPNet', 'EMANet', 'Mask2Former'])
@pytest.mark.parametrize('fail', [False, True])
def test_nothing_changes_by_asking(name, fail):
    model = model_of(name, norm_eval=False)
    data = segmented(model, 3)
    distiller = distiller_of(model, dict(t=teacher(name, norm_eval=False)), live=AS_IT_IS)
    (of,) = distiller.teachers
    before = portrait(of.model)
    if fail:

        def raises(module, args, output):
            raise ZeroDivisionError

        (of.model.decode_head if name == 'Mask2Former' else of.model.decode_head.conv_seg).register_forward_hook(raises)
    distiller.student_taps.start()
    own = model(**data, mode='loss')
    ours, states = portrait(model), random_state()
    if fail:
        with pytest.raises(MTKDError, match=r'teacher t: .*ZeroDivisionError'):
            distiller.lesson(**data, losses=own, factor=1.0)
    else:
        distiller.lesson(**data, losses=own, factor=1.0)
    assert runs.same(states, random_state())
    assert runs.same(ours, portrait(model))
    assert runs.same(before, portrait(of.model))


def test_bases_do_move():
    """So that the test above can fail."""
    model = model_of('EMANet')
    before = model.decode_head.ema_module.bases.clone()
    model(**segmented(model), mode='loss')
    assert not torch.equal(before, model.decode_head.ema_module.bases)


# ---- logits


@pytest.mark.parametrize('name', [name for name in ALL if name != 'Mask2Former'])
def test_logits_are_what_the_last_head_says(name):
    model = model_of(name)
    data = segmented(model)
    expected = scores_of(model, data)
    distiller, _, lesson = ask(model, dict(t=teacher(name)), data)
    state = lesson.feedback.state
    torch.testing.assert_close(state.student.logits, expected)
    (of,) = distiller.teachers
    found = state.teachers[0].logits
    torch.testing.assert_close(found, scores_of(of.model, data), rtol=1e-4, atol=1e-5)
    with torch.no_grad():
        whole = of.model.encode_decode(data['inputs'], [sample.metainfo for sample in data['data_samples']])
    torch.testing.assert_close(F.interpolate(found, (64, 64), mode='bilinear'), whole, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('temperature', [1.0, 2.0])
@pytest.mark.parametrize('stride', [{}, STRIDE_16], ids=['8', '16'])
def test_what_is_compared_of_pixels(temperature, stride):
    """A divergence at each labelled pixel of the student's grid, the teacher's scores resized to it; their mean."""
    model = model_of('PSPNet')
    data = segmented(model)
    teachers = dict(a=teacher('FCN', **stride), b=teacher('OCRNet'))
    weights = FixedWeighting(weights=dict(a=0.3, b=0.7))
    distiller = distiller_of(model, teachers, weights, temperature=temperature)
    ours = scores_of(model, data).double()
    _, lesson = lesson_of(distiller, data)
    theirs = scores_of(distiller.teachers[0].model, data)
    assert theirs.shape[2] == (4 if stride else 8)
    theirs = F.interpolate(theirs, (8, 8), mode='bilinear', align_corners=False).double()
    labels = coarse_labels(data)
    known = labels != 255
    assert 0 < known.sum() < known.numel()
    p, q = (x.div(temperature).softmax(dim=1) for x in (theirs, ours))
    each = temperature**2 * (p * (p / q).log()).sum(dim=1)
    expected = torch.stack([each[i][known[i]].mean() for i in range(2)]).float()
    torch.testing.assert_close(lesson.feedback.knowledge.logit[:, 0], expected, rtol=1e-3, atol=1e-6)
    loss = (lesson.feedback.knowledge.logit * torch.tensor([0.3, 0.7])).sum(dim=1).mean()
    torch.testing.assert_close(lesson.losses['loss_kd_logit'].detach(), loss)


def test_void_pixels_have_no_part_in_it():
    """Whatever the student says there, loss, state and gradient are the same."""
    model = model_of('FCN')
    data = segmented(model)
    void = (coarse_labels(data) == 255)[:, None].expand(-1, len(CLASSES), -1, -1)
    noise = torch.zeros(2, len(CLASSES), 8, 8, requires_grad=True)

    def speak(module, args, output):
        return output + noise if len(output) == len(noise) else output  # not picture by picture

    model.decode_head.conv_seg.register_forward_hook(speak)
    distiller = distiller_of(model, dict(t=teacher('FCN')), feature=None)
    _, calm = lesson_of(distiller, data)
    (pull,) = torch.autograd.grad(calm.losses['loss_kd_logit'], noise)
    assert not pull[void].any()
    assert pull[~void].all()
    with torch.no_grad():
        noise[void] = 7 * torch.randn(int(void.sum()))
    _, loud = lesson_of(distiller, data)
    torch.testing.assert_close(calm.losses, loud.losses)
    one, other = calm.feedback.state, loud.feedback.state
    assert not torch.allclose(one.student.logits, other.student.logits)
    torch.testing.assert_close(one.divergence, other.divergence)
    seen = [ENCODINGS['compact'](state)[:, :, [1, 2, 4, 5, 7]] for state in (one, other)]
    torch.testing.assert_close(*seen)


def test_void_is_what_the_student_ignores():
    """Of a student that ignores the background, class 0."""
    model = model_of('FCN', decode_head__ignore_index=0)
    data = segmented(model)
    for sample in data['data_samples']:
        sample.gt_sem_seg.data[sample.gt_sem_seg.data == 255] = 0
    _, _, lesson = ask(model, dict(t=teacher('FCN')), data)
    ours, theirs = scores_of(model, data), lesson.feedback.state.teachers[0].logits
    p, q = theirs.softmax(dim=1), ours.softmax(dim=1)
    each, known = (p * (p / q).log()).sum(dim=1), coarse_labels(data) != 0
    expected = torch.stack([each[i][known[i]].mean() for i in range(2)])
    torch.testing.assert_close(lesson.feedback.knowledge.logit[:, 0], expected, rtol=1e-3, atol=1e-6)


def test_masks_with_classes_teach_what_they_predict():
    """The logits are the logarithm of what mmseg's own head predicts, on the grid of its masks."""
    model = model_of('PSPNet')
    data = segmented(model)
    distiller, _, lesson = ask(model, dict(t=teacher('Mask2Former')), data)
    (of,) = distiller.teachers
    metas = [dict(sample.metainfo, pad_shape=(16, 16), img_shape=(16, 16)) for sample in data['data_samples']]
    with torch.no_grad():
        predicted = of.model.decode_head.predict(of.model.extract_feat(data['inputs']), metas, of.model.test_cfg)
    assert predicted.shape == (2, len(CLASSES), 16, 16)
    found = lesson.feedback.state.teachers[0].logits
    torch.testing.assert_close(found, predicted.log(), rtol=1e-3, atol=1e-4)
    assert lesson.losses['loss_kd_logit'] > 0


def test_masks_with_classes_learn():
    """As a student, of its kind and of another."""
    model = model_of('Mask2Former')
    distiller, own, lesson = ask(model, dict(a=teacher('Mask2Former'), b=teacher('PSPNet')), segmented(model))
    assert distiller.kinds == ('logit', 'feature')
    assert (lesson.feedback.knowledge.logit > 0).all()
    assert not lesson.feedback.credit  # nobody wants it
    (sum_of(own) * 0 + lesson.losses['loss_kd_logit']).backward()
    assert model.decode_head.mask_embed[0].weight.grad.any()
    assert model.decode_head.cls_embed.weight.grad.any()


def test_semantic_logits_by_hand():
    classes = torch.tensor([[[0.0, 1.0, 2.0], [3.0, 0.0, 0.0]]])  # two queries, two classes and none
    masks = torch.tensor([[[[0.0]], [[2.0]]]])
    sigmoid = torch.sigmoid(torch.tensor(2.0))
    first, second = torch.softmax(classes[0, 0], 0), torch.softmax(classes[0, 1], 0)
    expected = (first[:2] * 0.5 + second[:2] * sigmoid).log()
    torch.testing.assert_close(semantic_logits(classes, masks)[0, :, 0, 0], expected)
    assert torch.isfinite(semantic_logits(classes, masks - 1e4)).all()


@pytest.mark.parametrize('of', ['two scores', 'one score'])
def test_a_single_score_is_the_second_class(of):
    """Binary segmentation with a sigmoid beside a softmax of two classes."""
    model = model_of('FCN', **BINARY)
    data = segmented(model, classes=2)
    entry = teacher('FCN', **BINARY) if of == 'one score' else teacher('FCN', classes=2)
    distiller = distiller_of(model, dict(t=entry))
    q = scores_of(model, data)[:, 0].sigmoid()
    _, lesson = lesson_of(distiller, data)
    theirs = scores_of(distiller.teachers[0].model, data)
    p = theirs.softmax(dim=1)[:, 1] if of == 'two scores' else theirs[:, 0].sigmoid()
    kl = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    known = coarse_labels(data) != 255
    expected = torch.stack([kl[i][known[i]].mean() for i in range(2)])
    torch.testing.assert_close(lesson.feedback.knowledge.logit[:, 0], expected, rtol=1e-3, atol=1e-6)
    state = lesson.feedback.state
    labels = coarse_labels(data)
    right = torch.where(labels == 1, p, 1 - p)
    expected = torch.stack([right[i][known[i]].mean() for i in range(2)])
    torch.testing.assert_close(ENCODINGS['compact'](state)[:, 0, 1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('student', [BINARY, dict(classes=2)], ids=['one score', 'two scores'])
@pytest.mark.parametrize('of', [BINARY, dict(classes=2)], ids=['by one score', 'by two scores'])
def test_two_classes_in_another_order(student, of):
    """Names go before columns, also where one column stands for both classes."""
    model = model_of('FCN', **student)
    data = segmented(model, classes=2)
    entry = teacher('FCN', **of) | dict(classes=('road', 'sky'))
    _, _, lesson = ask(model, dict(t=entry), data, classes=('sky', 'road'))
    state = lesson.feedback.state
    p, q = state.teachers[0].logits, state.student.logits
    p = p[:, 0].sigmoid() if p.shape[1] == 1 else p.softmax(dim=1)[:, 1]  # of the sky
    q = 1 - q[:, 0].sigmoid() if q.shape[1] == 1 else q.softmax(dim=1)[:, 0]
    kl = p * (p / q).log() + (1 - p) * ((1 - p) / (1 - q)).log()
    known = coarse_labels(data) != 255
    expected = torch.stack([kl[i][known[i]].mean() for i in range(2)])
    torch.testing.assert_close(lesson.feedback.knowledge.logit[:, 0], expected, rtol=1e-3, atol=1e-6)


def test_pixels_count_as_the_students_own_loss_counts_them():
    """By the weight of their class, in a mean."""
    given = [0.5 * (1 + c) for c in range(len(CLASSES))]
    model = model_of('FCN', decode_head__loss_decode=dict(type='CrossEntropyLoss', class_weight=given))
    data = segmented(model)
    _, _, lesson = ask(model, dict(t=teacher('PSPNet')), data)
    ours, theirs = scores_of(model, data), lesson.feedback.state.teachers[0].logits
    p, q = theirs.softmax(dim=1), ours.softmax(dim=1)
    labels = coarse_labels(data)
    known = labels != 255
    each = (p * (p / q).log()).sum(dim=1)
    counts = torch.tensor(given)[labels.clamp(max=len(CLASSES) - 1)] * known
    expected = (each * counts).sum(dim=(1, 2)) / counts.sum(dim=(1, 2))
    torch.testing.assert_close(lesson.feedback.knowledge.logit[:, 0], expected, rtol=1e-3, atol=1e-6)


def test_maps_of_scores_are_compared_class_by_class():
    model = model_of('FCN')
    data = segmented(model)
    _, _, lesson = ask(model, dict(t=teacher('PSPNet')), data, logit='ChannelWiseLogits')
    ours, theirs = scores_of(model, data), lesson.feedback.state.teachers[0].logits
    known = coarse_labels(data) != 255
    expected = []
    for i in range(2):
        p, q = (x[i][:, known[i]].softmax(dim=1) for x in (theirs, ours))
        expected.append((p * (p / q).log()).sum(dim=1).mean())
    torch.testing.assert_close(lesson.feedback.knowledge.logit[:, 0], torch.stack(expected), rtol=1e-3, atol=1e-6)
    lesson.losses['loss_kd_logit'].backward()
    assert model.decode_head.conv_seg.weight.grad.any()


@pytest.mark.parametrize('loss', ['DKD', 'DIST'])
def test_other_losses_on_pixels(loss):
    model = model_of('FCN')
    data = segmented(model)
    _, _, lesson = ask(model, dict(t=teacher('PSPNet')), data, logit=loss)
    assert torch.isfinite(lesson.feedback.knowledge.logit).all()
    lesson.losses['loss_kd_logit'].backward()
    assert model.decode_head.conv_seg.weight.grad.any()


@pytest.mark.parametrize('name', FEW)
def test_weight_zero_leaves_the_students_own_gradients(name):
    """Bit by bit, that is, also summed in the same order."""

    def gradients_of(strategy=None):
        model = model_of(name, norm_eval=False)
        data = segmented(model)
        torch.manual_seed(0)
        if strategy is None:
            losses = model(**data, mode='loss')
        else:
            entries = dict(own=teacher(name), other=teacher('FCN', **STRIDE_16))
            _, losses, lesson = ask(model, entries, data, strategy)
            losses = {**losses, **lesson.losses}
            assert not any(float(loss) for loss in lesson.losses.values())
        sum_of(losses).backward()
        return {key: value.grad for key, value in model.named_parameters() if value.grad is not None}

    plain, hooked = gradients_of(), gradients_of(FixedWeighting(weights=dict(own=0.0, other=0.0)))
    assert [key for key in plain if not torch.equal(plain[key], hooked[key])] == []


def test_a_teacher_that_wants_other_pictures():
    """Segmenters answer on any grid: their scores are resized."""
    model = model_of('FCN')
    data = segmented(model)
    distiller = distiller_of(model, dict(t=teacher('PSPNet', input_size=96)))
    ours = scores_of(model, data)
    _, lesson = lesson_of(distiller, data)
    larger = F.interpolate(data['inputs'], (96, 96), mode='bilinear', antialias=True)
    theirs = scores_of(distiller.teachers[0].model, dict(inputs=larger))
    assert theirs.shape[2:] == (12, 12)
    theirs = F.interpolate(theirs, (8, 8), mode='bilinear', align_corners=False)
    p, q = theirs.softmax(dim=1), ours.softmax(dim=1)
    each, known = (p * (p / q).log()).sum(dim=1), coarse_labels(data) != 255
    expected = torch.stack([each[i][known[i]].mean() for i in range(2)])
    torch.testing.assert_close(lesson.feedback.knowledge.logit[:, 0], expected, rtol=1e-3, atol=1e-6)
    losses = [dense.alone(distiller.teachers[0].model, data | dict(inputs=larger), i) for i in range(2)]
    torch.testing.assert_close(lesson.feedback.state.teacher_loss[:, 0], torch.stack(losses), rtol=1e-4, atol=1e-5)


# ---- classes by name


def test_other_classes_are_those_of_the_same_name():
    order = [2, 0, 3, 1]
    names = [CLASSES[i] for i in order]
    model = model_of('FCN')
    data = segmented(model)
    _, _, named = ask(model, dict(t=teacher('FCN', classes_named=names)), data, classes=CLASSES)
    distiller = distiller_of(model, dict(t=teacher('FCN')), classes=CLASSES)
    places = [order.index(c) for c in range(4)]
    for head in (distiller.teachers[0].model.decode_head, distiller.teachers[0].model.auxiliary_head):
        layer = head.conv_seg
        layer.weight.data, layer.bias.data = layer.weight.data[places], layer.bias.data[places]
    _, by_hand = lesson_of(distiller, data)
    torch.testing.assert_close(named.losses, by_hand.losses, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(named.feedback.state.teacher_loss, by_hand.feedback.state.teacher_loss)
    _, _, unnamed = ask(model, dict(t=teacher('FCN')), data, classes=CLASSES)
    assert not torch.allclose(named.losses['loss_kd_logit'], unnamed.losses['loss_kd_logit'])


def test_some_classes_in_common():
    """Only these are compared, where pixels are of these, as a share of all; to the teacher the others are void."""
    names = ('car', 'fish', 'dog')
    model = model_of('PSPNet')
    data = segmented(model)
    distiller = distiller_of(model, dict(t=teacher('FCN', classes_named=names)), classes=CLASSES)
    _, lesson = lesson_of(distiller, data)
    state = lesson.feedback.state
    ours, theirs = state.student.logits[:, [1, 3]], state.teachers[0].logits[:, [2, 1]]
    labels = coarse_labels(data)
    known = (labels == 1) | (labels == 3)
    p, q = theirs.softmax(dim=1), ours.softmax(dim=1)
    each = (p * (p / q).log()).sum(dim=1)
    expected = torch.stack([each[i][known[i]].sum() / (labels[i] != 255).sum() for i in range(2)])
    torch.testing.assert_close(lesson.feedback.knowledge.logit[:, 0], expected, rtol=1e-3, atol=1e-6)
    samples = copy.deepcopy(data['data_samples'])
    for sample in samples:
        maps = sample.gt_sem_seg.data
        sample.gt_sem_seg.data = torch.tensor([255, 2, 255, 1] + 252 * [255])[maps]
    losses = [
        dense.alone(distiller.teachers[0].model, dict(inputs=data['inputs'], data_samples=samples), i) for i in range(2)
    ]
    torch.testing.assert_close(state.teacher_loss[:, 0], torch.stack(losses), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ('ours', 'names', 'labels', 'expected'),
    [
        # a teacher with so many classes that one bears the number of void
        (255, {5: 'bird', 255: 'cat'}, [0, 1, 2, 255], [255, 255, 5, 255]),
        (0, {1: 'cat', 5: 'bird'}, [0, 1, 2], [255, 255, 5]),  # void to the student, though of a class to the teacher
        (0, {}, [0, 1, 2, 3], [255, 1, 2, 3]),
        (255, {}, [0, 1, 2, 255], [0, 1, 2, 255]),
    ],
)
def test_relabelled_maps(ours, names, labels, expected):
    named = dict(classes_named=[names.get(i, f'class {i}') for i in range(max(names) + 1)]) if names else {}
    model = model_of('FCN', decode_head__ignore_index=ours)
    distiller = distiller_of(model, dict(t=teacher('FCN', **named)), classes=CLASSES)
    sample = SegDataSample(gt_sem_seg=PixelData(data=torch.tensor([[labels]])))
    distiller.task.relabel(sample, distiller.teachers[0])
    assert sample.gt_sem_seg.data.tolist() == [[expected]]


@pytest.mark.parametrize(
    ('named', 'message'),
    [(dict(classes_named=('car', 'bus')), 'no class in common.*car, bus.*cat, dog'), (dict(classes=7), '7 classes')],
)
def test_classes_that_do_not_fit(named, message):
    with pytest.raises(MTKDError, match=f'teacher big .*{message}'):
        distiller_of(model_of('FCN'), dict(big=teacher('PSPNet', **named)), classes=CLASSES)


def test_a_detector_is_no_teacher_of_a_segmenter():
    with pytest.raises(MTKDError, match='teacher t is a RetinaNet; a student of the task Segmentation'):
        distiller_of(model_of('FCN'), dict(t=teacher('RetinaNet')))


# ---- features


def test_the_levels_that_a_head_reads_are_compared():
    """Of a backbone with four levels the one that the head reads, beside the nearest of the teacher's."""
    model = model_of('PSPNet')
    data = segmented(model)
    teachers = dict(coarse=teacher('FCN', **STRIDE_16), many=teacher('Mask2Former'))
    distiller, _, lesson = ask(model, teachers, data)
    with torch.no_grad():
        ours = model.backbone(data['inputs'])[3]
        coarse, many = (each.model.backbone(data['inputs']) for each in distiller.teachers)
    assert [tuple(x.shape[2:]) for x in many] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    state = lesson.feedback.state
    assert [len(state.student.feature), *(len(each.feature) for each in state.teachers)] == [1, 1, 4]
    assert torch.equal(state.student.feature[0], ours)
    for m, (mine, theirs) in enumerate([(F.avg_pool2d(ours, 2), coarse[3]), (ours, many[1])]):
        layer = distiller.adapters[m][0].layer
        expected = (F.conv2d(mine, layer.weight, layer.bias) - theirs).square().mean(dim=(1, 2, 3))
        torch.testing.assert_close(lesson.feedback.knowledge.feature[:, m], expected, rtol=1e-4, atol=1e-6)


def test_named_layers_are_what_is_compared():
    model = model_of('FCN')
    data = segmented(model)
    entries = dict(t=teacher('PSPNet', layer='backbone.layer2'))
    distiller, _, lesson = ask(model, entries, data, student_layer='decode_head.conv_cat')
    state = lesson.feedback.state
    with torch.no_grad():
        theirs = distiller.teachers[0].model.backbone(data['inputs'])
    assert torch.equal(state.teachers[0].feature[0], theirs[1])
    assert state.student.feature[0].shape == (2, 16, 8, 8)
    assert distiller.adapters[0][0].layer.weight.shape[:2] == (16, 16)
    assert (lesson.feedback.knowledge.feature > 0).all()
    assert (lesson.feedback.knowledge.logit > 0).all()


def test_a_teacher_has_no_layer_of_its_head_to_name():
    """Its heads only run picture by picture."""
    model = model_of('FCN')
    with pytest.raises(MTKDError, match=r'teacher t: its tapped layer did not run .*`layer`'):
        ask(model, dict(t=teacher('PSPNet', layer='decode_head.bottleneck')), segmented(model))


def test_a_frozen_backbone_is_taught_where_it_can_learn():
    model = model_of('FCN')
    model.backbone.requires_grad_(False)
    distiller = distiller_of(model, dict(t=teacher('FCN')), guard=Guard())
    _, lesson = lesson_of(distiller, segmented(model))
    sum(lesson.losses.values()).backward()
    assert model.decode_head.conv_seg.weight.grad.any()
    assert not lesson.feedback.credit['feature'].alignment.any()
    assert lesson.feedback.credit['logit'].alignment.any()


# ---- state and credit


def test_credit_is_the_cosine_of_gradients():
    model = model_of('PSPNet')
    data = segmented(model, 3)
    distiller = distiller_of(
        model, dict(a=teacher('PSPNet'), b=teacher('Mask2Former')), PPOWeighting(rollout=4, batch_size=4)
    )
    scores, features = [], []
    model.decode_head.conv_seg.register_forward_hook(lambda module, args, output: scores.append(output))
    model.backbone.register_forward_hook(lambda module, args, output: features.append(output))
    distiller.student_taps.start()
    own = model(**data, mode='loss')
    observed = distiller.observe(**data, losses=own, wants_credit=True)
    for kind, at in (('logit', scores[0]), ('feature', features[0][3])):
        (task,) = torch.autograd.grad(sum_of(own), at, retain_graph=True)
        for m, i in itertools.product(range(2), range(3)):
            (pull,) = torch.autograd.grad(getattr(observed.knowledge, kind)[i, m], at, retain_graph=True)
            expected = F.cosine_similarity(task[i].flatten(), pull[i].flatten(), dim=0)
            found = observed.credit[kind].alignment[i, m]
            torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
            assert found != 0
        assert observed.credit[kind].effect is None


def test_what_the_agent_sees():
    model = model_of('PSPNet')
    data = segmented(model, 3, void=[1])
    _, _, lesson = ask(model, dict(a=teacher('FCN'), b=teacher('Mask2Former')), data)
    state = lesson.feedback.state
    seen = ENCODINGS['compact'](state)
    assert seen.shape == (3, 2, 8)
    assert torch.isfinite(seen).all()
    labels = coarse_labels(data)
    p = state.teachers[0].logits.softmax(dim=1)
    for i in range(3):
        known = labels[i] != 255
        if i == 1:
            assert not seen[i][:, [1, 2, 4, 5, 7]].any()
            continue
        right = p[i].gather(0, labels[i].clamp(max=3)[None])[0]
        torch.testing.assert_close(seen[i, 0, 1], right[known].mean(), rtol=1e-4, atol=1e-5)
        entropy = -(p[i] * p[i].log()).sum(dim=0)[known].mean() / torch.tensor(4.0).log()
        torch.testing.assert_close(seen[i, 0, 2], entropy, rtol=1e-4, atol=1e-5)
    told = ENCODINGS['paper'](state)
    assert told.shape == (3, 2 * (64 + 4 + 3))
    assert torch.isfinite(told).all()
    torch.testing.assert_close(need_of(state, torch.tensor(2.0)), 1 - torch.exp(-state.student.task_loss / 2))
    assert not any(x.requires_grad for x in runs.tensors(tuple(state)))


def test_groups_are_the_class_of_most_pixels():
    model = model_of('FCN')
    data = segmented(model, 3, void=[1])
    for sample, label in zip(data['data_samples'][::2], (2, 0)):
        sample.gt_sem_seg.data[:, 24:] = label
    distiller, _, lesson = ask(model, dict(t=teacher('FCN')), data)
    assert lesson.feedback.state.group.tolist() == [2, 4, 0]
    assert distiller.task.groups == 5


# ---- bad input


BATCHES = {
    'all void': lambda model: segmented(model, 2, void=[0, 1]),
    'one picture': lambda model: segmented(model, 1),
    'one picture, all void': lambda model: segmented(model, 1, void=[0]),
    'other sizes': lambda model: segmented(model, sizes=[(64, 64), (40, 72), (96, 32)]),
}


@pytest.mark.parametrize('case', BATCHES)
@pytest.mark.parametrize(
    'name', ['FCN', *(pytest.param(name, marks=pytest.mark.slow) for name in ('OCRNet', 'Mask2Former'))]
)
def test_batches_that_are_seldom_seen(name, case):
    """A whole step is finite; pictures that are all void have no logits to learn of, but features."""
    model = model_of(name)
    strategy = PPOWeighting(rollout=2, batch_size=2)
    entries = dict(a=teacher(name), b=teacher('PSPNet'))
    distiller = distiller_of(model, entries, strategy, logit_weight=None, feature_weight=None, guard=Guard())
    for _ in range(2):
        own, lesson = lesson_of(distiller, BATCHES[case](model))
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
    assert (lesson.losses['loss_kd_logit'] == 0) == ('void' in case)
    assert (lesson.losses['loss_kd_feature'] > 0) or 'void' in case


def test_only_segmenters_are_accepted():
    assert Segmentation.accepts(model_of('FCN'))
    assert not Segmentation.accepts(model_of('RetinaNet'))
    assert not Segmentation.accepts(nn.Linear(2, 2))
