"""The linear network: the flow from a network's input to its output, path by path."""

import copy
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.func import functional_call

TRANSPARENT = (nn.BatchNorm1d, nn.BatchNorm2d, nn.LeakyReLU, nn.ReLU, nn.Sigmoid, nn.Tanh)
r"""Layers that pass a signal on channel by channel, so that they cut no path.

Other modules do too if they have a true attribute `transparent`.
"""


def linearised(module: nn.Module, between: Callable[[], nn.Module] = nn.Identity) -> nn.Module:
    r"""A double-precision copy with `between()` in place of every normalisation and activation.

    Padding with zeros becomes padding with the border, so that every weight of a kernel takes part
    where the input is small; the largest pixel becomes the mean, as a path may lead through any.
    Hooks on the module are not called.
    """
    linear = copy.deepcopy(module).double()
    for parent in list(linear.modules()):
        parent._forward_pre_hooks.clear()
        parent._forward_hooks.clear()
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
