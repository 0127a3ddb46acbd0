"""What every untrained prior is: a network, a fixed latent, and weights that can be rewound."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from lip_ray.rng import generator
from lip_ray.spec import Spec

Shape = tuple[int, int, int]
"""(channels, height, width)."""
LAYOUTS = {"cuda": torch.channels_last}
"""The faster memory layout by device; on CPUs the plain one measures faster."""


@dataclass(frozen=True)
class UntrainedPrior:
    """A network in training mode and the latent it turns into an image.

    The latent is (1, C, H, W); the network's output is (1, channels, H, W) in [0, 1].
    """

    module: nn.Module
    latent: Tensor

    def with_latent(self, latent: Tensor) -> "UntrainedPrior":
        """The same network before another latent."""
        return replace(self, latent=latent)

    def prunable(self) -> dict[str, Tensor]:
        """The weights of all convolutions, by state-dict name, in the network's order."""
        return {
            f"{name}.weight": layer.weight
            for name, layer in self.module.named_modules()
            if isinstance(layer, nn.Conv2d)
        }

    def parameter_count(self) -> int:
        """All parameters: weights, biases and normalisation."""
        return sum(parameter.numel() for parameter in self.module.parameters())

    def snapshot(self) -> dict[str, Tensor]:
        """A copy of all parameters and buffers, by state-dict name."""
        return {name: value.clone() for name, value in self.module.state_dict().items()}

    def rewind(self, weights: Mapping[str, Tensor], mask: Mapping[str, Tensor]) -> None:
        """Set parameters and buffers to `weights`, prunable ones times their mask, bit for bit."""
        self.module.load_state_dict(dict(weights))
        with torch.no_grad():
            for name, weight in self.prunable().items():
                weight.masked_fill_(~mask[name], 0)

    def restored_with(self, weights: Mapping[str, Tensor]) -> Tensor:
        """The image that the network makes of the latent with these prunable weights instead.

        A pure function: the network keeps its own weights and its buffers.
        """
        buffers = {name: value.clone() for name, value in self.module.named_buffers()}
        output: Tensor = functional_call(self.module, dict(weights) | buffers, self.latent)
        return output


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a network is and takes, for images of one shape."""

    parameters: int
    """All of them: weights, biases and normalisation."""
    prunable: int
    """The weights of convolutions."""
    macs_per_step: int
    """Multiply-adds of the convolutions in one forward and backward pass of the dense network."""


class AbstractPrior(Spec, ABC):
    """The architecture of a network that can only produce images."""

    kind: str

    @property
    @abstractmethod
    def minimum_side(self) -> int:
        """The smallest height or width, in pixels, that the network can produce."""

    @abstractmethod
    def latent_shape(self, image_shape: Shape) -> Shape:
        """Of the latent that becomes an image of this shape."""

    @abstractmethod
    def network(self, image_channels: int, *, size: tuple[int, int] | None = None) -> nn.Module:
        """The network, its weights not yet drawn.

        `size` is the image's (height, width); without it the network makes as much as it can of
        its latent.
        """

    def shares_network(self, image_shape: Shape, other: Shape) -> bool:
        """Whether the network for images of one shape makes those of the other, of its latent."""
        return image_shape[0] == other[0]

    def module(self, image_shape: Shape, draws: torch.Generator) -> nn.Module:
        """The network for images of this shape, in training mode, its weights drawn; on the CPU."""
        with torch.device("meta"):  # the constructors would draw from the global generator
            module = self.network(image_shape[0], size=image_shape[1:])
        module.to_empty(device="cpu")
        initialise(module, draws)
        return module.train()

    def latent(self, image_shape: Shape, draws: torch.Generator) -> Tensor:
        """A latent uniform on [0, 0.1), on the CPU (Ulyanov et al. 2018, arXiv 1711.10925)."""
        return torch.rand((1, *self.latent_shape(image_shape)), generator=draws) * 0.1

    def build(
        self, image_shape: Shape, *, seed: int, image: str, device: torch.device
    ) -> UntrainedPrior:
        """The prior with initial weights keyed by `seed` and a latent keyed by seed and image."""
        module = self.module(image_shape, generator(seed, "initial weights"))
        latent = self.latent(image_shape, generator(seed, "latent", image=image))
        layout = LAYOUTS.get(device.type, torch.contiguous_format)
        module.to(device).to(memory_format=layout)  # type: ignore[call-overload]
        return UntrainedPrior(module, latent.to(device, memory_format=layout))

    def prunable_count(self, image_channels: int) -> int:
        """The number of prunable weights for images of so many channels, nothing drawn."""
        return _prunable_count(self, image_channels)

    def cost(self, image_shape: Shape) -> Cost:
        """Sizes, and the multiply-adds of one step at this image shape; nothing drawn or run."""
        with torch.device("meta"):
            module = self.network(image_shape[0], size=image_shape[1:])
            prior = UntrainedPrior(module, torch.empty(1, *self.latent_shape(image_shape)))
        with FlopCounterMode(display=False) as counter:
            module(prior.latent).sum().backward()
        return Cost(
            parameters=prior.parameter_count(),
            prunable=sum(weight.numel() for weight in prior.prunable().values()),
            macs_per_step=counter.get_total_flops() // 2,
        )


@cache  # the trials of a sweep share few networks
def _prunable_count(prior: AbstractPrior, image_channels: int) -> int:
    with torch.device("meta"):
        module = prior.network(image_channels)
    empty = UntrainedPrior(module, torch.empty(0))
    return sum(weight.numel() for weight in empty.prunable().values())


def initialise(module: nn.Module, draws: torch.Generator) -> None:
    """PyTorch's own initial distributions, drawn from `draws` in the network's order.

    Convolutions: uniform on ±1/√fan_in, weights and biases; normalisation: the identity.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in layer.parameters(recurse=False):
                nn.init.uniform_(parameter, -bound, bound, generator=draws)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
