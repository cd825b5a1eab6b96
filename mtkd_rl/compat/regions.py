"""mmcv's operators that pool regions of interest, ``(index in the batch, x1, y1, x2, y2)``, from maps (B, C, H, W)."""

from torch import Tensor

from mtkd_rl.compat.missing import missing, torchvision_operators
from mtkd_rl.compat.precision import wide


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Mean of each region's bins.

    Args:
        input: (B, C, H, W).
        rois: (K, 5), in pixels of the picture.
        output: Set, (K, C, aligned_height, aligned_width).
        argmax_y: Not used.
        argmax_x: Not used.
        aligned_height: Bins in a column.
        aligned_width: Bins in a row.
        spatial_scale: Pixels of the map for one of the picture.
        sampling_ratio: Points a bin is sampled at, in each direction; 0 for one per pixel of the map.
        pool_mode: 1 for the mean; 0, the maximum, raises.
        aligned: Whether a pixel's value belongs to its centre.

    Raises:
        RuntimeError: The maximum was asked for, or torchvision is not installed.
    """
    if pool_mode == 0:
        raise missing("roi_align_forward with pool_mode='max'")
    size = (spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned)
    image = wide(input)
    output.copy_(torchvision_operators('roi_align_forward').roi_align(image, rois.to(image.dtype), *size))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Set ``grad_input`` (B, C, H, W) to the gradient of the map; see `roi_align_forward`."""
    gradient = wide(grad_output)
    size = (spatial_scale, aligned_height, aligned_width, *grad_input.shape, sampling_ratio, aligned)
    operators = torchvision_operators('roi_align_backward')
    grad_input.copy_(operators._roi_align_backward(gradient, rois.to(gradient.dtype), *size))
