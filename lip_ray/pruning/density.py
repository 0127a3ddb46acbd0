"""Effective weights: those on a path from the network's input to its output."""

import torch
from torch import Tensor, nn

from lip_ray.pruning.flow import flow, linearised
from lip_ray.pruning.mask import Mask


def effective(module: nn.Module, mask: Mask, input_shape: tuple[int, ...]) -> int:
    r"""How many kept weights lie on a path from input to output.

    The network is made linear with its mask for weights and applied to ones, so that every path
    adds a positive number: a weight is on a path exactly where its gradient is positive (the idea
    of SynFlow, Tanaka et al. 2020, arXiv 2006.05467). `input_shape` is (C, H, W), as small as the
    network takes, since paths are between channels whatever the size; (latent_size,) for a
    generator. Zero means a collapsed network.
    """
    linear = linearised(module, _UnitScale).cpu()
    weights = {name: layer.double().cpu().requires_grad_() for name, layer in mask.layers.items()}
    gradients = torch.autograd.grad(flow(linear, weights, input_shape), list(weights.values()))
    return sum(
        int(((gradient > 0) & (weight > 0)).sum())
        for gradient, weight in zip(gradients, weights.values(), strict=True)
    )


class _UnitScale(nn.Module):
    """A layer that divides by its largest entry: paths multiply, and their number would
    overflow."""

    def forward(self, x: Tensor) -> Tensor:
        """The input with the same signs and 1 as its largest entry; zeros stay zeros."""
        largest = x.detach().max()
        return x / torch.where(largest > 0, largest, 1)
