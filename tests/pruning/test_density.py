"""Effective weights: hand-made networks with dead ends, and brute force on a whole prior."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from lip_ray.priors import Skip
from lip_ray.pruning import Mask, effective

CPU = torch.device("cpu")


def chain(*channels: int) -> nn.Sequential:
    """1×1 convolutions with normalisation and activation in between: c0 → c1 → …"""
    layers: list[nn.Module] = []
    for inward, outward in pairwise(channels):
        layers += [nn.Conv2d(inward, outward, 1), nn.BatchNorm2d(outward), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)


def mask_of(module: nn.Module, *layers: list[list[int]]) -> Mask:
    """A mask over 1×1 convolutions: one matrix of 0 and 1 a layer, rows are output channels."""
    names = [name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)]
    tensors = [torch.tensor(matrix, dtype=torch.bool)[:, :, None, None] for matrix in layers]
    return Mask({f"{n}.weight": t for n, t in zip(names, tensors, strict=True)})


class Fork(nn.Module):
    """Two branches side by side, then one convolution over both."""

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right, self.join = chain(1, 1), chain(1, 1, 1), nn.Conv2d(2, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.join(torch.cat((self.left(x), self.right(x)), dim=1))


@pytest.mark.parametrize(
    ("layers", "expected"),
    [
        (([[1, 1], [1, 1]], [[1, 1]]), 6),
        (([[1, 1], [1, 1]], [[1, 0]]), 3),  # the second hidden channel leads nowhere
        (([[1, 1], [0, 0]], [[1, 1]]), 3),  # nothing leads to the second hidden channel
        (([[0, 1], [0, 0]], [[1, 1]]), 2),
        (([[1, 1], [0, 0]], [[0, 1]]), 0),  # collapsed: in and out do not meet
        (([[0, 0], [0, 0]], [[1, 1]]), 0),
        (([[1, 1], [1, 1]], [[0, 0]]), 0),
    ],
)
def test_dead_ends_in_a_chain(layers, expected: int) -> None:
    module = chain(2, 2, 1)
    assert effective(module, mask_of(module, *layers), (2, 1, 1)) == expected


@pytest.mark.parametrize(
    ("left", "right", "further", "join", "expected"),
    [
        (1, 1, 1, [1, 1], 5),
        (0, 1, 1, [1, 1], 3),
        (1, 0, 1, [1, 1], 2),  # a dead branch takes its own weights along, not the other's
        (1, 1, 0, [1, 1], 2),
        (1, 1, 1, [0, 1], 3),
        (0, 1, 0, [1, 1], 0),
    ],
)
def test_branches_side_by_side(left, right, further, join, expected: int) -> None:
    module = Fork()
    mask = mask_of(module, [[left]], [[right]], [[further]], [join])
    assert effective(module, mask, (1, 1, 1)) == expected


def test_a_long_dead_branch_hides_nothing() -> None:
    """Signals of zero through many layers: gradients must stay finite."""

    class Long(Fork):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.right = chain(1, 1), chain(*[1] * 9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(self.stem(x))

    module = Long()
    alive = Mask.dense({n: p for n, p in module.named_parameters() if p.ndim == 4})
    assert effective(module, alive, (1, 1, 1)) == alive.total == 12
    layers = dict(alive.layers) | {"right.12.weight": torch.zeros(1, 1, 1, 1, dtype=torch.bool)}
    assert effective(module, Mask(layers), (1, 1, 1)) == 3  # stem, left, its half of the join


def test_many_paths_do_not_overflow_and_few_do_not_vanish() -> None:
    module = chain(*[64] * 40)
    dense = Mask.dense({n: p for n, p in module.named_parameters() if p.ndim == 4})
    assert effective(module, dense, (64, 1, 1)) == dense.total
    thin = torch.zeros(64, 64, 1, 1, dtype=torch.bool)
    thin[0, 0] = True
    assert effective(module, Mask(dict.fromkeys(dense.layers, thin)), (64, 1, 1)) == 39


def test_signs_and_trained_state_do_not_matter() -> None:
    module = chain(2, 3, 1)
    mask = mask_of(module, [[1, 0], [1, 1], [0, 1]], [[1, 0, 1]])
    before = effective(module, mask, (2, 1, 1))
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(-3)
    state = {name: value.clone() for name, value in module.state_dict().items()}
    assert effective(module, mask, (2, 1, 1)) == before == 4
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())


@pytest.mark.parametrize("skip_width", [0, 1])
@pytest.mark.parametrize("density", [0.08, 0.15, 0.3, 0.6])
@pytest.mark.parametrize("seed", [0, 1])
def test_brute_force_on_the_skip_network(skip_width: int, density: float, seed: int) -> None:
    """A kept weight is effective exactly where the image changes without it."""
    spec = Skip(width=2, scales=2, skip_width=skip_width, input_channels=2)
    prior = spec.build((1, 11, 9), seed=seed, image="cat", device=CPU)
    prior.module.double()
    latent = prior.latent.double()
    draws = torch.Generator().manual_seed(seed)
    names = list(prior.prunable())
    mask = Mask(
        {
            name: torch.rand(weight.shape, generator=draws) < (1 if name == names[-1] else density)
            for name, weight in prior.prunable().items()
        }
    )
    prior.rewind(prior.snapshot(), mask.layers)
    matters = 0
    with torch.no_grad():
        image = prior.module(latent)
        for name in names:
            weights = prior.prunable()[name].view(-1)
            for index in mask.layers[name].view(-1).nonzero().flatten().tolist():
                value = float(weights[index])
                weights[index] = 0
                matters += float((prior.module(latent) - image).abs().max()) > 1e-12
                weights[index] = value
    side = spec.minimum_side
    assert effective(prior.module.float(), mask, (2, side, side)) == matters
