"""Numerical precision of a fit, and gradients that leave pruned and disconnected weights alone."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lip_ray.priors.network import Network
from lip_ray.pruning import Mask

Precision = Literal["fp32", "tf32", "bf16"]


class GradientMask:
    """Zeroes the gradients of all that must not learn, such as pruned weights: Adam's moments stay
    zero, and the parameters as they are."""

    def __init__(self, network: Network, learning: Mapping[str, Tensor]) -> None:
        """`learning` says, by the parameter's name, which entries learn; all of those not named."""
        partial = _partial(network, learning)
        self._parameters = [parameter for parameter, _ in partial.values()]
        self._masks = [  # in the layout of the parameters, or the product is not one launch
            torch.empty_like(parameter.detach()).copy_(learns)
            for parameter, learns in partial.values()
        ]

    def __call__(self) -> None:
        """Multiply all gradients by their masks, in one launch on CUDA."""
        gradients = [one.grad for one in self._parameters if one.grad is not None]
        if gradients:
            torch._foreach_mul_(gradients, self._masks)


class DeadScales:
    r"""Scales of batch normalisation on no path, set to zero while a network is fitted.

    A channel that no path from the input reaches is constant: its variance is zero. Batch
    normalisation then returns its shift, whatever the scale, but multiplies the gradient by the
    scale and by 1/√eps, about 316. Some sixteen of them in a row overflow, and the convolution that
    feeds such a channel passes on infinity times a pruned weight, NaN, to all channels that it
    reads, also to those on other paths.

    With a scale of zero, a gradient that comes from the output ends at the first dead normalisation
    it meets. Until there it is finite, and zero times a finite number is zero in all layers that it
    would meet next. The image is the same, but for rounding errors that grew in the same way, and a
    step costs nothing more.
    """

    def __init__(self, network: Network, learning: Mapping[str, Tensor]) -> None:
        """`learning` says which entries are on a path, by the parameter's name."""
        scales = {
            f"{name}.weight"
            for name, layer in network.module.named_modules()
            if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
        }
        self._scales = {
            name: (learns.to(scale.device), scale.detach().clone())
            for name, (scale, learns) in _partial(network, learning).items()
            if name in scales
        }

    @property
    def zeros(self) -> dict[str, Tensor]:
        """The scales with zero on no path, by name, for a network that is called with them."""
        return {name: before * learns for name, (learns, before) in self._scales.items()}

    @contextmanager
    def silent(self, module: nn.Module) -> Iterator[None]:
        """The module has zero scales within, and afterwards those on no path are as before."""
        self.silence(module)
        try:
            yield
        finally:
            self.restore(module)

    @torch.no_grad()
    def silence(self, module: nn.Module) -> None:
        """Set the scales on no path to zero."""
        for name, (learns, _) in self._scales.items():
            module.get_parameter(name).masked_fill_(~learns, 0)

    def restore(self, module: nn.Module) -> None:
        """Set the scales on no path to what they were."""
        module.load_state_dict(self._restored(module.state_dict()), strict=False)

    def restored(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """A state dict of the silent network with the scales on no path as they were."""
        return dict(state) | self._restored(state)

    def _restored(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {
            name: torch.where(learns, state[name], before)
            for name, (learns, before) in self._scales.items()
        }


def _partial(
    network: Network, learning: Mapping[str, Tensor]
) -> dict[str, tuple[nn.Parameter, Tensor]]:
    """The parameters that do not learn everywhere, by name, with where they do."""
    return {
        name: (parameter, learning[name])
        for name, parameter in network.module.named_parameters()
        if name in learning and not bool(learning[name].all())
    }


@contextmanager
def arithmetic(precision: Precision, device: torch.device) -> Iterator[None]:
    """Switch TF32 on or off for CUDA convolutions and products; restored afterwards."""
    if device.type != "cuda":
        yield
        return
    switches: tuple[Any, ...] = (torch.backends.cudnn.conv, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before = [switch.fp32_precision for switch in switches]
    for switch in switches:
        switch.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        yield
    finally:
        for switch, value in zip(switches, before, strict=True):
            switch.fp32_precision = value


def check_zeros(prior: Network, mask: Mask) -> None:
    r"""Raise AssertionError where a pruned weight is not zero.

    NaN passes, as the masked gradient of a diverged fit may be NaN.
    """
    for name, weight in prior.prunable().items():
        pruned = weight.detach()[~mask.layers[name]]
        if bool((pruned.nan_to_num(nan=0) != 0).any()):
            raise AssertionError(f"pruned weights of {name} came back during the fit")
