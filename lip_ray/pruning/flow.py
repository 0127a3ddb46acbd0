"""The linear network: what flows from a network's input to its output, path by path."""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

TRANSPARENT = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LeakyReLU, nn.ReLU, nn.Sigmoid, nn.Tanh)
"""Layers that let a signal through channel by channel, so that they cut no path.

So do those of other modules that have an attribute `transparent` that is true.
"""


def linearised(module: nn.Module, between: Callable[[], nn.Module] = nn.Identity) -> nn.Module:
    """A double-precision copy with `between()` for every normalisation and activation.

    Padding with zeros becomes padding with the border, so that no weight of a kernel is passed over
    where the input is small; the largest pixel becomes the mean, as a path may lead through any.
    """
    linear = copy.deepcopy(module).double()
    for parent in list(linear.modules()):
        if isinstance(parent, nn.Conv2d) and parent.padding_mode == "zeros":
            parent.padding_mode = "replicate"
        for name, child in parent.named_children():
            if isinstance(child, TRANSPARENT) or getattr(child, "transparent", False):
                setattr(parent, name, between())
            elif isinstance(child, nn.MaxPool2d):
                setattr(parent, name, nn.AvgPool2d(child.kernel_size, child.stride, child.padding))
    return linear


def flow(linear: nn.Module, weights: Mapping[str, Tensor], input_shape: tuple[int, ...]) -> Tensor:
    """The sum of the output for an input of ones, with these weights and without biases."""
    device = next(iter(weights.values())).device
    biases = {
        name: torch.zeros_like(parameter)
        for name, parameter in linear.named_parameters()
        if name not in weights
    }
    ones = torch.ones(1, *input_shape, dtype=torch.float64, device=device)
    output: Tensor = functional_call(linear, dict(weights) | biases, ones)
    return output.sum()
