"""Teachers that run faster say the same, or run as they were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import runs
import torch
from mmengine.registry import MODELS, DefaultScope
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.teachers.live import Live, build_live, distance, fold, foldable, readers
from mtkd_rl.types import Outputs

NETWORKS: dict[str, dict[str, Any]] = {
    'ResNet': dict(type='mmpretrain.ResNet', depth=18, base_channels=8, stem_channels=8),
    'WideResNet': dict(type='mtkd_rl.WideResNet', depth=10, widen_factor=1),  # BatchNorm before convolution
    'MobileNetV2': dict(type='mmpretrain.MobileNetV2', widen_factor=0.25),
    'ShuffleNetV2': dict(type='mmpretrain.ShuffleNetV2'),
    'DenseNet': dict(type='mmpretrain.DenseNet', arch=dict(growth_rate=8, depths=[2, 2], init_channels=16)),
}


def trained_like(model: nn.Module) -> nn.Module:
    """With statistics that are not those of a new network, so that folding them wrongly would show."""
    torch.manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -0.5, 0.5)
            nn.init.uniform_(module.running_var, 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.uniform_(module.bias, -0.5, 0.5)
    model.requires_grad_(False).eval()  # some return nothing
    return model


def built(name: str) -> nn.Module:
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        return trained_like(MODELS.build(NETWORKS[name]))


def asking(model: nn.Module) -> Callable[[Tensor], Outputs]:
    def ask(inputs: Tensor) -> Outputs:
        with torch.no_grad():
            said = model(inputs)
        last = (said[-1] if isinstance(said, tuple) else said).float()
        flat = last.flatten(1)
        return Outputs(flat, flat, (last,), flat.sum(dim=1))

    return ask


@pytest.mark.parametrize('name', NETWORKS)
def test_networks_say_the_same_with_batchnorm_folded(name):
    model = built(name)
    inputs = torch.randn(2, 3, 64, 64)
    plain = asking(model)(inputs)
    before = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    live = Live()
    said = live.prepare('t', model, inputs, asking(model))
    after = sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert after < before
    assert name in ('WideResNet', 'DenseNet') or after == 0  # there some stand before the convolution
    assert 0 < distance(plain, said) < 1e-5
    with live.running('t', inputs) as given:
        assert given.is_contiguous(memory_format=torch.channels_last)


def test_folding_is_taken_back_bit_by_bit():
    model, inputs = built('ResNet'), torch.randn(1, 3, 32, 32)
    plain = asking(model)(inputs)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with readers(model) as read:
        model(inputs)
    pairs = foldable(model, read)
    assert len(pairs) == len(read.pairs) > 10
    undo = [fold(model, *pair) for pair in pairs]
    assert not torch.equal(asking(model)(inputs).logits, plain.logits)
    for each in reversed(undo):
        each()
    assert runs.same(dict(model.state_dict()), state)
    assert torch.equal(asking(model)(inputs).logits, plain.logits)


class TwoReaders(nn.Module):
    """Its convolution is read by a BatchNorm and by a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x + self.norm(x)


class Twice(nn.Module):
    """One convolution with two BatchNorms, as of a head that is shared by levels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.norms = nn.ModuleList([nn.BatchNorm2d(3), nn.BatchNorm2d(3)])

    def forward(self, x: Tensor) -> Tensor:
        for norm in self.norms:
            x = norm(self.conv(x))
        return x


@pytest.mark.parametrize('kind', [TwoReaders, Twice])
def test_what_would_say_something_else_runs_as_it_was(kind):
    model = trained_like(kind())
    inputs = torch.randn(2, 3, 9, 9)
    plain = asking(model)(inputs)
    live = Live(channels_last=False)
    assert torch.equal(live.prepare('t', model, inputs, asking(model)).logits, plain.logits)
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
    assert torch.equal(asking(model)(inputs).logits, plain.logits)


def test_a_run_that_goes_on_makes_the_same_changes_without_a_verdict():
    first, inputs = built('ResNet'), torch.randn(2, 3, 32, 32)
    live = Live()
    said = live.prepare('t', first, inputs, asking(first))
    live.prepare('plain', Twice().eval(), inputs, asking(Twice().eval()))
    second, asked = built('ResNet'), []
    on = Live()
    on.load_state_dict(live.state_dict())

    def ask(given: Tensor) -> Outputs:
        asked.append(given)
        return asking(second)(given)

    assert torch.equal(on.prepare('t', second, inputs, ask).logits, said.logits)
    assert len(asked) == 1
    assert on.folded == live.folded


@pytest.mark.parametrize('other', [Live(fold=False), Live(precision='bfloat16')])
def test_what_was_found_with_other_options_is_found_anew(other):
    model, inputs = built('ResNet'), torch.randn(2, 3, 64, 64)
    live = Live()
    live.prepare('t', model, inputs, asking(model))
    other.load_state_dict(live.state_dict())
    assert other.folded == {}


def test_what_to_switch_off_is_what_is_on():
    assert Live()._off() == 'fold=False, channels_last=False'
    assert Live(fold=False, channels_last=False, precision='float16', compile=True)._off() == (
        'precision=None, compile=False'
    )


def test_what_is_random_in_a_teacher_is_drawn_once():
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) + torch.randn(1)

    model, inputs = trained_like(Noisy()), torch.randn(2, 3, 9, 9)
    torch.manual_seed(1)
    live = Live()
    live.prepare('t', model, inputs, asking(model))
    assert live.folded['t'] == []  # the same was drawn before and after
    after = torch.rand(1)
    torch.manual_seed(1)
    torch.randn(1)
    assert torch.equal(torch.rand(1), after)


def test_batchnorm_with_an_activation_inside_stays():
    timm = pytest.importorskip('timm')
    model = trained_like(timm.create_model('mobilenetv3_small_050', pretrained=False, num_classes=5))
    inputs = torch.randn(2, 3, 32, 32)
    plain = asking(model)(inputs)
    assert distance(plain, Live().prepare('t', model, inputs, asking(model))) < 1e-3


@pytest.mark.parametrize('name', ['ResNet', 'MobileNetV2'])
def test_under_autocast_rounding_is_that_of_its_type(name):
    model, inputs = built(name), torch.randn(2, 3, 64, 64)
    live = Live()
    with torch.autocast('cpu', torch.bfloat16):
        live.prepare('t', model, inputs, asking(model))
    assert live.folded['t']


def test_what_is_listened_to_says_what_it_said():
    model, inputs = built('ResNet'), torch.randn(1, 3, 32, 32)
    heard: dict[str, Tensor] = {}
    model.conv1.register_forward_hook(lambda module, args, output: heard.setdefault('first', output))
    Live().prepare('t', model, inputs, asking(model))
    first = heard.pop('first')
    asking(model)(inputs)
    torch.testing.assert_close(heard['first'], first)
    assert isinstance(model.bn1, nn.BatchNorm2d)
    assert not isinstance(model.layer1[0].bn1, nn.BatchNorm2d)


def test_a_lower_precision_is_of_the_teacher_alone():
    model, inputs = built('ResNet'), torch.randn(2, 3, 64, 64)
    seen = []
    model.layer4.register_forward_hook(lambda module, args, output: seen.append(output.dtype))
    live = Live(precision='bfloat16')
    said = live.prepare('t', model, inputs, asking(model))
    assert seen == [torch.float32, torch.bfloat16]
    assert 1e-4 < distance(asking(model)(inputs), said) < 0.1
    assert not torch.is_autocast_enabled('cpu')


def test_a_network_that_breaks_in_it_runs_as_it_was():
    class Picky(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).view(-1).view(len(x), -1)

    model, inputs = trained_like(Picky()), torch.randn(2, 3, 9, 9)
    live = Live()
    plain = asking(model)(inputs)
    assert torch.equal(live.prepare('t', model, inputs, asking(model)).logits, plain.logits)
    with live.running('t', inputs) as given:
        assert given is inputs
        assert torch.equal(asking(model)(given).logits, plain.logits)


def test_networks_without_convolutions_are_asked_once():
    asked = []
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))

    def ask(inputs: Tensor) -> Outputs:
        asked.append(inputs)
        return asking(model)(inputs)

    live, inputs = Live(), torch.randn(2, 3, 2, 2)
    live.prepare('t', model, inputs, ask)
    assert len(asked) == 1
    with live.running('t', inputs) as given:
        assert given is inputs


def test_a_run_ends_where_it_would_with_teachers_as_they_are(tmp_path):
    """To rounding; and teachers keep their name in the manifest."""
    entries = [
        runs.entry(strategy=dict(type='AverageWeighting'), live=dict(fold=changed, channels_last=changed))
        for changed in (True, False)
    ]
    fast, plain = (runs.train(runs.config(tmp_path / str(i), [each])) for i, each in enumerate(entries))
    for name, value in runs.weights_of(fast).items():
        torch.testing.assert_close(value, runs.weights_of(plain)[name], rtol=1e-3, atol=1e-4)
    assert [each.sha256 for each in runs.hook_of(fast).pool] == [each.sha256 for each in runs.hook_of(plain).pool]


@pytest.mark.slow
def test_a_compiled_teacher_says_the_same() -> None:
    model, inputs = built('ResNet'), torch.randn(2, 3, 64, 64)
    ask, live = asking(model), Live(fold=False, channels_last=False, compile=True)
    plain = ask(inputs)
    said = live.prepare('a', model, inputs, ask)
    assert model._compiled_call_impl is not None
    assert distance(plain, said) < 1e-5
    with live.running('a', inputs) as given:
        assert distance(plain, ask(given)) < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize('offload', [False, True])
def test_weights_of_a_compiled_teacher_are_constants_unless_they_travel(offload: bool) -> None:
    torch._dynamo.reset()
    model, inputs = built('MobileNetV2'), torch.randn(2, 3, 37, 41)
    ask, live = asking(model), Live(fold=False, channels_last=False, compile=True, offload=offload)
    plain = live.prepare('a', model, inputs, ask)
    for weight in model.parameters():
        weight.data.zero_()
    with live.running('a', inputs) as given:
        assert (distance(plain, ask(given)) < 1e-5) is not offload


def test_a_teacher_that_cannot_be_compiled_runs_as_it_was(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr('torch._inductor.config.cpp.cxx', ('no-such-compiler',))
    monkeypatch.setenv('TORCHINDUCTOR_CACHE_DIR', str(tmp_path))
    torch._dynamo.reset()
    model, inputs = built('MobileNetV2'), torch.randn(2, 3, 37, 41)
    plain = asking(model)(inputs)
    live = Live(compile=True)
    assert distance(plain, live.prepare('a', model, inputs, asking(model))) == 0
    assert live.folded == {'a': None}
    assert model._compiled_call_impl is None
    assert distance(plain, asking(model)(inputs)) == 0


@pytest.mark.parametrize('live', [Live(offload=True), Live(fold=False, channels_last=False, offload=True)])
def test_an_offloaded_teacher_says_the_same(live: Live) -> None:
    model, inputs = built('ResNet'), torch.randn(2, 3, 64, 64)
    plain, ask = asking(model)(inputs), asking(model)
    with live.present(model, inputs.device):
        said = [live.prepare('a', model, inputs, ask)]
    for _ in range(2):
        with live.present(model, inputs.device), live.running('a', inputs) as given:
            said.append(ask(given))
    assert all(distance(plain, each) < 1e-5 for each in said)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='there is no GPU')
def test_an_offloaded_teacher_is_on_the_gpu_only_while_it_is_asked() -> None:
    model, live, device = built('ResNet'), Live(offload=True), torch.device('cuda')
    inputs = torch.randn(2, 3, 64, 64, device=device)
    with live.present(model, device):
        live.prepare('a', model, inputs, asking(model))
        assert all(parameter.is_cuda for parameter in model.parameters())
    taken = torch.cuda.memory_allocated()
    assert not any(tensor.is_cuda for tensor in (*model.parameters(), *model.buffers()))
    with live.present(model, device), live.running('a', inputs) as given:
        asking(model)(given)
    assert torch.cuda.memory_allocated() <= taken


def test_mistakes_in_options():
    with pytest.raises(MTKDError, match=r"precision is 'fp16'; give 'bfloat16', 'float16' or None"):
        Live(precision='fp16')
    with pytest.raises(MTKDError, match=r"live has no option 'folded'; did you mean: fold"):
        build_live(dict(folded=True))
    with pytest.raises(MTKDError, match='live is None; give a dict'):
        build_live(None)
