"""Adapters: shapes inferred from one batch, positions averaged, widths learned."""

import pytest
import torch
from torch import nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.losses import Adapter, build_adapter
from mtkd_rl.losses.functional import mse

MAP, TOKENS, VECTOR = (2, 6, 8, 8), (2, 9, 6), (2, 6)


def feature(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ('student', 'teacher', 'shape'),
    [
        (MAP, (2, 5, 8, 8), (2, 5, 8, 8)),
        (MAP, (2, 5, 4, 4), (2, 5, 4, 4)),
        (MAP, (2, 5, 16, 16), (2, 5, 8, 8)),
        (MAP, (2, 5, 4, 16), (2, 5, 4, 8)),
        (MAP, (2, 5, 7, 3), (2, 5, 7, 3)),
        (TOKENS, (2, 9, 5), (2, 9, 5)),
        (TOKENS, (2, 4, 5), (2, 5)),
        (VECTOR, (2, 5), (2, 5)),
        (MAP, (2, 9, 5), (2, 5)),
        (TOKENS, (2, 5, 4, 4), (2, 5)),
        (VECTOR, (2, 5, 4, 4), (2, 5)),
        (MAP, (2, 5), (2, 5)),
        (VECTOR, (2, 9, 5), (2, 5)),
        (MAP, MAP, MAP),
    ],
    ids=str,
)
def test_a_pair_of_equal_shape(student, teacher, shape) -> None:
    adapter = build_adapter(feature(*student), feature(*teacher))
    pair = adapter(feature(*student), feature(*teacher))
    assert [tuple(x.shape) for x in pair] == [shape, shape]
    assert isinstance(adapter.layer, nn.Conv2d if len(student) == len(teacher) == 4 else nn.Linear)


def numbers(*shape: int) -> torch.Tensor:
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)


def test_positions_are_averaged_and_widths_mapped() -> None:
    teacher = numbers(1, 1, 2, 4)  # 0 1 2 3 / 4 5 6 7
    student = numbers(1, 2, 2, 2)  # 0 1 / 2 3 and 4 5 / 6 7
    adapter = build_adapter(student, teacher)
    with torch.no_grad():
        adapter.layer.weight.copy_(torch.tensor([10.0, 1.0]).reshape(1, 2, 1, 1))
        adapter.layer.bias.fill_(0.5)
    adapted, target = adapter(student, teacher)
    assert target.tolist() == [[[[0.5, 2.5], [4.5, 6.5]]]]
    assert adapted.tolist() == [[[[4.5, 15.5], [26.5, 37.5]]]]


def test_uneven_sizes_are_averaged_over_overlapping_windows() -> None:
    student, teacher = numbers(1, 1, 1, 3), numbers(1, 1, 1, 2)
    adapter = build_adapter(student, teacher)
    nn.init.ones_(adapter.layer.weight)
    nn.init.zeros_(adapter.layer.bias)
    assert adapter(student, teacher)[0].tolist() == [[[[0.5, 1.5]]]]


def test_a_map_against_tokens_compares_means() -> None:
    student, teacher = feature(*MAP), feature(2, 9, 5)
    adapter = build_adapter(student, teacher)
    adapted, target = adapter(student, teacher)
    torch.testing.assert_close(target, torch.stack([sample.mean(0) for sample in teacher]))
    torch.testing.assert_close(adapted, adapter.layer(student.sum((2, 3)) / 64))


def test_only_widths_are_fixed() -> None:
    adapter = build_adapter(feature(2, 6, 8, 8), feature(2, 5, 4, 4))
    pair = adapter(feature(1, 6, 5, 9), feature(1, 5, 10, 3))
    assert [tuple(x.shape) for x in pair] == [(1, 5, 5, 3)] * 2
    tokens = build_adapter(feature(2, 9, 6), feature(2, 9, 5))
    assert [tuple(x.shape) for x in tokens(feature(1, 16, 6), feature(1, 4, 5))] == [(1, 5)] * 2


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_it_computes_in_float32_also_under_autocast(dtype: torch.dtype) -> None:
    student, teacher = feature(*MAP).to(dtype), feature(2, 5, 4, 4).to(dtype)
    strided = student.to(memory_format=torch.channels_last)
    adapter = build_adapter(student, teacher)
    expected = adapter(student.float(), teacher.float())
    with torch.autocast('cpu', dtype=torch.bfloat16):
        pair = adapter(strided, teacher)
    assert [x.dtype for x in pair] == [torch.float32] * 2
    torch.testing.assert_close(pair, expected)


def test_it_learns_what_relates_two_features() -> None:
    student, relation = feature(16, 6, 8, 8), feature(5, 6, seed=1)
    teacher = torch.einsum('ed,bdhw->behw', relation, student)
    adapter = build_adapter(student, teacher)
    student.requires_grad_()
    optimizer = torch.optim.SGD(adapter.parameters(), lr=1.0)
    for _ in range(100):
        optimizer.zero_grad()
        mse(*adapter(student, teacher)).mean().backward()
        optimizer.step()
    torch.testing.assert_close(adapter.layer.weight.detach()[:, :, 0, 0], relation, atol=1e-4, rtol=0)
    assert (student.grad.abs().sum((1, 2, 3)) > 0).all()


def test_each_sample_is_adapted_by_itself() -> None:
    student, teacher = feature(4, 6, 8, 8), feature(4, 5, 4, 4)
    adapter = build_adapter(student, teacher)
    together = adapter(student, teacher)[0]
    alone = torch.cat([adapter(student[i : i + 1], teacher[i : i + 1])[0] for i in range(4)])
    torch.testing.assert_close(together, alone)
    assert list(adapter.buffers()) == []


def test_weights_come_from_the_global_random_state_alone() -> None:
    def build(seed: int) -> Adapter:
        torch.manual_seed(seed)
        return build_adapter(feature(*MAP), feature(2, 5, 4, 4))

    with torch.random.fork_rng():
        first, second, other = build(3), build(3), build(4)
    assert all(map(torch.equal, first.state_dict().values(), second.state_dict().values()))
    assert not torch.equal(first.layer.weight, other.layer.weight)
    assert list(first.state_dict()) == ['layer.weight', 'layer.bias']


@pytest.mark.parametrize(('student', 'teacher', 'whose'), [((2, 3, 4, 4, 4), MAP, 'student'), (MAP, (2,), 'teacher')])
def test_what_is_no_feature_is_refused(student, teacher, whose) -> None:
    with pytest.raises(MTKDError, match=rf"the {whose}'s tapped feature has shape \(2,.*name a layer"):
        build_adapter(feature(*student), feature(*teacher))
