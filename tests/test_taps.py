import copy

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mtkd_rl.errors import MTKDError
from mtkd_rl.taps import Tap, Taps, deepest_feature, last_tensor


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 3, 3, 2, 1))
        self.fc = nn.Linear(3, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.body(x).mean(dim=(2, 3)))


def hooks_on(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


PICTURES = torch.rand(2, 1, 6, 6)


def test_inputs_outputs_and_the_model_itself():
    net = Net()
    taps = Taps(net, dict(feature=Tap('body'), embedding=Tap('fc', 'input'), logits=Tap('')), 'student')
    taps.start()
    said = net(PICTURES)
    records = taps.take()
    assert records['logits'] is said
    assert torch.equal(records['feature'], net.body(PICTURES))
    assert torch.equal(records['embedding'], net.body(PICTURES).mean(dim=(2, 3)))


def test_nothing_is_recorded_or_kept_while_nobody_listens():
    net = Net()
    taps = Taps(net, dict(logits=Tap('')), 'student')
    net(PICTURES)
    assert taps.take() == {}
    with taps.listening():
        net(PICTURES)
    net(PICTURES * 2)
    assert torch.equal(taps.take()['logits'], net(PICTURES))
    assert taps.take() == {}
    taps.start()
    net(PICTURES)
    taps.start()
    assert taps.take() == dict(logits=None)


def test_a_closed_tap_leaves_no_trace():
    net = Net()
    taps = Taps(net, dict(a=Tap('body.0'), b=Tap('body.0', 'input')), 'student')
    assert hooks_on(net) == 2
    taps.close()
    assert hooks_on(net) == 0
    taps.start()
    net(PICTURES)
    assert taps.take() == dict(a=None, b=None)


def test_a_copy_is_not_listened_to():
    net = Net()
    taps = Taps(net, dict(logits=Tap('')), 'student')
    copied = copy.deepcopy(net)
    taps.start()
    copied(PICTURES)
    assert taps.take() == dict(logits=None)


def test_recomputation_does_not_overwrite_the_records():
    net = Net()
    taps = Taps(net, dict(feature=Tap('body')), 'student')
    taps.start()
    said = checkpoint(net.body, PICTURES.requires_grad_(), use_reentrant=False)
    feature = taps.take()['feature']
    assert feature is said
    said.sum().backward()
    assert taps.take() == {}


def test_a_wrong_layer_lists_what_may_have_been_meant():
    with pytest.raises(MTKDError, match=r"teacher r50: there is no layer 'body.3' to take the feature from.*body\.2"):
        Taps(Net(), dict(feature=Tap('body.3')), 'teacher r50')


def test_the_last_tensor():
    a, b = torch.zeros(1), torch.zeros(2)
    assert last_tensor(a) is a
    assert last_tensor((a, [b, None], 'x')) is b
    assert last_tensor({'a': a}) is None
    assert last_tensor([]) is None


class Tokens(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.fc = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.mix(self.embed(x.flatten(1, 2))).mean(dim=1))


@pytest.mark.parametrize(
    ('model', 'layer'),
    [
        (Net(), 'body'),
        (Tokens(), 'mix'),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 3)), '0'),
        (nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), None),
    ],
    ids=['maps', 'tokens', 'pooled', 'vectors'],
)
def test_the_deepest_feature_has_positions(model, layer):
    before = hooks_on(model)
    assert deepest_feature(model, lambda: model(PICTURES)) == layer
    assert hooks_on(model) == before
