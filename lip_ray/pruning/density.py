"""The weights that matter: those on a path from the network's input to its output."""

import torch
from torch import Tensor, nn

from lip_ray.pruning.flow import flow, linearised
from lip_ray.pruning.mask import Mask


def effective(module: nn.Module, mask: Mask, input_shape: tuple[int, ...]) -> int:
    """How many kept weights lie on a path from input to output.

    The network is made linear with its mask for weights and fed ones, so that every path adds a
    positive number: a weight is on a path exactly where its gradient is positive (the idea of
    SynFlow, Tanaka et al. 2020, arXiv 2006.05467). `input_shape` is (C, H, W), as small as the
    network takes: paths are between channels, whatever the size; of a generator, (latent_size,).
    Zero means a collapsed network.
    """
    linear = linearised(module, _UnitScale).cpu()
    weights = {name: layer.double().cpu().requires_grad_() for name, layer in mask.layers.items()}
    gradients = torch.autograd.grad(flow(linear, weights, input_shape), list(weights.values()))
    return sum(
        int(((gradient > 0) & (weight > 0)).sum())
        for gradient, weight in zip(gradients, weights.values(), strict=True)
    )


class _UnitScale(nn.Module):
    """Divides by the largest entry: paths multiply, and their number would overflow."""

    def forward(self, x: Tensor) -> Tensor:
        """Same signs, largest entry 1 (or all zeros)."""
        largest = x.detach().max()
        return x / torch.where(largest > 0, largest, 1)
