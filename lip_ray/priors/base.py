"""What all untrained priors are: a network, a fixed latent, and weights that can be rewound."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lip_ray.priors.network import LAYOUTS as LAYOUTS
from lip_ray.priors.network import Cost as Cost
from lip_ray.priors.network import Network, cost_of, placed, without_weights
from lip_ray.priors.network import initialise as initialise
from lip_ray.rng import keyed
from lip_ray.spec import Spec

Shape = tuple[int, int, int]
"""The shape of an image: (channels, height, width)."""


@dataclass(frozen=True)
class UntrainedPrior(Network):
    """A network in training mode and the latent it turns into an image.

    The latent is (1, C, H, W); the network's output is (1, channels, H, W) in [0, 1].
    """

    latent: Tensor

    def with_latent(self, latent: Tensor) -> "UntrainedPrior":
        """The same network with another latent as its input."""
        return replace(self, latent=latent)

    def restored_with(self, weights: Mapping[str, Tensor]) -> Tensor:
        r"""The image that the network makes with other prunable weights.

        A pure function: the network keeps its own weights and its buffers.
        """
        buffers = {name: value.clone() for name, value in self.module.named_buffers()}
        output: Tensor = functional_call(self.module, dict(weights) | buffers, self.latent)
        return output


class AbstractPrior(Spec, ABC):
    """The architecture of a network that produces images from a fixed latent."""

    kind: str
    published_fit: ClassVar[Mapping[str, float]] = MappingProxyType({})
    """The settings of the fit that the network was published with, where they differ from those of
    Ulyanov et al. 2018. A trial that states none uses them."""

    @property
    @abstractmethod
    def minimum_side(self) -> int:
        """The smallest height or width, in pixels, that the network can produce."""

    @abstractmethod
    def latent_shape(self, image_shape: Shape) -> Shape:
        """The shape of the latent that the network turns into an image of this shape."""

    @abstractmethod
    def network(self, image_channels: int, *, size: tuple[int, int] | None = None) -> nn.Module:
        r"""The network, with weights not yet drawn.

        `size` is the image's (height, width); without it the output is as large as the network
        makes of its latent.
        """

    def shares_network(self, image_shape: Shape, other: Shape) -> bool:
        """Whether one network serves images of both shapes, given latents of their own."""
        return image_shape[0] == other[0]

    def module(self, image_shape: Shape, draws: torch.Generator) -> nn.Module:
        """The network for images of this shape, in training mode on the CPU, with drawn weights."""
        module = without_weights(partial(self.network, image_shape[0], size=image_shape[1:]))
        initialise(module, draws)
        return module.train()

    def latent(self, image_shape: Shape, draws: torch.Generator) -> Tensor:
        """A latent uniform on [0, 0.1), on the CPU (Ulyanov et al. 2018, arXiv 1711.10925)."""
        return torch.rand((1, *self.latent_shape(image_shape)), generator=draws) * 0.1

    def build(
        self, image_shape: Shape, *, seed: int, image: str, device: torch.device
    ) -> UntrainedPrior:
        """The prior with initial weights keyed by `seed` and a latent keyed by seed and image."""
        module = self.module(image_shape, keyed(seed, "initial weights"))
        latent = self.latent(image_shape, keyed(seed, "latent", image=image))
        layout = LAYOUTS.get(device.type, torch.contiguous_format)
        return UntrainedPrior(placed(module, device), latent.to(device, memory_format=layout))

    def prunable_count(self, image_channels: int) -> int:
        """The number of prunable weights for images with `channels` channels; nothing is drawn."""
        return _prunable_count(self, image_channels)

    def cost(self, image_shape: Shape) -> Cost:
        """Sizes, and the multiply-adds of one step at this image shape; nothing is drawn or run."""
        return _cost(self, image_shape)


@cache  # the trials of a sweep share few networks
def _cost(prior: AbstractPrior, image_shape: Shape) -> Cost:
    # A batch without an image has all shapes, and no values. The meta device would have them too,
    # but imports PyTorch's compiler, which takes more than a second and 70 MB.
    network = partial(prior.network, image_shape[0], size=image_shape[1:])
    module = without_weights(network).eval()
    built = UntrainedPrior(module, torch.empty(0, *prior.latent_shape(image_shape)))
    return cost_of(built, built.latent)


@cache
def _prunable_count(prior: AbstractPrior, image_channels: int) -> int:
    with torch.device("meta"):
        module = prior.network(image_channels)
    empty = UntrainedPrior(module, torch.empty(0))
    return sum(weight.numel() for weight in empty.prunable().values())
