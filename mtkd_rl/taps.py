"""Recording what named modules of a model see or say, without touching the model.

A tap is a forward hook on a submodule. It is a closure, not a bound method: ``EMAHook`` deep-copies the student with
its forward hooks, and a closure stays shared by the copy instead of taking the teachers along. The copy's modules are
told from the student's by identity, and a closed tap leaves no trace.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

from torch import Tensor, nn

from mtkd_rl.errors import MTKDError, candidates


class Tap(NamedTuple):
    """Where to listen: the name of a module as ``named_modules`` has it ('' is the model), and which side of it.

    ``input`` is the first of what it is given, ``inputs`` is all of it.
    """

    layer: str
    side: Literal['input', 'inputs', 'output'] = 'output'


class Taps:
    """Listens at named modules of one model while it is told to.

    Outside ``listening()`` nothing is recorded: evaluation, or the recomputation of activation checkpointing in the
    backward pass, leave the records alone.

    Args:
        model: The model to listen to.
        taps: Role (a name of the caller's) to tap.
        owner: Whose model it is, for error messages, such as ``student`` or ``teacher r50``.

    Raises:
        MTKDError: A module of that name does not exist; the message lists candidates.
    """

    def __init__(self, model: nn.Module, taps: Mapping[str, Tap], owner: str) -> None:
        self.owner = owner
        self.layers = {role: tap.layer for role, tap in taps.items()}
        self._records: dict[str, Any] = {}
        self._listening = False
        modules = dict(model.named_modules())
        for role, tap in taps.items():
            if tap.layer not in modules:
                names = candidates(tap.layer, [name for name in modules if name])
                raise MTKDError(
                    f'{owner}: there is no layer {tap.layer!r} to take the {role} from; did you mean: {names}'
                )
        self._handles = [
            modules[tap.layer].register_forward_hook(self._recorder(role, tap.side, modules[tap.layer]))
            for role, tap in taps.items()
        ]

    def _recorder(self, role: str, side: str, listened: nn.Module) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            if self._listening and module is listened:
                self._records[role] = {'output': output, 'inputs': args}.get(side, args[0] if args else None)

        return record

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Records from here to the end of the block; what was recorded before is dropped."""
        self.start()
        try:
            yield
        finally:
            self._listening = False

    def start(self) -> None:
        """Begins to record; what was recorded before is dropped."""
        self._records = dict.fromkeys(self.layers)
        self._listening = True

    def take(self) -> dict[str, Any]:
        """Stops recording and hands the records over, so that no tensor outlives its iteration.

        Returns:
            Role to what its module saw or said last, ``None`` for a module that never ran; empty if nobody listened.
        """
        self._listening = False
        records, self._records = self._records, {}
        return records

    def close(self) -> None:
        """Removes every hook from the model."""
        for handle in self._handles:
            handle.remove()
        self._handles = []


def last_tensor(value: Any) -> Tensor | None:
    """The last tensor of a possibly nested tuple or list; ``None`` when there is none.

    Backbones return one output a stage, the last being the deepest.
    """
    if isinstance(value, Tensor):
        return value
    if isinstance(value, list | tuple):
        for item in reversed(value):
            found = last_tensor(item)
            if found is not None:
                return found
    return None


def deepest_feature(model: nn.Module, run: Callable[[], Any]) -> str | None:
    """The name of the last module that says something with positions, found by running the model once.

    Args:
        model: Any network.
        run: Runs the model on a batch.

    Returns:
        The module that last returned a map ``(B, D, H, W)`` with ``H W > 1``; failing that, the one that last
        returned tokens ``(B, N, D)``; ``None`` where there is neither.
    """
    last: dict[int, str] = {}

    def recorder(name: str) -> Callable[..., None]:
        def record(module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            tensor = last_tensor(output)
            if tensor is not None and (
                tensor.dim() == 3 or (tensor.dim() == 4 and tensor.shape[2] * tensor.shape[3] > 1)
            ):
                last[tensor.dim()] = name

        return record

    handles = [module.register_forward_hook(recorder(name)) for name, module in model.named_modules() if name]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return last.get(4, last.get(3))
