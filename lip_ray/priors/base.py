"""What every untrained prior is: a network, a fixed latent, and weights that can be rewound."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lip_ray.rng import generator
from lip_ray.spec import Spec

LAYOUTS = {"cuda": torch.channels_last}
"""The faster memory layout by device; on CPUs the plain one measures faster."""


@dataclass(frozen=True)
class UntrainedPrior:
    """A network in training mode and the latent it turns into an image.

    The latent is (1, C, H, W); the network's output is (1, channels, H, W) in [0, 1].
    """

    module: nn.Module
    latent: Tensor

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


class AbstractPrior(Spec, ABC):
    """The architecture of a network that can only produce images."""

    kind: str

    @property
    @abstractmethod
    def minimum_side(self) -> int:
        """The smallest height or width, in pixels, that the network can produce."""

    @property
    @abstractmethod
    def latent_channels(self) -> int:
        """The channels of the latent, which is as high and wide as the image."""

    def prunable_count(self, image_channels: int) -> int:
        """The number of prunable weights for images of so many channels, nothing drawn."""
        with torch.device("meta"):
            module = self.network(image_channels)
        empty = UntrainedPrior(module, torch.empty(0))
        return sum(weight.numel() for weight in empty.prunable().values())

    @abstractmethod
    def network(self, image_channels: int) -> nn.Module:
        """The network, its weights not yet drawn."""

    def build(
        self, image_shape: tuple[int, int, int], *, seed: int, image: str, device: torch.device
    ) -> UntrainedPrior:
        """The prior with initial weights keyed by `seed` and a latent keyed by seed and image.

        The latent is uniform on [0, 0.1), as in Ulyanov et al. 2018 (arXiv 1711.10925).
        """
        channels, height, width = image_shape
        with torch.device("meta"):  # the constructors would draw from the global generator
            module = self.network(channels)
        module.to_empty(device="cpu")
        initialise(module, generator(seed, "initial weights"))
        shape = (1, self.latent_channels, height, width)
        latent = torch.rand(shape, generator=generator(seed, "latent", image=image)) * 0.1
        layout = LAYOUTS.get(device.type, torch.contiguous_format)
        module.train().to(device).to(memory_format=layout)  # type: ignore[call-overload]
        return UntrainedPrior(module, latent.to(device, memory_format=layout))


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
