"""Teachers that run faster and say the same: BatchNorm folded into convolutions, channels last, a lower precision.

What is changed is tried on the first batch beside the teacher as it was. Where they differ by more than rounding does,
it is taken back, so that no network is too strange to be a teacher.
"""

import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, NamedTuple, cast

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from mtkd_rl.errors import MTKDError, from_options
from mtkd_rl.rng import isolated
from mtkd_rl.types import Outputs

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

PRECISIONS = {None: None, 'bfloat16': torch.bfloat16, 'float16': torch.float16}

ALLOWED = {torch.float32: 1e-3, torch.bfloat16: 0.1, torch.float16: 0.02}
"""Relative error of any output up to which a teacher says the same, by the type that it computes in."""

BATCHNORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Live:
    """How teachers run.

    Args:
        fold: Fold BatchNorm into the convolution before it.
        channels_last: Keep channels last in memory, as the convolutions of CPUs and tensor cores want them.
        precision: ``'bfloat16'`` or ``'float16'`` for autocast of the teachers alone; ``None`` for the student's.
        compile: Compile the backbone (the whole network where there is none) by ``torch.compile``, with its weights as
            constants unless they are offloaded; it needs a compiler.
        offload: Keep the weights in the processor's memory, and on the device only while a teacher is asked, so that
            the pool may be larger than the device's memory.

    Raises:
        MTKDError: There is no such precision.
    """

    def __init__(
        self,
        fold: bool = True,
        channels_last: bool = True,
        precision: str | None = None,
        compile: bool = False,
        offload: bool = False,
    ) -> None:
        if precision not in PRECISIONS:
            raise MTKDError(f"MTKDHook: live: precision is {precision!r}; give 'bfloat16', 'float16' or None")
        self.fold, self.channels_last, self.precision = fold, channels_last, precision
        self.compile, self.offload = compile, offload
        self.folded: dict[str, list[tuple[str, str]] | None] = {}
        """Teacher to what was folded of it, pairs of convolution and BatchNorm; ``None`` of one that runs as it was."""

    def prepare(self, name: str, model: nn.Module, inputs: Tensor, ask: Callable[[Tensor], Outputs]) -> Outputs:
        """Changes a teacher, in place, and compares what it says before and after on one batch.

        A run that goes on does what the run before it found, without another verdict.

        Args:
            name: The teacher's.
            model: Its network, in evaluation mode.
            inputs: What it is given, ``(B, C, H, W)``.
            ask: Runs it.

        Returns:
            What it says of the batch as it is from here on.
        """
        if name in self.folded:
            self._change(model, self.folded[name])
            with self.running(name, inputs) as given:
                return ask(given)
        self.folded[name] = None
        on_convolutions = self.fold or self.channels_last
        has_some = any(isinstance(each, CONVOLUTIONS) for each in model.modules())
        if not (self.precision or self.compile or (on_convolutions and has_some)):
            return ask(inputs)
        with readers(model) as read, isolated():  # what is random in it is drawn once, by the run after the change
            before = ask(inputs)
        pairs = foldable(model, read) if self.fold else []
        undo: list[Callable[[], Any]] = []
        problem = ''
        try:
            self.folded[name] = pairs
            undo = self._change(model, pairs)
            with self.running(name, inputs) as given:
                after = ask(given)
                allowed = ALLOWED[computes_in(inputs)]
            error = distance(before, after)
        except torch.OutOfMemoryError:
            raise
        except Exception as raised:  # whatever a network can make fail
            error, allowed, after, problem = float('inf'), 0.0, before, f' ({" ".join(str(raised).split())[:200]})'
        if not error <= allowed:
            for each in reversed(undo):
                each()
            self.folded[name] = None
            print_log(
                f'mtkd_rl: teacher {name} runs as it is: made faster it would say something else, with a relative '
                f'error of {error:.1e}{problem}; live=dict({self._off()}) does not try',
                'current',
            )
            return before
        what = [f'{len(pairs)} BatchNorms folded'] if pairs else []
        what += ['channels last'] if self.channels_last else []
        what += [self.precision] if self.precision else []
        what += ['compiled'] if self.compile else []
        print_log(f'mtkd_rl: teacher {name}: {", ".join(what)}: relative error {error:.1e}', 'current')
        return after

    def _change(self, model: nn.Module, pairs: list[tuple[str, str]] | None) -> list[Callable[[], Any]]:
        """Makes a teacher faster; how that is taken back, the last change first."""
        if pairs is None:
            return []
        undo = [fold(model, conv, norm) for conv, norm in pairs]
        if self.channels_last:
            changed = [x for x in model.parameters() if x.dim() == 4]
            for parameter in changed:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)

            def back() -> None:
                for parameter in changed:
                    parameter.data = parameter.data.contiguous()

            undo.append(back)
        if self.compile:
            undo.append(compiled(getattr(model, 'backbone', model)))
        return undo

    @contextmanager
    def present(self, model: nn.Module, device: torch.device) -> Iterator[None]:
        """A teacher's weights are on a device in this block; where they are offloaded, in it alone."""
        if not self.offload:
            yield
            return
        lent: dict[int, tuple[Tensor, int]] = {}
        for tensor in (*model.parameters(), *model.buffers()):
            home = tensor.data.pin_memory() if device.type == 'cuda' and not tensor.is_pinned() else tensor.data
            tensor.data = home.to(device, non_blocking=True)
            lent[id(tensor)] = home, tensor.data_ptr()
        try:
            yield
        finally:
            for tensor in (*model.parameters(), *model.buffers()):
                home, where = lent.get(id(tensor), (tensor, -1))
                # what was folded or laid out anew meanwhile has no home yet
                tensor.data = home if tensor.data_ptr() == where else tensor.data.cpu()

    def state_dict(self) -> dict[str, Any]:
        """What was found, in plain containers."""
        found = {name: None if pairs is None else [list(pair) for pair in pairs] for name, pairs in self.folded.items()}
        return {'options': self._options(), 'folded': found}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on with what was found, if it was found with the same options."""
        if state.get('options') == self._options():
            found = state['folded'].items()
            self.folded = {name: None if pairs is None else [(a, b) for a, b in pairs] for name, pairs in found}

    def _off(self) -> str:
        """What switches off whatever is on."""
        off = {'fold': False, 'channels_last': False, 'precision': None, 'compile': False}
        return ', '.join(f'{name}={value}' for name, value in off.items() if getattr(self, name))

    def _options(self) -> list[Any]:
        return [self.fold, self.channels_last, self.precision, self.compile, self.offload]

    @contextmanager
    def running(self, name: str, inputs: Tensor) -> Iterator[Tensor]:
        """A teacher runs in this block, on the inputs that the block is given."""
        if self.folded.get(name) is None:
            yield inputs
            return
        if self.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        dtype = PRECISIONS[self.precision]
        with ExitStack() as stack:
            if self.compile and not self.offload:
                stack.enter_context(constant_weights())
            if dtype is not None:
                stack.enter_context(torch.autocast(inputs.device.type, dtype=dtype))
            yield inputs


class Read(NamedTuple):
    """What read the outputs of convolutions while a model ran.

    Attributes:
        pairs: Name of a BatchNorm to the convolution whose output it read, for each of its calls.
        calls: How often each was called.
        others: Convolutions whose output something else read too.
    """

    pairs: dict[str, list[str]]
    calls: dict[str, int]
    others: set[str]


class _Functions(TorchFunctionMode):
    """Tells of every function that makes tensors of tensors.

    Args:
        tell: Is given the arguments.
    """

    def __init__(self, tell: Callable[[Sequence[Any]], None]) -> None:
        super().__init__()
        self.tell = tell

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if not isinstance(made, int | bool | float | torch.Size | torch.dtype | torch.device):
            self.tell(tree_leaves((args, kwargs)))
        return made


@contextmanager
def readers(model: nn.Module) -> Iterator[Read]:
    """Sees what reads what while a model runs in this block; no order of names or of children is trusted."""
    modules = {name: each for name, each in model.named_modules() if isinstance(each, (*CONVOLUTIONS, _BatchNorm))}
    said: dict[int, tuple[str, Any]] = {}  # weakly, or what one batch needs would be held all at once
    read = Read({}, dict.fromkeys(modules, 0), set())
    norms: list[nn.Module] = []  # in whose forward we are

    def said_by(x: Any) -> str | None:
        name, weak = said.get(id(x), (None, None))
        return name if weak is not None and weak() is x else None

    def elsewhere(arguments: Sequence[Any]) -> None:
        if not norms:
            read.others.update(name for name in map(said_by, arguments) if name is not None)

    def recorder(name: str) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            read.calls[name] += 1
            if norms and norms[-1] is module:
                norms.pop()
            if isinstance(module, CONVOLUTIONS):
                said[id(output)] = name, weakref.ref(output)
            else:
                read.pairs.setdefault(name, []).append(said_by(args[0]) or '')

        return record

    def begin(module: nn.Module, args: tuple[Any, ...]) -> None:
        norms.append(module)

    handles = [module.register_forward_hook(recorder(name)) for name, module in modules.items()]
    handles += [each.register_forward_pre_hook(begin) for each in modules.values() if isinstance(each, _BatchNorm)]
    try:
        with _Functions(elsewhere):
            yield read
    finally:
        for handle in handles:
            handle.remove()


def foldable(model: nn.Module, read: Read) -> list[tuple[str, str]]:
    """Pairs of convolution and BatchNorm that can become one.

    The BatchNorm has read that convolution's output in each of its calls, and nothing else has read it, as it does in
    networks with BatchNorm first. Neither is listened to, nor of a kind of its own.

    Args:
        model: In evaluation mode.
        read: What ``readers`` saw of it.
    """
    pairs = []
    for norm_name, sources in read.pairs.items():
        (conv_name, *others) = set(sources)
        shared = any(conv_name in seen for name, seen in read.pairs.items() if name != norm_name)
        if others or not conv_name or shared or conv_name in read.others:
            continue
        conv, norm = model.get_submodule(conv_name), model.get_submodule(norm_name)
        heard = any((each._forward_hooks, each._forward_pre_hooks) != ({}, {}) for each in (conv, norm))
        plain = type(conv) in CONVOLUTIONS and type(norm) in BATCHNORMS and norm.running_var is not None
        if plain and not heard and read.calls[conv_name] == read.calls[norm_name]:
            pairs.append((conv_name, norm_name))
    return pairs


def fold(model: nn.Module, conv_name: str, norm_name: str) -> Callable[[], None]:
    """Folds a BatchNorm into the convolution before it.

    ``BN(W * x + b) = (W g / s) * x + (b - m) g / s + h`` with its means m, deviations s, factors g and offsets h.

    Args:
        model: In evaluation mode.
        conv_name: Name of the convolution.
        norm_name: Name of the BatchNorm; an identity takes its place.

    Returns:
        What takes it back.
    """
    conv, norm = cast(Any, model.get_submodule(conv_name)), cast(Any, model.get_submodule(norm_name))
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    parent_name, _, child = norm_name.rpartition('.')
    parent, old = model.get_submodule(parent_name), (conv.weight, conv.bias)

    def back() -> None:
        conv.weight, conv.bias = old
        setattr(parent, child, norm)

    conv.weight = nn.Parameter(weight.detach(), requires_grad=False)
    conv.bias = nn.Parameter(bias.detach(), requires_grad=False)
    setattr(parent, child, nn.Identity().eval())
    return back


def constant_weights() -> AbstractContextManager[Any]:
    """What is compiled in this block, without gradient, has its weights as constants, laid out for its convolutions.

    They are then held twice, and on the device for good. It has to be known while a network is traced, where the
    options of ``torch.compile`` are not.
    """
    from torch._inductor import config  # who compiles nothing need not import a compiler

    return cast(Any, config).patch(freezing=True)


def compiled(module: nn.Module) -> Callable[[], None]:
    """Compiles a module's calls, in place.

    Returns:
        What takes it back.
    """
    module.compile()

    def back() -> None:
        cast(Any, module)._compiled_call_impl = None

    return back


def computes_in(inputs: Tensor) -> torch.dtype:
    """The type that convolutions compute in here; TF32, which tensor cores use for float32, is as fine as float16."""
    device = inputs.device.type
    if torch.is_autocast_enabled(device):
        return torch.get_autocast_dtype(device)
    return torch.float16 if device == 'cuda' and torch.backends.cudnn.allow_tf32 else torch.float32


def distance(one: Outputs, other: Outputs) -> float:
    """The largest relative error of logits, embedding and features; infinite where shapes differ or it is not finite.

    Losses follow from these, and those of good teachers are too small to be compared.
    """
    worst = 0.0
    parts = [(one.logits, other.logits), (one.embedding, other.embedding), *zip(one.feature, other.feature)]
    for a, b in parts:
        if a.shape != b.shape:
            return float('inf')
        if a.numel():
            error = (a.float() - b.float()).norm() / a.float().norm().clamp(min=1e-12)
            worst = max(worst, float(error)) if torch.isfinite(error) else float('inf')
    return worst


def build_live(options: Any) -> Live:
    """How teachers run, of the hook's ``live``.

    Raises:
        MTKDError: It is no dict, or has an option that there is not.
    """
    return from_options(Live, 'live', options)
