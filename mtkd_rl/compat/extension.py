"""What is imported as ``mmcv._ext`` where mmcv was not compiled: its operators under its names and arguments.

The names that mmcv asks for and that are not here are functions that raise by name when they are called, so that
everything else of ``mmcv.ops`` works.
"""

from collections.abc import Callable
from typing import Any

from mtkd_rl.compat.boxes import nms, nms_match, softnms
from mtkd_rl.compat.convolutions import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from mtkd_rl.compat.missing import missing
from mtkd_rl.compat.regions import roi_align_backward, roi_align_forward

__all__ = [
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'nms',
    'nms_match',
    'roi_align_backward',
    'roi_align_forward',
    'softnms',
]


def __getattr__(name: str) -> Callable[..., Any]:
    """An operator that is not here."""
    if name.startswith('__'):
        raise AttributeError(name)

    def operator(*args: Any, **kwargs: Any) -> Any:
        raise missing(name)

    return operator
