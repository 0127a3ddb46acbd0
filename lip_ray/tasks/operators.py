"""The linear maps of the study's tasks."""

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lip_ray.tasks.base import Operator

Boundary = Literal["replicate", "circular"]


class Masking(Operator):
    """Sets missing pixels to 0 and leaves the others as they are."""

    def __init__(self, mask: Tensor) -> None:
        """`mask` is (1, 1 or C, H, W): 1 where a value is kept and 0 where it is missing."""
        self.mask = mask

    def __call__(self, images: Tensor) -> Tensor:
        """Return the images with their hidden pixels set to 0."""
        return images * self.mask


class Downsampling(Operator):
    """Every `factor`-th pixel after an anti-aliasing Lanczos-2 filter, as in Deep Image Prior.

    Phase 0.5: an output pixel lies at the centre of the `factor` × `factor` pixels it stands for.
    Beyond the border the image continues with its outermost pixels.
    """

    def __init__(self, factor: int, *, device: torch.device | str = "cpu") -> None:
        self.factor = factor
        self.kernel = lanczos2(factor).float().to(device)

    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H / factor, W / factor)."""
        beyond = (len(self.kernel) - self.factor) // 2
        padded = F.pad(images, (beyond,) * 4, mode="replicate")
        return _filtered(padded, self.kernel, stride=self.factor)

    def image_shape(self, measurement: Tensor) -> tuple[int, int, int]:
        """`factor` times as high and wide as the measurement."""
        channels, height, width = measurement.shape[1:]
        return channels, self.factor * height, self.factor * width

    def view(self, measurement: Tensor) -> Tensor:
        """The measurement upsampled by bicubic interpolation and clamped to [0, 1]."""
        return F.interpolate(measurement, scale_factor=self.factor, mode="bicubic").clamp(0, 1)


class Blur(Operator):
    r"""Convolution with one kernel in all channels; the measurement is as large as the image.

    Beyond the border the image continues with its outermost pixels, which suits photos, or with
    `circular` from its other side, which methods by FFT assume.
    """

    def __init__(self, kernel: Tensor, *, boundary: Boundary = "replicate") -> None:
        """`kernel` is (h, w), both odd, with its origin in the middle."""
        self.kernel = kernel
        self.boundary = boundary

    def __call__(self, images: Tensor) -> Tensor:
        """Return the images convolved with the kernel."""
        rows, columns = (side // 2 for side in self.kernel.shape)
        padded = F.pad(images, (columns, columns, rows, rows), mode=self.boundary)
        return _filtered(padded, self.kernel.flip(0, 1))


def lanczos2(factor: int) -> Tensor:
    """The Lanczos-2 kernel stretched by `factor`, (4 · factor, 4 · factor) float64, of sum 1.

    L(x) = sinc(x) · sinc(x / 2) for |x| < 2, at the distances in output pixels.
    """
    side = 4 * factor
    distance = (torch.arange(side, dtype=torch.float64) - (side - 1) / 2) / factor
    line = torch.sinc(distance) * torch.sinc(distance / 2)
    line = line / line.sum()
    return torch.outer(line, line)


def _filtered(images: Tensor, kernel: Tensor, *, stride: int = 1) -> Tensor:
    """Correlation of each channel with a kernel, at all positions inside of the image."""
    channels = images.shape[1]
    weight = kernel.to(images.dtype).expand(channels, 1, -1, -1)
    return F.conv2d(images, weight, stride=stride, groups=channels)
