"""What all generators are: a network from latents to images, and the critic it is trained with."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor, nn

from lip_ray.priors.base import Shape
from lip_ray.priors.generators.critic import critic
from lip_ray.priors.network import (
    Cost,
    Network,
    cost_of,
    initialise,
    placed,
    step_macs,
    without_weights,
)
from lip_ray.rng import keyed
from lip_ray.spec import Spec

Law = Literal["normal", "uniform"]
"""The distribution of each number of a latent: N(0, 1), or uniform on (-1, 1)."""
Output = Literal["unit", "symmetric"]
"""The range of the network's output: black and white are 0 and 1, or -1 and 1."""


@dataclass(frozen=True)
class GeneratorPrior(Network):
    """A network from latents to images, in eval mode unless it is being trained."""

    output: Output

    def __call__(self, latents: Tensor) -> Tensor:
        """(N, latent_size) → (N, C, H, W), black and white 0 and 1; not clamped."""
        images: Tensor = self.module(latents)
        return (images + 1) / 2 if self.output == "symmetric" else images


class AbstractGenerator(Spec, ABC):
    """The architecture of a network from latents to images, and of its critic."""

    kind: str

    if TYPE_CHECKING:  # a field in some architectures, a property of the others

        @property
        def latent_size(self) -> int:
            """The number of entries in a latent."""

        @property
        def law(self) -> Law:
            """The distribution of latents, both in training and at the start of a fit."""

        @property
        def output(self) -> Output:
            """The range of the network's output."""

    @property
    @abstractmethod
    def image_shape(self) -> Shape:
        """(channels, height, width) of the images."""

    @abstractmethod
    def network(self) -> nn.Module:
        """(N, latent_size) → (N, C, H, W) in the network's own range, its weights not yet drawn."""

    def initialise(self, module: nn.Module, draws: torch.Generator) -> None:
        """Draw the weights of `network()` as its paper does; by default as PyTorch does."""
        initialise(module, draws)

    @property
    def critic_width(self) -> int:
        """The number of channels of the critic at its finest scale."""
        return 64

    def critic_network(self) -> nn.Module:
        r"""(N, C, H, W) in the network's own range → (N,) scores, with weights not yet drawn.

        It has no batch normalisation, as a gradient penalty requires.
        """
        return critic(self.image_shape, width=self.critic_width)

    def initialise_critic(self, module: nn.Module, draws: torch.Generator) -> None:
        """Draw the weights of `critic_network()`; by default as PyTorch does."""
        initialise(module, draws)

    def pretrained(self) -> Mapping[str, Tensor] | None:
        """The state dict of a trained network, on the CPU; None where weights are drawn."""
        return None

    def pretrained_critic(self) -> Mapping[str, Tensor] | None:
        """The state dict of the critic that it was trained with; None where weights are drawn."""
        return None

    def module(self, draws: torch.Generator) -> nn.Module:
        """The network in eval mode on the CPU, with drawn weights."""
        return _drawn(self.network, self.initialise, draws)

    def build(self, *, seed: int, device: torch.device) -> GeneratorPrior:
        """The trained network, or one with initial weights keyed by `seed`; in eval mode."""
        module = _made(self.pretrained(), self.network, self.module, seed, "initial weights")
        return GeneratorPrior(placed(module, device), self.output)

    def build_critic(self, *, seed: int, device: torch.device) -> Network:
        """The critic it was trained with, or one with weights keyed by `seed`; in eval mode."""
        state = self.pretrained_critic()
        module = _made(state, self.critic_network, self._critic, seed, "critic")
        return Network(placed(module, device))

    def _critic(self, draws: torch.Generator) -> nn.Module:
        return _drawn(self.critic_network, self.initialise_critic, draws)

    def latents(self, count: int, draws: torch.Generator) -> Tensor:
        """(count, latent_size) independent latents from its distribution, on the CPU."""
        shape = (count, self.latent_size)
        if self.law == "uniform":
            return torch.rand(shape, generator=draws) * 2 - 1
        return torch.randn(shape, generator=draws)

    @property
    def cost(self) -> Cost:
        """Sizes, and the multiply-adds of one image's forward and backward pass; nothing is
        drawn."""
        return _cost(self)

    @property
    def critic_macs(self) -> int:
        """Multiply-adds of the critic's forward and backward pass over one image; nothing is
        drawn."""
        return _critic_macs(self)


@cache  # the trials of a sweep share few networks
def _cost(spec: AbstractGenerator) -> Cost:
    network = Network(without_weights(spec.network).eval())
    return cost_of(network, torch.empty(0, spec.latent_size))  # a batch of no latent


@cache
def _critic_macs(spec: AbstractGenerator) -> int:
    network = without_weights(spec.critic_network).eval()
    return step_macs(network, torch.empty(0, *spec.image_shape))


def _made(
    state: Mapping[str, Tensor] | None,
    network: Callable[[], nn.Module],
    drawn: Callable[[torch.Generator], nn.Module],
    seed: int,
    purpose: str,
) -> nn.Module:
    """The network with these weights, or with drawn ones where there are none."""
    if state is None:
        return drawn(keyed(seed, purpose))
    module = without_weights(network)
    module.load_state_dict(dict(state))
    return module.eval()


def _drawn(
    network: Callable[[], nn.Module],
    draw: Callable[[nn.Module, torch.Generator], None],
    draws: torch.Generator,
) -> nn.Module:
    module = without_weights(network)
    draw(module, draws)
    return module.eval()
