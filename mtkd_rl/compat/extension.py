"""What is imported as ``mmcv._ext`` where mmcv was not compiled: its operators under its names and arguments.

The names that mmcv asks for and that are not here are functions that raise by name when they are called, so that
everything else of ``mmcv.ops`` works.
"""

from collections.abc import Callable
from typing import Any

from mtkd_rl.compat.attention import (
    carafe_backward,
    carafe_forward,
    ms_deform_attn_backward,
    ms_deform_attn_forward,
    psamask_backward,
    psamask_forward,
)
from mtkd_rl.compat.boxes import bbox_overlaps, nms, nms_match, softnms
from mtkd_rl.compat.convolutions import (
    deform_conv_backward_input,
    deform_conv_backward_parameters,
    deform_conv_forward,
    masked_col2im_forward,
    masked_im2col_forward,
    modulated_deform_conv_backward,
    modulated_deform_conv_forward,
)
from mtkd_rl.compat.focal import (
    sigmoid_focal_loss_backward,
    sigmoid_focal_loss_forward,
    softmax_focal_loss_backward,
    softmax_focal_loss_forward,
)
from mtkd_rl.compat.missing import missing
from mtkd_rl.compat.normalization import (
    sync_bn_backward_data,
    sync_bn_backward_param,
    sync_bn_forward_mean,
    sync_bn_forward_output,
    sync_bn_forward_var,
)
from mtkd_rl.compat.regions import (
    deform_roi_pool_backward,
    deform_roi_pool_forward,
    roi_align_backward,
    roi_align_forward,
    roi_pool_backward,
    roi_pool_forward,
)

__all__ = [
    'bbox_overlaps',
    'carafe_backward',
    'carafe_forward',
    'deform_conv_backward_input',
    'deform_conv_backward_parameters',
    'deform_conv_forward',
    'deform_roi_pool_backward',
    'deform_roi_pool_forward',
    'get_compiler_version',
    'get_compiling_cuda_version',
    'masked_col2im_forward',
    'masked_im2col_forward',
    'modulated_deform_conv_backward',
    'modulated_deform_conv_forward',
    'ms_deform_attn_backward',
    'ms_deform_attn_forward',
    'nms',
    'nms_match',
    'psamask_backward',
    'psamask_forward',
    'roi_align_backward',
    'roi_align_forward',
    'roi_pool_backward',
    'roi_pool_forward',
    'sigmoid_focal_loss_backward',
    'sigmoid_focal_loss_forward',
    'softmax_focal_loss_backward',
    'softmax_focal_loss_forward',
    'softnms',
    'sync_bn_backward_data',
    'sync_bn_backward_param',
    'sync_bn_forward_mean',
    'sync_bn_forward_output',
    'sync_bn_forward_var',
]


def get_compiler_version() -> str:
    """What environments are reported with."""
    return 'n/a (mtkd_rl.compat)'


def get_compiling_cuda_version() -> str:
    """What environments are reported with."""
    return 'n/a (mtkd_rl.compat)'


def __getattr__(name: str) -> Callable[..., Any]:
    """An operator that is not here."""
    if name.startswith('__'):
        raise AttributeError(name)

    def operator(*args: Any, **kwargs: Any) -> Any:
        raise missing(name)

    return operator
