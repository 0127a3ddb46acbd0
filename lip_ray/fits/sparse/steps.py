"""The steps of a fit on kept weights only."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from lip_ray.fits.execution import Execution
from lip_ray.fits.sparse.program import Program
from lip_ray.fits.sparse.weights import KeptWeights
from lip_ray.priors import UntrainedPrior
from lip_ray.pruning import Mask


class SparseSteps:
    """A network whose pruned weights are nowhere; images of each shape have a program."""

    execution: Execution = "sparse"

    def __init__(self, prior: UntrainedPrior, mask: Mask, learning: Mapping[str, Tensor]) -> None:
        r"""`learning` says, by the parameter's name, which entries learn; all of those not named.

        Raises ValueError where the network is not on a CPU.
        """
        device = prior.latent.device
        if device.type != "cpu":
            raise ValueError(f"sparse execution computes on CPUs, and this fit is on {device}")
        self._module, self._mask = prior.module, mask
        self._weights = KeptWeights(prior.module, mask, learning)
        self._learned = nn.Parameter(self._weights.values[: self._weights.learned])
        self.parameters = [self._learned]
        self._programs: dict[torch.Size, Program] = {}
        self._passes = 0

    def __call__(self, latent: Tensor) -> Tensor:
        if latent.shape not in self._programs:
            shape = tuple(latent.shape[1:])
            self._programs[latent.shape] = Program(
                self._module,
                self._mask,
                self._weights,
                shape,  # type: ignore[arg-type]
            )
        self._passes += 1
        image: Tensor = _Pass.apply(self._learned, self._programs[latent.shape], latent)  # type: ignore[no-untyped-call]
        return image

    def mask_gradients(self) -> None:
        """Zero the gradients of weights on no path; pruned ones have none."""
        if self._learned.grad is not None:
            self._learned.grad.mul_(self._weights.learns)

    def store(self) -> None:
        """Give the module the weights, the running statistics and the count of passes."""
        self._weights.store()
        for layer in self._module.modules():
            if isinstance(layer, nn.BatchNorm2d) and layer.num_batches_tracked is not None:
                layer.num_batches_tracked += self._passes
        self._passes = 0


class _Pass(torch.autograd.Function):
    """A program's passes, as autograd knows them."""

    @staticmethod
    def forward(ctx: Any, learned: Tensor, program: Program, latent: Tensor) -> Tensor:
        ctx.program = program
        return program.forward(latent, torch.get_num_threads())

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return ctx.program.backward(gradient, torch.get_num_threads()).clone(), None, None
