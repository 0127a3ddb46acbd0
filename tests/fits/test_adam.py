"""Adam: the bits of PyTorch's."""

import torch
from torch import Tensor, nn

from lip_ray.fits.adam import Adam

SHAPES = ((3, 2), (5,), (1, 2, 3, 3), (4,))
IDLE = 3
"""The number of a parameter that never has a gradient."""


def moved(make, *, steps: int = 30) -> list[Tensor]:
    """Parameters after steps with gradients of all sizes, one of which is there now and then."""
    draws = torch.Generator().manual_seed(0)
    parameters = [nn.Parameter(torch.randn(shape, generator=draws)) for shape in SHAPES]
    optimizer = make(parameters)
    for step in range(steps):
        optimizer.zero_grad()
        for number, parameter in enumerate(parameters):
            gradient = torch.randn(parameter.shape, generator=draws) * 10.0 ** (step % 7 - 3)
            if number != IDLE and (number != 1 or step % 3):
                parameter.grad = gradient
        optimizer.step()
    return [parameter.detach() for parameter in parameters]


def test_the_bits_are_pytorchs() -> None:
    ours = moved(lambda parameters: Adam(parameters, 0.03))
    theirs = moved(lambda parameters: torch.optim.Adam(parameters, lr=0.03, fused=True))
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_a_parameter_without_a_gradient_stays() -> None:
    draws = torch.Generator().manual_seed(0)
    start = [torch.randn(shape, generator=draws) for shape in SHAPES]
    ours = moved(lambda parameters: Adam(parameters, 0.03))
    assert torch.equal(ours[IDLE], start[IDLE])
    assert not torch.equal(ours[0], start[0])


def test_without_any_gradient_nothing_happens() -> None:
    parameter = nn.Parameter(torch.ones(2))
    optimizer = Adam([parameter], 0.1)
    optimizer.step()
    optimizer.zero_grad()
    assert torch.equal(parameter.detach(), torch.ones(2))
    assert parameter.grad is None
