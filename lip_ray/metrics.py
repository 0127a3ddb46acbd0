"""Image metrics as tensors: nothing here waits for the device.

Images are (N, C, H, W) float in [0, 1], references (1, C, H, W); the peak value is 1.
"""

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA_WEIGHTS = (65.481, 128.553, 24.966)
"""The weights of red, green and blue in [0, 1]; with the offset of 16, white is 235."""

SSIM_WINDOW = 11
SSIM_SIGMA = 1.5
SSIM_C1 = 0.01**2
SSIM_C2 = 0.03**2


def psnr(images: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of each image to one reference, (N,); infinite where they
    are equal."""
    return -10 * torch.log10((images - reference).square().mean((1, 2, 3)))


def luma(image: Tensor) -> Tensor:
    r"""The Y channel of ITU-R BT.601 in studio swing, (N, 1, H, W) in [16/255, 235/255].

    Grey images are returned unchanged.
    """
    if image.shape[1] == 1:
        return image
    weights = _luma_weights(image.dtype, image.device)
    return 16 / 255 + torch.einsum("c,nchw->nhw", weights, image)[:, None]


def ssim(image: Tensor, reference: Tensor) -> Tensor:
    r"""Mean structural similarity of one image, a scalar tensor (Wang et al. 2004).

    An 11×11 Gaussian window of σ = 1.5, population covariance, averaged over the valid region only.
    The result is NaN for images smaller than the window. It is computed in float64, because
    variances are small differences of large numbers: half precision is wrong in the second decimal,
    and CUDA convolves float32 in TF32 by default.
    """
    channels, height, width = image.shape[1:]
    if min(height, width) < SSIM_WINDOW:
        return image.new_full((), float("nan"), dtype=torch.float32)
    x, y = image.double(), reference.double()
    window = _gaussian_window(channels, x)
    means = F.conv2d(torch.cat((x, y)), window, groups=channels)
    mean_x, mean_y = means[:1], means[1:]
    squares = F.conv2d(torch.cat((x * x, y * y, x * y)), window, groups=channels)
    var_x = squares[:1] - mean_x**2
    var_y = squares[1:2] - mean_y**2
    covariance = squares[2:] - mean_x * mean_y
    luminance = (2 * mean_x * mean_y + SSIM_C1) / (mean_x**2 + mean_y**2 + SSIM_C1)
    structure = (2 * covariance + SSIM_C2) / (var_x + var_y + SSIM_C2)
    return (luminance * structure).mean().float()


@cache  # a copy from the host waits for the device
def _luma_weights(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The weights of red, green and blue for luma in [0, 1], on a device."""
    return torch.tensor(LUMA_WEIGHTS, dtype=dtype, device=device) / 255


def _gaussian_window(channels: int, like: Tensor) -> Tensor:
    offsets = torch.arange(SSIM_WINDOW, device=like.device, dtype=like.dtype) - SSIM_WINDOW // 2
    line = torch.exp(-(offsets**2) / (2 * SSIM_SIGMA**2))
    line = line / line.sum()
    return torch.outer(line, line).expand(channels, 1, SSIM_WINDOW, SSIM_WINDOW)
