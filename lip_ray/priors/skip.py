"""The skip network of Deep Image Prior, denoising variant, under its original parameter names."""

from collections import OrderedDict
from typing import Annotated, Literal, final

import torch
from pydantic import Field
from torch import Tensor, nn

from lip_ray.priors.base import AbstractPrior

SLOPE = 0.2
Count = Annotated[int, Field(ge=1, le=8192)]
"""Of channels; what is over the limit is a slip of the pen, not a network."""


@final
class Skip(AbstractPrior):
    """An hourglass with skip connections (Ulyanov et al. 2018, arXiv 1711.10925).

    Strided convolutions down, bilinear upsampling, reflection padding, batch normalisation,
    LeakyReLU 0.2, a sigmoid at the end. The defaults are the network of the lottery-image-prior
    study: 2,217,831 parameters for three channels, 2,208,768 of them prunable weights.
    """

    kind: Literal["skip"] = "skip"
    width: Count = 128
    """Channels of every convolution on the way down and up."""
    scales: Annotated[int, Field(ge=1, le=16)] = 5
    """How many times the image is halved."""
    skip_width: Annotated[int, Field(ge=0, le=8192)] = 4
    """Channels of each skip connection; 0 leaves them out."""
    input_channels: Count = 32
    """Channels of the latent."""

    @property
    def minimum_side(self) -> int:
        """Reflection padding needs two pixels at the coarsest scale."""
        return (1 << self.scales) + 1

    def latent_shape(self, image_shape: tuple[int, int, int]) -> tuple[int, int, int]:
        """As high and wide as the image."""
        return (self.input_channels, *image_shape[1:])

    @property
    def latent_channels(self) -> int:
        """As many as the network's input has."""
        return self.input_channels

    def network(self, image_channels: int, *, size: tuple[int, int] | None = None) -> nn.Module:
        """(1, input_channels, H, W) → (1, image_channels, H, W) in (0, 1), any H and W.

        State-dict names are those of the original code, so its checkpoints load unchanged.
        """
        layers = self._scale(0)
        layers += [_convolution(self.width, image_channels, 1), nn.Sigmoid()]
        return _numbered(layers)

    def _scale(self, scale: int) -> list[nn.Module]:
        """One scale and, inside it, all coarser ones."""
        width, inward = self.width, self.width if scale else self.input_channels
        down = _block(inward, width, 3, stride=2) + _block(width, width, 3)
        if scale + 1 < self.scales:
            down.append(_numbered(self._scale(scale + 1)))
        down.append(nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False))
        inner: nn.Module = _SameSize(_names(down))
        if self.skip_width:
            inner = _Concat(_numbered(_block(inward, self.skip_width, 1)), inner)
        joined = width + self.skip_width
        return [
            inner,
            nn.BatchNorm2d(joined),
            *_block(joined, width, 3),
            *_block(width, width, 1),
        ]


class _Concat(nn.Sequential):
    """The outputs of all branches, side by side."""

    def forward(self, x: Tensor) -> Tensor:
        """Concatenated along channels."""
        return torch.cat([branch(x) for branch in self], dim=1)


class _SameSize(nn.Sequential):
    """Halving an odd side and doubling it adds a pixel: the centre, as large as the input."""

    def forward(self, x: Tensor) -> Tensor:
        """As high and wide as `x`."""
        output: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        top, left = (output.shape[2] - x.shape[2]) // 2, (output.shape[3] - x.shape[3]) // 2
        return output[:, :, top : top + x.shape[2], left : left + x.shape[3]]


def _block(inward: int, outward: int, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        _convolution(inward, outward, kernel, stride),
        nn.BatchNorm2d(outward),
        nn.LeakyReLU(SLOPE, inplace=True),
    ]


def _convolution(inward: int, outward: int, kernel: int, stride: int = 1) -> nn.Module:
    padding = nn.ReflectionPad2d((kernel - 1) // 2)
    return nn.Sequential(padding, nn.Conv2d(inward, outward, kernel, stride))


def _numbered(layers: list[nn.Module]) -> nn.Sequential:
    return nn.Sequential(_names(layers))


def _names(layers: list[nn.Module]) -> OrderedDict[str, nn.Module]:
    """Counted from 1, as in the original."""
    return OrderedDict((str(i), layer) for i, layer in enumerate(layers, start=1))
