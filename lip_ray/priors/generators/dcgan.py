"""The generator of DCGAN."""

from typing import Literal, final

import torch
from torch import nn

from lip_ray.priors.base import Shape
from lip_ray.priors.generators.base import AbstractGenerator, Law, Output
from lip_ray.priors.generators.blocks import View
from lip_ray.priors.hourglass import Count

SMALLEST = 4
"""The side in pixels of the first layer's output."""
STD = 0.02
"""The standard deviation of initial weights."""


@final
class Dcgan(AbstractGenerator):
    """Transposed convolutions, each doubling the image (Radford et al. 2016, arXiv 1511.06434).

    A latent becomes 4×4 pixels, then 4×4 filters of stride 2 up to `size`; batch normalisation and
    ReLU between, tanh at the end, no biases. The defaults have 3,576,704 parameters, 3,574,784 of
    them prunable weights.
    """

    kind: Literal["dcgan"] = "dcgan"
    size: Literal[8, 16, 32, 64, 128] = 64
    """Height and width of the images, in pixels."""
    channels: Literal[1, 3] = 3
    """The channels of the images: 1 for grey, 3 for colour."""
    latent_size: Count = 100
    """The number of entries in a latent."""
    width: Count = 64
    """Channels at the finest scale, before the image; twice as many at each coarser scale."""
    law: Law = "normal"
    """The distribution of latents: N(0, 1), or uniform on (-1, 1) as in the paper."""

    @property
    def output(self) -> Output:
        """The range of tanh: black is -1 and white is 1."""
        return "symmetric"

    @property
    def image_shape(self) -> Shape:
        """The shape of the images, which are square: (channels, size, size)."""
        return (self.channels, self.size, self.size)

    @property
    def critic_width(self) -> int:
        """The number of channels of the critic at its finest scale: that of the generator."""
        return self.width

    def network(self) -> nn.Module:
        """(N, latent_size) → (N, channels, size, size) in (-1, 1)."""
        doublings = (self.size // SMALLEST).bit_length() - 1
        width = self.width << (doublings - 1)
        layers: list[nn.Module] = [View(self.latent_size, 1, 1)]
        layers += _block(nn.ConvTranspose2d(self.latent_size, width, 4, bias=False))
        for _ in range(doublings - 1):
            layers += _block(nn.ConvTranspose2d(width, width // 2, 4, 2, 1, bias=False))
            width //= 2
        layers += [nn.ConvTranspose2d(width, self.channels, 4, 2, 1, bias=False), nn.Tanh()]
        return nn.Sequential(*layers)

    def initialise(self, module: nn.Module, draws: torch.Generator) -> None:
        """Weights N(0, 0.02²); scales of batch normalisation N(1, 0.02²), its shifts 0."""
        for layer in module.modules():
            if isinstance(layer, nn.ConvTranspose2d):
                nn.init.normal_(layer.weight, 0, STD, generator=draws)
            elif isinstance(layer, nn.BatchNorm2d):
                layer.reset_parameters()
                nn.init.normal_(layer.weight, 1, STD, generator=draws)


def _block(layer: nn.ConvTranspose2d) -> list[nn.Module]:
    """A layer, batch normalisation and an activation."""
    return [layer, nn.BatchNorm2d(layer.out_channels), nn.ReLU()]
