"""What all networks are here: weights that can be pruned, counted, copied and rewound."""

import math
import warnings
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from lip_ray.priors.equalised import Equalised

LAYOUTS = {"cuda": torch.channels_last}
"""The memory layout by type of device. CPUs keep the contiguous one: the other is faster on some,
slower on others, and changes the last bits."""
PRUNABLE = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
"""Layers whose weights can be pruned; biases and normalisation never are."""


@dataclass(frozen=True)
class Network:
    """A network whose weights can be pruned and rewound."""

    module: nn.Module

    def prunable(self) -> dict[str, Tensor]:
        """The weights of all convolutions and linear layers, by state-dict name, in its order."""
        return {
            f"{name}.weight": layer.weight
            for name, layer in self.module.named_modules()
            if isinstance(layer, PRUNABLE)
        }

    def factors(self) -> dict[str, float]:
        r"""For each prunable weight tensor, the factor that its layer multiplies it by when it
        runs.

        It is 1 except in layers with an equalised learning rate.
        """
        equalised = {
            f"{name}.module.weight": layer.factor
            for name, layer in self.module.named_modules()
            if isinstance(layer, Equalised)
        }
        return {name: equalised.get(name, 1.0) for name in self.prunable()}

    def parameter_count(self) -> int:
        """The number of all parameters: weights, biases and normalisation."""
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


@dataclass(frozen=True, kw_only=True)
class Cost:
    """The size of a network, and its cost for images of one shape."""

    parameters: int
    """The number of all parameters: weights, biases and normalisation."""
    prunable: int
    """The number of weights of convolutions and linear layers."""
    output_channels: int
    """The number of output channels of these layers."""
    macs_per_pass: int
    """Multiply-adds with prunable weights in one forward pass of the whole network."""
    macs_per_step: int
    """Those of one forward and backward pass of the whole network, with gradients for all
    weights."""
    uses: Mapping[str, int]
    """For each prunable weight tensor, how often a forward pass over one image multiplies each of
    its weights: the positions that a convolution slides over."""

    def macs(self, masks: Mapping[str, Tensor]) -> int:
        r"""Multiply-adds of one forward pass over one image with the weights that `masks` keep.

        A fit computes that few only in sparse execution.
        """
        return sum(self.uses[name] * int(mask.sum()) for name, mask in masks.items())


def cost_of(network: Network, *inputs: Tensor) -> Cost:
    """The cost of a network for one of these inputs, of which a batch of none is enough.

    Runs the network once.
    """
    multiplied = _multiplied(network.module, *inputs)
    sizes = {name: weight.numel() for name, weight in network.prunable().items()}
    return Cost(
        parameters=network.parameter_count(),
        prunable=sum(sizes.values()),
        output_channels=sum(len(weight) for weight in network.prunable().values()),
        macs_per_pass=sum(multiplied[name][0] * size for name, size in sizes.items()),
        macs_per_step=_step_macs(network.module, multiplied),
        uses={name: positions for name, (positions, _) in multiplied.items()},
    )


def without_weights(network: Callable[[], nn.Module]) -> nn.Module:
    """A network on the CPU whose weights are not set; nothing is drawn."""
    with torch.device("meta"):  # the constructors would draw from the global generator
        module = network()
    # `to_empty` would run PyTorch's references in Python, which import sympy: half a second.
    for part in module.modules():
        for name, weight in part.named_parameters(recurse=False):
            empty = nn.Parameter(_empty(weight), requires_grad=weight.requires_grad)
            part.register_parameter(name, empty)
        for name, buffer in part.named_buffers(recurse=False):
            setattr(part, name, _empty(buffer))
    return module


def _empty(tensor: Tensor) -> Tensor:
    """A tensor of this shape and type on the CPU, whose numbers are not set."""
    return torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")


def step_macs(module: nn.Module, *inputs: Tensor) -> int:
    r"""The multiply-adds of one forward and backward pass over one input, with gradients for all
    weights: each is used once forward, once for its own gradient, and once for that of what it
    multiplies, where that depends on weights.

    Runs the module; inputs may be batches of no input.
    """
    return _step_macs(module, _multiplied(module, *inputs))


def _step_macs(module: nn.Module, multiplied: Mapping[str, tuple[int, bool]]) -> int:
    weights = dict(module.named_parameters())
    return sum(
        positions * weights[name].numel() * (3 if learned else 2)
        for name, (positions, learned) in multiplied.items()
    )


def _multiplied(module: nn.Module, *inputs: Tensor) -> dict[str, tuple[int, bool]]:
    """For each prunable weight tensor, how often one input multiplies each of its weights, and
    whether what it multiplies depends on weights."""
    found: dict[str, tuple[int, bool]] = {}

    def count(name: str, layer: nn.Module, taken: tuple[Tensor, ...], made: Tensor) -> None:
        weight = layer.get_parameter("weight")
        slides_over = taken[0] if isinstance(layer, nn.ConvTranspose2d) else made
        positions = math.prod(slides_over.shape[1:]) // weight.shape[0]
        found[f"{name}.weight"] = positions, taken[0].requires_grad

    with ExitStack() as hooks, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a batch of no input has no variance
        for name, layer in module.named_modules():
            if isinstance(layer, PRUNABLE):
                hook = layer.register_forward_hook(partial(count, name))
                hooks.callback(hook.remove)
        with torch.enable_grad():
            module(*inputs)
    return found


def placed(module: nn.Module, device: torch.device) -> nn.Module:
    """The module on a device, in the memory layout that is faster there."""
    layout = LAYOUTS.get(device.type, torch.contiguous_format)
    return module.to(device).to(memory_format=layout)  # type: ignore[call-overload,no-any-return]


def initialise(module: nn.Module, draws: torch.Generator) -> None:
    r"""Draw PyTorch's own initial distributions from `draws`, in the network's order.

    Convolutions and linear layers: uniform on ±1/√fan_in, weights and biases; normalisation: the
    identity.
    """
    for layer in module.modules():
        if isinstance(layer, PRUNABLE):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in layer.parameters(recurse=False):
                nn.init.uniform_(parameter, -bound, bound, generator=draws)
        elif isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.reset_parameters()
