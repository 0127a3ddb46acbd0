"""The deep decoder, under its original parameter names."""

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal, final

from pydantic import Field
from torch import nn

from lip_ray.priors.base import AbstractPrior, Shape
from lip_ray.priors.hourglass import Centre, Count, convolution, numbered, upsample


@final
class DeepDecoder(AbstractPrior):
    """1×1 convolutions and bilinear upsampling, nothing else (Heckel & Hand 2019,
    arXiv 1810.03982).

    The parameters are fewer than the pixels, so it underfits noise. The defaults have 100,224
    parameters for three channels, 98,688 of them prunable weights: no convolution has a bias. An
    image whose sides are no multiples of 2^layers is the centre of one whose sides are.
    """

    kind: Literal["deep_decoder"] = "deep_decoder"
    published_fit: ClassVar[Mapping[str, float]] = MappingProxyType(
        {"steps": 1900, "input_noise": 0.0, "average": 0.0}
    )
    """Denoising in the authors' code: 1,900 steps of Adam, no input noise, no averaging."""
    width: Count = 128
    """Channels of the latent and of every convolution."""
    layers: Annotated[int, Field(ge=1, le=16)] = 5
    """How many times the latent is doubled; the original adds one layer that does not double."""

    @property
    def minimum_side(self) -> int:
        """The side of an image from a latent of two pixels: from one pixel, every layer makes a
        constant."""
        return (1 << self.layers) + 1

    def latent_shape(self, image_shape: Shape) -> Shape:
        r"""The image's height and width divided by 2^layers, rounded up.

        Raises ValueError where a side is under the smallest.
        """
        _, height, width = image_shape
        if min(height, width) < self.minimum_side:
            raise ValueError(
                f"a deep decoder of {self.layers} layers makes images of at least "
                f"{self.minimum_side}×{self.minimum_side}, not {height}×{width}"
            )
        halvings = 1 << self.layers
        return (self.width, math.ceil(height / halvings), math.ceil(width / halvings))

    def shares_network(self, image_shape: Shape, other: Shape) -> bool:
        """Whether the shapes are equal, or all their sides multiples of 2^layers."""
        return super().shares_network(image_shape, other) and (
            image_shape == other or not (self._cut(image_shape[1:]) or self._cut(other[1:]))
        )

    def network(self, image_channels: int, *, size: tuple[int, int] | None = None) -> nn.Module:
        r"""(1, width, h, w) → (1, image_channels, h × 2^layers, w × 2^layers) in (0, 1).

        With a `size` that is no multiple of 2^layers, the centre of that. State-dict names are
        those of the original code.
        """
        layers: list[nn.Module] = []
        for doubling in [True] * self.layers + [False]:
            layers.append(convolution(self.width, self.width, 1, bias=False))
            if doubling:
                layers.append(upsample("bilinear"))
            layers += [nn.ReLU(inplace=True), nn.BatchNorm2d(self.width)]
        layers += [convolution(self.width, image_channels, 1, bias=False), nn.Sigmoid()]
        if size and self._cut(size):
            layers.append(Centre(*size))
        return numbered(layers)

    def _cut(self, size: tuple[int, int]) -> bool:
        return any(side % (1 << self.layers) for side in size)
