"""The generator and the discriminator of progressive growing, at their final size."""

from collections import OrderedDict
from collections.abc import Iterable
from itertools import pairwise
from typing import Annotated, Literal, final

import torch
from pydantic import Field
from torch import nn

from lip_ray.priors.base import Shape
from lip_ray.priors.equalised import Equalised
from lip_ray.priors.generators.base import AbstractGenerator, Law, Output
from lip_ray.priors.generators.blocks import SLOPE, MinibatchDeviation, PixelNorm, View
from lip_ray.priors.hourglass import Count

SMALLEST = 4
"""The side in pixels at the coarsest scale."""
DEPTHS = (512, 512, 512, 512, 256, 128, 64)


@final
class Pgan(AbstractGenerator):
    """A progressive GAN, fully grown (Karras et al. 2018, arXiv 1710.10196).

    Equalised learning rates, normalised pixels, LeakyReLU 0.2, repeated pixels for doubling; the
    latent is normalised too. State-dict names are those of the GAN zoo's networks, without the
    layers that turn coarser scales into images: these are not used any more. The defaults make
    256×256 pixels with 23,044,675 parameters, 23,032,000 of them prunable weights.
    """

    kind: Literal["pgan"] = "pgan"
    depths: Annotated[tuple[Count, ...], Field(strict=False, min_length=1, max_length=9)] = DEPTHS
    """Channels at each scale, coarsest first: 4×4 pixels, then twice as high and wide each time."""
    latent_size: Count = 512
    """The number of entries in a latent."""
    channels: Literal[1, 3] = 3
    """The channels of the images: 1 for grey, 3 for colour."""
    law: Law = "normal"
    """The distribution of latents: N(0, 1), or uniform on (-1, 1)."""
    minibatch_deviation: bool = True
    """Whether the discriminator also sees how much the images of a batch differ."""

    @property
    def output(self) -> Output:
        """The range that the zoo's networks were trained for; no layer bounds the output."""
        return "symmetric"

    @property
    def image_shape(self) -> Shape:
        """The shape of the images, which are square: (channels, side, side)."""
        side = SMALLEST << (len(self.depths) - 1)
        return (self.channels, side, side)

    def network(self) -> nn.Module:
        """(N, latent_size) → (N, channels, size, size), about in [-1, 1]."""
        coarsest, finest = self.depths[0], self.depths[-1]
        first = [_convolution(coarsest, coarsest)]
        scales = [
            [_convolution(inward, outward), _convolution(outward, outward)]
            for inward, outward in pairwise(self.depths)
        ]
        return _named(
            latent_norm=PixelNorm(),
            formatLayer=_linear(self.latent_size, coarsest * SMALLEST**2),
            view=View(coarsest, SMALLEST, SMALLEST),
            activation=nn.LeakyReLU(SLOPE),
            norm=PixelNorm(),
            groupScale0=nn.Sequential(_counted(first, normalised=True)),
            scaleLayers=nn.Sequential(*(self._doubling(scale) for scale in scales)),
            toRGBLayers=_named(**{self._last: _convolution(finest, self.channels, 1)}),
        )

    def critic_network(self) -> nn.Module:
        """(N, channels, size, size) → (N,) scores: its discriminator, scales in reverse."""
        coarsest, finest = self.depths[0], self.depths[-1]
        shown = coarsest + self.minibatch_deviation
        scales = {
            str(i): [_convolution(inward, inward), _convolution(inward, outward)]
            for i, (outward, inward) in reversed(list(enumerate(pairwise(self.depths))))
        }
        return _named(
            fromRGBLayers=_named(**{self._last: _convolution(self.channels, finest, 1)}),
            activation=nn.LeakyReLU(SLOPE),
            scaleLayers=_named(**{i: self._halving(scale) for i, scale in scales.items()}),
            deviation=MinibatchDeviation() if self.minibatch_deviation else nn.Identity(),
            groupScaleZero=_named(
                **{"0": _convolution(shown, coarsest), "activation0": nn.LeakyReLU(SLOPE)},
                flatten=nn.Flatten(),
                **{"1": _linear(coarsest * SMALLEST**2, coarsest)},
                activation1=nn.LeakyReLU(SLOPE),
            ),
            decisionLayer=_linear(coarsest, 1),
            scores=nn.Flatten(0),
        )

    @property
    def _last(self) -> str:
        """The number of the finest scale, from 0."""
        return str(len(self.depths) - 1)

    def _doubling(self, layers: Iterable[nn.Module]) -> nn.Sequential:
        double = nn.Upsample(scale_factor=2, mode="nearest")
        return _named(upsample=double, **_counted(layers, normalised=True))

    def _halving(self, layers: Iterable[nn.Module]) -> nn.Sequential:
        return _named(**_counted(layers, normalised=False), pool=nn.AvgPool2d(2))

    def initialise(self, module: nn.Module, draws: torch.Generator) -> None:
        """Weights N(0, 1), biases 0."""
        for layer in module.modules():
            if isinstance(layer, Equalised):
                nn.init.normal_(layer.module.weight, generator=draws)
                assert layer.module.bias is not None
                nn.init.zeros_(layer.module.bias)

    def initialise_critic(self, module: nn.Module, draws: torch.Generator) -> None:
        """Draw the critic's weights as the generator's are drawn."""
        self.initialise(module, draws)


def _named(**layers: nn.Module) -> nn.Sequential:
    """Layers one after the other, under these names."""
    return nn.Sequential(OrderedDict(layers))


def _counted(layers: Iterable[nn.Module], *, normalised: bool) -> OrderedDict[str, nn.Module]:
    """Layers named by their number, each activated; in the generator with normalised pixels."""
    named: OrderedDict[str, nn.Module] = OrderedDict()
    for i, layer in enumerate(layers):
        named[str(i)] = layer
        named[f"activation{i}"] = nn.LeakyReLU(SLOPE)
        if normalised:
            named[f"norm{i}"] = PixelNorm()
    return named


def _convolution(inward: int, outward: int, kernel: int = 3) -> Equalised:
    return Equalised(nn.Conv2d(inward, outward, kernel, padding=kernel // 2))


def _linear(inward: int, outward: int) -> Equalised:
    return Equalised(nn.Linear(inward, outward))
