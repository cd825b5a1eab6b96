"""Teachers that run faster and say the same: BatchNorm folded into convolutions, channels last, a lower precision.

What is changed is tried on the first batch beside the teacher as it was. Where they differ by more than rounding does,
it is taken back, so that no network is too strange to be a teacher.
"""

import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from mmengine.logging import print_log
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

from mtkd_rl.errors import MTKDError, candidates
from mtkd_rl.types import Outputs

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)

PRECISIONS = {None: None, 'bfloat16': torch.bfloat16, 'float16': torch.float16}

ALLOWED = {None: 1e-3, 'bfloat16': 0.1, 'float16': 0.02}
"""Relative error of all outputs together up to which a teacher says the same, by precision."""


class Live:
    """How teachers run.

    Args:
        fold: Fold BatchNorm into the convolution before it.
        channels_last: Keep channels last in memory, as the convolutions of CPUs and tensor cores want them.
        precision: ``'bfloat16'`` or ``'float16'`` for autocast of the teachers alone; ``None`` for the student's.

    Raises:
        MTKDError: There is no such precision.
    """

    def __init__(self, fold: bool = True, channels_last: bool = True, precision: str | None = None) -> None:
        if precision not in PRECISIONS:
            raise MTKDError(f"MTKDHook: live: precision is {precision!r}; give 'bfloat16', 'float16' or None")
        self.fold, self.channels_last, self.precision = fold, channels_last, precision
        self._plain: set[str] = set()  # teachers that run as they were

    def prepare(
        self, name: str, model: nn.Module, inputs: Tensor, tapped: Collection[str], ask: Callable[[Tensor], Outputs]
    ) -> Outputs:
        """Changes a teacher, in place, and compares what it says before and after on one batch.

        Args:
            name: The teacher's.
            model: Its network, in evaluation mode.
            inputs: What it is given, ``(B, C, H, W)``.
            tapped: Names of modules whose output has to stay what it is.
            ask: Runs it.

        Returns:
            What it says of the batch as it is from here on.
        """
        wanted = self.fold or self.channels_last
        if not self.precision and not (wanted and any(isinstance(each, CONVOLUTIONS) for each in model.modules())):
            return ask(inputs)
        undo: list[Callable[[], Any]] = []
        with readers(model) as read:
            before = ask(inputs)
        try:
            folded = fold_batchnorm(model, read, tapped, undo) if self.fold else 0
            if self.channels_last:
                undo.append(lambda: model.to(memory_format=torch.contiguous_format))  # type: ignore[call-overload]
                model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            with self.running(name, inputs) as given:
                after = ask(given)
            error = distance(before, after)
        except (RuntimeError, TypeError, ValueError) as problem:
            error, after = float('inf'), before
            print_log(f'mtkd_rl: teacher {name}: {" ".join(str(problem).split())}', 'current', 10)
        if not error <= ALLOWED[self.precision]:
            for each in reversed(undo):
                each()
            self._plain.add(name)
            print_log(
                f'mtkd_rl: teacher {name} runs as it is: made faster it would say something else (relative error '
                f'{error:.1e}); live=dict(fold=False, channels_last=False) does not try',
                'current',
            )
            return before
        what = [f'{folded} BatchNorms folded'] if folded else []
        what += ['channels last'] if self.channels_last else []
        what += [self.precision] if self.precision else []
        if what:
            print_log(f'mtkd_rl: teacher {name}: {", ".join(what)}: relative error {error:.1e}', 'current')
        return after

    @contextmanager
    def running(self, name: str, inputs: Tensor) -> Iterator[Tensor]:
        """A teacher runs in this block, on the inputs that the block is given."""
        if name in self._plain:
            yield inputs
            return
        if self.channels_last:
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        dtype = PRECISIONS[self.precision]
        if dtype is None:
            yield inputs
            return
        with torch.autocast(inputs.device.type, dtype=dtype):
            yield inputs


class Read(NamedTuple):
    """Which BatchNorm read the output of which convolution.

    Attributes:
        pairs: Name of a BatchNorm to that of the convolution.
        calls: How often each was called.
        others: Convolutions whose output something else read too.
    """

    pairs: dict[str, str]
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
    said: dict[int, tuple[str, Any]] = {}  # outputs are held, or another could have the same id
    read = Read({}, dict.fromkeys(modules, 0), set())
    norms: list[nn.Module] = []  # in whose forward we are

    def elsewhere(arguments: Sequence[Any]) -> None:
        if not norms:
            read.others.update(said[id(each)][0] for each in arguments if id(each) in said)

    def recorder(name: str) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            read.calls[name] += 1
            if norms and norms[-1] is module:
                norms.pop()
            if isinstance(module, CONVOLUTIONS):
                said[id(output)] = name, output
            elif args and id(args[0]) in said:
                read.pairs[name] = said[id(args[0])][0]

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


def fold_batchnorm(model: nn.Module, read: Read, kept: Collection[str], undo: list[Callable[[], Any]]) -> int:
    """Folds every BatchNorm that reads a convolution's output into that convolution.

    ``BN(W * x + b) = (W g / s) * x + (b - m) g / s + h`` with its means m, deviations s, factors g and offsets h.
    Convolutions whose output is also read elsewhere, as in networks with BatchNorm first, stay.

    Args:
        model: In evaluation mode.
        read: What ``readers`` saw of it.
        kept: Names of modules that must go on saying what they say.
        undo: Is given functions that take it back, the last one first.

    Returns:
        How many were folded.
    """
    convolutions = list(read.pairs.values())
    folded = 0
    for norm, conv in read.pairs.items():
        once = read.calls[norm] == read.calls[conv] == 1 and convolutions.count(conv) == 1
        if once and conv not in read.others and norm not in kept and conv not in kept:
            folded += _fold(model, norm, model.get_submodule(conv), undo)
    return folded


def _fold(model: nn.Module, norm_name: str, conv: Any, undo: list[Callable[[], Any]]) -> bool:
    norm: Any = model.get_submodule(norm_name)
    if norm.running_var is None or type(conv) not in CONVOLUTIONS:
        return False  # statistics of the batch, or a convolution of another kind
    weight, bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    parent_name, _, child = norm_name.rpartition('.')
    parent, old = model.get_submodule(parent_name), (conv.weight, conv.bias)

    def back() -> None:
        conv.weight, conv.bias = old
        setattr(parent, child, norm)

    undo.append(back)
    conv.weight = nn.Parameter(weight.detach(), requires_grad=False)
    conv.bias = nn.Parameter(bias.detach(), requires_grad=False)
    setattr(parent, child, nn.Identity().eval())
    return True


def distance(one: Outputs, other: Outputs) -> float:
    """The largest relative error of any part of outputs; infinite where shapes differ or something is not finite."""
    worst = 0.0
    for a, b in zip(one.tensors(), other.tensors()):
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
    if not isinstance(options, Mapping):
        raise MTKDError(f'MTKDHook: live is {options!r}; give a dict of its options')
    known = list(inspect.signature(Live).parameters)
    for name in options:
        if name not in known:
            raise MTKDError(f'MTKDHook: live has no option {name!r}; did you mean: {candidates(name, known)}')
    return Live(**options)
