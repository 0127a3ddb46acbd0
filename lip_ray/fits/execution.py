"""How the steps of a fit are computed: by the whole network, or by its kept weights."""

from collections.abc import Mapping
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from lip_ray.fits.numerics import GradientMask, Precision
from lip_ray.priors import UntrainedPrior
from lip_ray.pruning import Mask

Execution = Literal["dense", "sparse"]

MOST_PER_CHANNEL = 400
"""Kept weights per output channel, in the mean over all layers, from which on the whole network is
the faster one. The study's network of 2.2 million weights has as many at a density of 0.47, the
quickstart's 217 when it is dense. It is fixed, never timed, so that a trial has the same bits on
all machines of a kind."""


def runs_sparse(kept: int, channels: int) -> bool:
    """Whether a level in sparse execution computes kept weights only, from how many it has and the
    output channels of all prunable layers; otherwise it is as in dense execution."""
    return kept <= MOST_PER_CHANNEL * channels


class Steps(Protocol):
    """A network in training, and the parameters that an optimiser moves."""

    execution: Execution
    parameters: list[nn.Parameter]

    def __call__(self, latent: Tensor) -> Tensor:
        """The network's image of a latent, in float32, with a gradient for the parameters."""

    def mask_gradients(self) -> None:
        """Zero the gradients of all that must not learn."""

    def store(self) -> None:
        """Give the network's module what was learned since it was last given."""


class DenseSteps:
    """Steps of the whole network, with the gradients of pruned weights zeroed."""

    execution: Execution = "dense"

    def __init__(
        self,
        prior: UntrainedPrior,
        learning: Mapping[str, Tensor],
        *,
        precision: Precision,
        compiled: bool,
    ) -> None:
        """`learning` says, by the parameter's name, which entries learn; all of those not named."""
        self.parameters = list(prior.module.parameters())
        self._network = torch.compile(prior.module) if compiled else prior.module
        self._reduced = precision == "bf16"
        self._masks = GradientMask(prior, learning)

    def __call__(self, latent: Tensor) -> Tensor:
        with torch.autocast(latent.device.type, torch.bfloat16, enabled=self._reduced):
            output: Tensor = self._network(latent)
        return output.float()

    def mask_gradients(self) -> None:
        """Zero the gradients of pruned weights and of those on no path."""
        self._masks()

    def store(self) -> None:
        """The module is what learns."""


def steps_of(
    execution: Execution,
    prior: UntrainedPrior,
    mask: Mask,
    learning: Mapping[str, Tensor],
    *,
    precision: Precision,
    compiled: bool,
) -> Steps:
    r"""The steps of a network with this mask, in the asked execution; dense ones also where so many
    weights are kept that they are faster.

    Raises ValueError where sparse execution lacks what the network or the device needs.
    """
    channels = sum(len(layer) for layer in mask.layers.values())
    if execution == "dense" or not runs_sparse(mask.kept, channels):
        return DenseSteps(prior, learning, precision=precision, compiled=compiled)
    from lip_ray.fits.sparse.steps import SparseSteps  # numba takes half a second to import

    return SparseSteps(prior, mask, learning)
