"""Layers of generators that PyTorch does not have."""

import torch
from torch import Tensor, nn

SLOPE = 0.2
"""The slope of LeakyReLU for negative inputs."""
GROUP = 4
"""The number of images of a batch that are compared with each other."""


class View(nn.Module):
    """A layer that gives each image of the batch another shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self._shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) → (N, *shape)."""
        return x.reshape(len(x), *self._shape)


class CropBottomRight(nn.Module):
    """A layer that drops the last row and column."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H - 1, W - 1); a view."""
        return x[:, :, :-1, :-1]


class PixelNorm(nn.Module):
    """Every pixel's channels divided by their root mean square (Karras et al. 2018, 1710.10196)."""

    transparent = True
    """True, as the signal passes channel by channel and no path is cut."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalise each pixel so that the mean of squares over channels is 1; the shape stays."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


class MinibatchDeviation(nn.Module):
    r"""Appends a channel: how much images near in the batch differ (Karras et al. 2018, section 3).

    It holds the standard deviation over groups of four images, averaged over channels and pixels;
    the group is the whole batch where four do not divide it.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C + 1, H, W)."""
        size = GROUP if len(x) % GROUP == 0 else len(x)
        groups = x.reshape(-1, size, *x.shape[1:])
        spread = (groups.var(dim=1, unbiased=False) + 1e-8).sqrt().mean(dim=(1, 2, 3))
        channel = spread.repeat_interleave(size).view(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])
        return torch.cat([x, channel.to(x.dtype)], dim=1)
