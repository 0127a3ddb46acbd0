"""The hourglass of Deep Image Prior, with or without skips, under its original parameter names."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

SLOPE = 0.2
Count = Annotated[int, Field(ge=1, le=8192)]
"""A number of channels. A number over the limit is taken for a typing error."""
Downsampling = Literal["stride", "average"]
Upsampling = Literal["bilinear", "nearest"]


@dataclass(frozen=True, kw_only=True)
class Hourglass:
    """Convolutions down and up again (Ulyanov et al. 2018, arXiv 1711.10925).

    Reflection padding, batch normalisation, LeakyReLU 0.2, a sigmoid at the end.
    """

    inward: int
    """The number of channels of the latent."""
    widths: tuple[int, ...]
    """Channels at each scale, finest first."""
    skip_widths: tuple[int, ...]
    """Channels of the skip connection at each scale, finest first; 0 leaves one out."""
    down_filter: int
    """Side of the filters on the way down; odd, at least 3."""
    up_filter: int
    """Side of the filters on the way up; odd, at least 3."""
    downsampling: Downsampling
    """How scales are halved: by convolutions of stride 2, or by averaging 2×2 pixels after them."""
    upsampling: Upsampling
    pointwise: bool
    """Whether a 1×1 convolution follows each one on the way up."""

    @property
    def minimum_side(self) -> int:
        """The smallest side: padding reflects fewer pixels than there are, at every scale."""
        coarsest = (self.down_filter // 2) << len(self.widths)
        next_to_it = (self.up_filter // 2) << (len(self.widths) - 1)
        return max(coarsest, next_to_it) + 1

    def network(self, image_channels: int) -> nn.Sequential:
        """(1, inward, H, W) → (1, image_channels, H, W) in (0, 1), any H and W.

        State-dict names are those of the original code, so its checkpoints load unchanged.
        """
        layers = self._scale(0)
        layers += [convolution(self.widths[0], image_channels, 1), nn.Sigmoid()]
        return numbered(layers)

    def _scale(self, scale: int) -> list[nn.Module]:
        """One scale and, inside it, all coarser ones."""
        width, inward = self.widths[scale], self.widths[scale - 1] if scale else self.inward
        skip_width = self.skip_widths[scale]
        coarser = self.widths[scale + 1 :]
        down = _block(self._halving(inward, width))
        down += _block(convolution(width, width, self.down_filter))
        if coarser:
            down.append(numbered(self._scale(scale + 1)))
        down.append(upsample(self.upsampling))
        inner: nn.Module = SameSize(_names(down))
        if skip_width:
            skip = numbered(_block(convolution(inward, skip_width, 1)))
            inner = Concat(skip, inner)
        joined = skip_width + (coarser[0] if coarser else width)
        layers = [inner, nn.BatchNorm2d(joined)]
        layers += _block(convolution(joined, width, self.up_filter))
        if self.pointwise:
            layers += _block(convolution(width, width, 1))
        return layers

    def _halving(self, inward: int, outward: int) -> nn.Sequential:
        if self.downsampling == "stride":
            return convolution(inward, outward, self.down_filter, stride=2)
        layers = convolution(inward, outward, self.down_filter)
        return layers.append(nn.AvgPool2d(2, ceil_mode=True))  # halves as a stride does, rounded up


class Concat(nn.Sequential):
    """Branches whose outputs are concatenated."""

    def forward(self, x: Tensor) -> Tensor:
        """The outputs of the branches, concatenated along channels."""
        return torch.cat([branch(x) for branch in self], dim=1)


class SameSize(nn.Sequential):
    """Crops a scale's output to its input: halving and doubling an odd side adds a pixel."""

    def forward(self, x: Tensor) -> Tensor:
        """The centre of the output, as high and wide as `x`."""
        output: Tensor = super().forward(x)  # type: ignore[no-untyped-call]
        return centre(output, x.shape[2], x.shape[3])


class Centre(nn.Module):
    """A layer that crops to the middle of the image."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        """The middle of the image, at most as high and wide as asked for."""
        return centre(x, self.height, self.width)


def centre(image: Tensor, height: int, width: int) -> Tensor:
    """The middle of a (1, C, H, W) image, of at most this height and width; a view."""
    top, left = (max(0, image.shape[2] - height) // 2, max(0, image.shape[3] - width) // 2)
    return image[:, :, top : top + height, left : left + width]


def convolution(
    inward: int, outward: int, kernel: int, *, stride: int = 1, bias: bool = True
) -> nn.Sequential:
    """A convolution with reflected borders, so that only its stride changes the size."""
    border = (kernel - 1) // 2
    padding = nn.ReflectionPad2d(border) if border else nn.Identity()  # padding by 0 copies too
    return nn.Sequential(padding, nn.Conv2d(inward, outward, kernel, stride, bias=bias))


def upsample(mode: Upsampling) -> nn.Module:
    """A layer that doubles height and width."""
    return nn.Upsample(
        scale_factor=2, mode=mode, align_corners=False if mode == "bilinear" else None
    )


def numbered(layers: list[nn.Module]) -> nn.Sequential:
    """Layers one after the other, counted from 1 as in the original."""
    return nn.Sequential(_names(layers))


def _block(convolving: nn.Sequential) -> list[nn.Module]:
    """A convolution, batch normalisation and an activation."""
    outward = next(layer.out_channels for layer in convolving if isinstance(layer, nn.Conv2d))
    return [convolving, nn.BatchNorm2d(outward), nn.LeakyReLU(SLOPE, inplace=True)]


def _names(layers: list[nn.Module]) -> OrderedDict[str, nn.Module]:
    return OrderedDict((str(i), layer) for i, layer in enumerate(layers, start=1))
