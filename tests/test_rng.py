import io
import random

import numpy as np
import pytest
import torch

from mtkd_rl.rng import isolated, random_state, set_random_state


def draw() -> list[float]:
    """An odd number of normal values from each generator, so that python and numpy keep one for the next call."""
    return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(()).item()]


def seed_all(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@pytest.mark.parametrize('seed', [None, 0, 2**32 + 5])
def test_isolated_leaves_no_trace(seed):
    seed_all(3)
    draw()
    expected = [draw() for _ in range(3)]

    seed_all(3)
    draw()
    with isolated(seed):
        draw()
        torch.randperm(5)
        seed_all(99)
    assert torch.initial_seed() == 3
    assert [draw() for _ in range(3)] == expected


def test_isolated_leaves_no_trace_when_the_block_raises():
    seed_all(4)
    expected = draw()
    seed_all(4)

    @isolated(1)
    def fails() -> None:
        draw()
        raise RuntimeError('inside')

    with pytest.raises(RuntimeError, match='inside'):
        fails()
    assert draw() == expected


def test_isolated_starts_from_the_seed_whatever_came_before():
    seed_all(1)
    with isolated(7):
        first = draw()
    draw()
    with isolated(7):
        assert draw() == first
    with isolated(8):
        assert draw() != first


def test_isolated_without_a_seed_goes_on_from_the_outer_states():
    seed_all(5)
    expected = draw()
    seed_all(5)
    with isolated():
        assert draw() == expected


def test_state_goes_through_a_weights_only_file_and_continues_all_streams():
    seed_all(11)
    draw()
    file = io.BytesIO()
    torch.save(random_state(), file)
    expected = [draw() for _ in range(3)]

    seed_all(12)
    file.seek(0)
    set_random_state(torch.load(file, weights_only=True))
    assert [draw() for _ in range(3)] == expected


def test_taking_the_state_changes_nothing():
    seed_all(13)
    expected = draw()
    seed_all(13)
    random_state()
    assert draw() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')
def test_the_cuda_state_is_restored_too():
    torch.cuda.manual_seed(21)
    saved = random_state()
    expected = torch.rand(3, device='cuda')
    set_random_state(saved)
    with isolated(1):
        torch.rand(3, device='cuda')
    assert torch.equal(torch.rand(3, device='cuda'), expected)
