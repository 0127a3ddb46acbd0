"""Adam without the bookkeeping of PyTorch's class, which small networks would wait for."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Adam (Kingma & Ba 2015) with PyTorch's defaults, fused, of parameters on one device.

    The bits are those of `torch.optim.Adam(parameters, lr=learning_rate, fused=True)`.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self.parameters = list(parameters)
        self.moments = tuple([torch.zeros_like(one) for one in self.parameters] for _ in range(2))
        """The moving averages of gradients and of their squares, by parameter."""
        self._learning_rate = learning_rate
        self._steps = [one.new_zeros((), dtype=torch.float32) for one in self.parameters]

    @torch.no_grad()
    def step(self) -> None:
        """Move all parameters that have a gradient."""
        moved = [
            (*state, parameter, parameter.grad)
            for *state, parameter in zip(*self.moments, self._steps, self.parameters, strict=True)
            if parameter.grad is not None
        ]
        if not moved:
            return
        means, squares, steps, parameters, gradients = (
            list(column) for column in zip(*moved, strict=True)
        )
        adam(
            parameters,
            gradients,
            means,
            squares,
            [],
            steps,
            fused=True,
            capturable=parameters[0].is_cuda,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self._learning_rate,
            weight_decay=0,
            eps=1e-8,
            maximize=False,
        )

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters:
            parameter.grad = None
