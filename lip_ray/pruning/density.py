"""Paths from a network's input to its output, and the parameters that lie on one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial

import torch
from torch import Tensor, nn

from lip_ray.pruning.flow import flow, linearised
from lip_ray.pruning.mask import Mask


@dataclass(frozen=True)
class Paths:
    """Which parameters of a pruned network lie on a path from its input to its output."""

    parameters: Mapping[str, Tensor] = field(repr=False)
    r"""By name, a boolean tensor of every parameter's shape, on the CPU.

    A kept weight lies on a path if the signal passes through it. Biases, and scales and shifts of
    normalisation, lie on a path where their channel does. The biases of the last layer always
    count, as they are the colours of output channels that nothing else reaches.
    """
    effective: int
    """How many kept weights lie on a path. Zero means a collapsed network."""


def paths(module: nn.Module, mask: Mask, input_shape: tuple[int, ...]) -> Paths:
    r"""The paths of a network with this mask.

    The network is made linear with its mask for weights and applied to ones, so that every path
    adds a positive number: a weight is on a path exactly where its gradient is positive (the idea
    of SynFlow, Tanaka et al. 2020, arXiv 2006.05467). So is a channel where the gradient of a
    factor on it is. `input_shape` is (C, H, W), as small as the network takes, since paths are
    between channels whatever the size; (latent_size,) for a generator.
    """
    return _LinearNetwork(module).paths(mask, input_shape)


def effective(module: nn.Module, mask: Mask, input_shape: tuple[int, ...]) -> int:
    """How many kept weights lie on a path from input to output, as in `paths`."""
    return paths(module, mask, input_shape).effective


class PathFinder:
    """Finds the paths of one network, once for each mask in a row of equal ones."""

    def __init__(self, module: nn.Module, input_shape: tuple[int, ...]) -> None:
        self._module = module
        self._input_shape = input_shape
        self._last: tuple[Mask, Paths] | None = None

    def __call__(self, mask: Mask) -> Paths:
        """The paths of the network with this mask."""
        if self._last is None or not _same(self._last[0], mask):
            self._last = mask, self._linear.paths(mask, self._input_shape)
        return self._last[1]

    @cached_property
    def _linear(self) -> "_LinearNetwork":
        return _LinearNetwork(self._module)


def _same(mask: Mask, other: Mask) -> bool:
    """Whether two masks are made of the same tensors."""
    return mask.layers.keys() == other.layers.keys() and all(
        layer is other.layers[name] for name, layer in mask.layers.items()
    )


class _LinearNetwork:
    """A module made linear, with a factor of 1 on every output channel of the layers that have
    parameters."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._linear = linearised(module, _UnitScale).cpu()
        self._factors: dict[str, Tensor] = {}
        """Those of the last flow by the layer's name, in the order in which layers run."""
        for name, layer in module.named_modules():
            if any(True for _ in layer.parameters(recurse=False)):
                self._linear.get_submodule(name).register_forward_hook(
                    partial(self._multiply, name)
                )

    def _multiply(self, name: str, _layer: nn.Module, _inputs: object, made: Tensor) -> Tensor:
        factor = torch.ones(made.shape[1], dtype=made.dtype, requires_grad=True)
        self._factors[name] = factor
        return made * factor.view(-1, *[1] * (made.ndim - 2))

    def paths(self, mask: Mask, input_shape: tuple[int, ...]) -> Paths:
        """The paths of the module with this mask."""
        weights = {name: one.double().cpu().requires_grad_() for name, one in mask.layers.items()}
        self._factors.clear()
        total = flow(self._linear, weights, input_shape)
        leaves = weights | self._factors
        positive = {
            name: gradient > 0
            for name, gradient in zip(
                leaves, torch.autograd.grad(total, list(leaves.values())), strict=True
            )
        }
        kept = {name: positive[name] & (weight > 0) for name, weight in weights.items()}
        others = {
            name: self._on_path(name, parameter, positive)
            for name, parameter in self._module.named_parameters()
            if name not in kept
        }
        return Paths(kept | others, effective=sum(int(layer.sum()) for layer in kept.values()))

    def _on_path(self, name: str, parameter: Tensor, positive: Mapping[str, Tensor]) -> Tensor:
        """Whether each entry of a parameter that is not pruned lies on a path."""
        layer, _, own = name.rpartition(".")
        *_, last = self._factors
        if layer == last and own == "bias":
            return torch.ones_like(parameter, dtype=torch.bool, device="cpu")
        return positive[layer]


class _UnitScale(nn.Module):
    """A layer that divides by its largest entry: paths multiply, and their number would
    overflow."""

    def forward(self, x: Tensor) -> Tensor:
        """The input with the same signs and 1 as its largest entry; zeros stay zeros."""
        largest = x.detach().max()
        return x / torch.where(largest > 0, largest, 1)
