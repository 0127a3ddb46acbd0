"""Layers of generators that PyTorch has none for."""

import torch
from torch import Tensor, nn

SLOPE = 0.2
"""Of LeakyReLU, left of zero."""


class View(nn.Module):
    """The same numbers in another shape, image by image."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self._shape = shape

    def forward(self, x: Tensor) -> Tensor:
        """(N, …) → (N, *shape)."""
        return x.reshape(len(x), *self._shape)


class CropBottomRight(nn.Module):
    """Without the last row and column."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) → (N, C, H - 1, W - 1); a view."""
        return x[:, :, :-1, :-1]


class PixelNorm(nn.Module):
    """Every pixel's channels divided by their root mean square (Karras et al. 2018, 1710.10196)."""

    transparent = True
    """A signal passes channel by channel, so that it cuts no path."""

    def forward(self, x: Tensor) -> Tensor:
        """The same shape; the mean of squares over channels is 1."""
        return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)
