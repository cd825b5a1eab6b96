"""A fusion student as a file that needs nothing of this project: ONNX or TorchScript, checked against the model."""

from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mtkd_rl.errors import MTKDError
from mtkd_rl.fusion.models import FusionModel

INPUT, OUTPUT = 'pair', 'fused'
SIZES = ((64, 96), (37, 51))
"""Heights and widths at which the file is compared with the model; the first one is that of the export."""


class Parity(NamedTuple):
    """How far a file is from the model that it was made of.

    Attributes:
        sizes: Heights and widths that were tried.
        difference: The largest difference of a pixel, in [0, 1].
    """

    sizes: tuple[tuple[int, int], ...]
    difference: float


class Exported(nn.Module):
    """What is written: pairs ``(B, 2, H, W)`` in [0, 1], infrared first, to the fused luma ``(B, 1, H, W)`` in [0, 1].

    Args:
        model: A trained model.
    """

    def __init__(self, model: FusionModel) -> None:
        super().__init__()
        self.network = model.network

    def forward(self, pair: Tensor) -> Tensor:
        """Fuses, and clips to [0, 1]."""
        fused: Tensor = self.network(pair).clamp(0, 1)
        return fused


@torch.no_grad()
def export(model: FusionModel, path: Path) -> Parity:
    """Writes a model for pairs of any number and size.

    Args:
        model: On the CPU.
        path: Ends in ``.onnx``, or in ``.pt`` for TorchScript.

    Returns:
        What running the file showed.

    Raises:
        MTKDError: Another ending; a package is not there.
    """
    whole = Exported(model).eval()
    torch.manual_seed(0)
    pairs = [torch.rand(1 + i, 2, *size) for i, size in enumerate(SIZES)]
    writers = {'.onnx': _onnx, '.pt': _torchscript}
    if path.suffix not in writers:
        raise MTKDError(f'{path}: export writes {" and ".join(writers)} files; give a path that ends so')
    path.parent.mkdir(parents=True, exist_ok=True)
    run = writers[path.suffix](whole, pairs[0], path)
    difference = max(float((run(pair) - whole(pair)).abs().max()) for pair in pairs)
    return Parity(SIZES, difference)


def _torchscript(whole: nn.Module, pair: Tensor, path: Path) -> Any:
    torch.jit.trace(whole, pair, check_trace=False).save(str(path))
    return torch.jit.load(str(path))


def _onnx(whole: nn.Module, pair: Tensor, path: Path) -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise MTKDError(f'{path}: ONNX needs the package {error.name}; pip install onnx onnxruntime') from None
    axes = {0: 'batch', 2: 'height', 3: 'width'}
    torch.onnx.export(
        whole,
        (pair,),
        str(path),
        input_names=[INPUT],
        output_names=[OUTPUT],
        dynamic_axes={INPUT: axes, OUTPUT: axes},
        dynamo=False,  # it fixes the sizes of what is padded
        opset_version=17,
    )
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return lambda x: torch.from_numpy(session.run([OUTPUT], {INPUT: x.numpy()})[0])
