"""Numerical precision of a fit, and gradients that keep pruned weights at zero."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import torch

from lip_ray.priors.network import Network
from lip_ray.pruning import Mask

Precision = Literal["fp32", "tf32", "bf16"]


class GradientMask:
    """Zeroes the gradients of pruned weights: Adam's moments, and so the weights, stay zero."""

    def __init__(self, prior: Network, mask: Mask) -> None:
        sparse = {n: w for n, w in prior.prunable().items() if not bool(mask.layers[n].all())}
        self._weights = list(sparse.values())
        self._masks = [  # in the layout of the weights, or the product is not one launch
            torch.empty_like(weight.detach()).copy_(mask.layers[name])
            for name, weight in sparse.items()
        ]

    def __call__(self) -> None:
        """Multiply all gradients by their masks, in one launch on CUDA."""
        gradients = [weight.grad for weight in self._weights if weight.grad is not None]
        if gradients:
            torch._foreach_mul_(gradients, self._masks)


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
