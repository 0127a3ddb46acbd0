"""The weights that matter: those on a path from the network's input to its output."""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lip_ray.pruning.mask import Mask

TRANSPARENT = (nn.BatchNorm2d, nn.LeakyReLU, nn.ReLU, nn.Sigmoid, nn.Tanh)
"""Layers that let a signal through channel by channel, so that they cut no path."""


def effective(module: nn.Module, mask: Mask, input_shape: tuple[int, int, int]) -> int:
    """How many kept weights lie on a path from input to output.

    The network is made linear with its mask for weights and fed ones, so that every path adds a
    positive number: a weight is on a path exactly where its gradient is positive (the idea of
    SynFlow, Tanaka et al. 2020, arXiv 2006.05467). `input_shape` is (C, H, W), as small as the
    network takes: paths are between channels, whatever the size. Zero means a collapsed network.
    """
    linear = _linear(module)
    weights = {name: layer.double().cpu().requires_grad_() for name, layer in mask.layers.items()}
    biases = {
        name: torch.zeros(p.shape, dtype=torch.float64)
        for name, p in linear.named_parameters()
        if name not in weights
    }
    ones = torch.ones(1, *input_shape, dtype=torch.float64)
    flow: Tensor = functional_call(linear, weights | biases, ones)
    gradients = torch.autograd.grad(flow.sum(), list(weights.values()))
    return sum(
        int(((gradient > 0) & (weight > 0)).sum())
        for gradient, weight in zip(gradients, weights.values(), strict=True)
    )


def _linear(module: nn.Module) -> nn.Module:
    """A double-precision copy without normalisation and activation, scaled against overflow."""
    linear = copy.deepcopy(module).cpu().double()
    for parent in list(linear.modules()):
        for name, child in parent.named_children():
            if isinstance(child, TRANSPARENT):
                setattr(parent, name, _UnitScale())
    return linear


class _UnitScale(nn.Module):
    """Divides by the largest entry: paths multiply, and their number would overflow."""

    def forward(self, x: Tensor) -> Tensor:
        """Same signs, largest entry 1 (or all zeros)."""
        largest = x.detach().max()
        return x / torch.where(largest > 0, largest, 1)
