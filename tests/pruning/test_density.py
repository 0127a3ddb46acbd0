"""Effective weights: hand-made networks with dead ends, and brute force on a whole prior."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from lip_ray.priors import Skip
from lip_ray.priors.generators import AbstractGenerator, Dcgan, LayerList, Pgan
from lip_ray.pruning import Mask, PathFinder, density, effective, paths

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


DCGAN = Dcgan(size=16, channels=1, latent_size=3, width=2)
PGAN = Pgan(depths=(4, 3, 2), latent_size=5)
DECODER = LayerList(
    layers=(
        *(("linear", 3, 16), ("bn1d", 16, 1e-3), ("leaky", 0.3), ("view", 4, 2, 2)),
        *(("convT", 4, 2, 3, 2, 0, True), ("crop_br",), ("bn2d", 2, 1e-5), ("relu",)),
        *(("conv", 2, 1, 3, 1, 1, True), ("sigmoid",)),
    ),
    latent_size=3,
    output="unit",
)


@pytest.mark.parametrize(
    ("spec", "incoming", "outgoing", "channel"),
    [
        (DCGAN, "1.weight", "4.weight", 2),
        (DCGAN, "4.weight", "7.weight", 0),
        (PGAN, "groupScale0.0.module.weight", "scaleLayers.0.0.module.weight", 3),
        (PGAN, "scaleLayers.0.1.module.weight", "scaleLayers.1.0.module.weight", 1),
        (PGAN, "scaleLayers.1.1.module.weight", "toRGBLayers.2.module.weight", 0),
        (DECODER, "4.weight", "8.weight", 1),
    ],
)
def test_a_channel_of_a_generator_that_leads_nowhere(
    spec: AbstractGenerator, incoming: str, outgoing: str, channel: int
) -> None:
    """Without what leads out of it, what leads into it matters no more, and the other way round."""
    network = spec.build(seed=0, device=CPU)
    dense = {n: torch.ones_like(w, dtype=torch.bool) for n, w in network.prunable().items()}
    into, out_of = dense[incoming], dense[outgoing]
    transposed = isinstance(network.module.get_submodule(incoming[:-7]), nn.ConvTranspose2d)
    ins = into[:, channel] if transposed else into[channel]
    reads = isinstance(network.module.get_submodule(outgoing[:-7]), nn.ConvTranspose2d)
    outs = out_of[channel] if reads else out_of[:, channel]
    total = sum(layer.numel() for layer in dense.values())
    for cut in (outs, ins):
        cut.fill_(False)
        shape = (spec.latent_size,)
        assert effective(network.module, Mask(dense), shape) == total - ins.numel() - outs.numel()
        cut.fill_(True)


@pytest.mark.parametrize(("spec", "density"), [(DCGAN, 0.03), (DECODER, 0.1)])
@pytest.mark.parametrize("seed", [2, 4, 5, 7])
def test_brute_force_on_generators(spec: AbstractGenerator, density: float, seed: int) -> None:
    """A kept weight is effective exactly where some image changes without it.

    Of a network without biases, whose weights are positive, so that no path is cut by a ReLU.
    """
    network = spec.build(seed=seed, device=CPU)
    network.module.double()
    draws = torch.Generator().manual_seed(seed)
    mask = Mask(
        {n: torch.rand(w.shape, generator=draws) < density for n, w in network.prunable().items()}
    )
    with torch.no_grad():
        for name, parameter in network.module.named_parameters():
            values = torch.rand(parameter.shape, generator=draws) + 0.5
            parameter.copy_(torch.zeros_like(values) if name.endswith("bias") else values)
    network.rewind(network.snapshot(), mask.layers)
    latents = torch.rand(2, spec.latent_size, generator=draws).double() + 0.1
    unbounded = network.module[:-1]
    matters = 0
    with torch.no_grad():
        images = unbounded(latents)
        for name, weight in network.prunable().items():
            for index in mask.layers[name].nonzero().tolist():
                value = weight[tuple(index)].clone()
                weight[tuple(index)] = 0
                matters += not torch.equal(unbounded(latents), images)
                weight[tuple(index)] = value
    assert effective(network.module.float(), mask, (spec.latent_size,)) == matters


def test_a_path_may_lead_through_any_pixel_of_a_pool() -> None:
    """Whichever is the largest for some latent."""
    spec = LayerList(
        layers=(
            ("linear", 2, 16),
            ("view", 1, 4, 4),
            ("maxpool", 2),
            ("conv", 1, 1, 1, 1, 0, True),
        ),
        latent_size=2,
        output="unit",
    )
    network = spec.build(seed=0, device=CPU)
    dense = Mask.dense(network.prunable())
    assert effective(network.module, dense, (2,)) == dense.total == 33


def only(parameters, **entries: list[int]) -> bool:
    """Whether these parameters, two underscores for a dot, lie on a path at just these entries."""
    return all(
        parameters[name.replace("__", ".")].int().tolist() == on for name, on in entries.items()
    )


class TestParameters:
    """Which biases, scales and shifts lie on a path."""

    def test_of_a_channel_that_leads_nowhere_or_that_nothing_reaches(self) -> None:
        module = chain(2, 3, 2)
        mask = mask_of(module, [[1, 1], [1, 0], [0, 0]], [[1, 0, 1], [0, 0, 1]])
        found = paths(module, mask, (2, 1, 1))
        first = {"0__bias": [1, 0, 0], "1__weight": [1, 0, 0], "1__bias": [1, 0, 0]}
        assert only(found.parameters, **first, **{"4__weight": [1, 0], "4__bias": [1, 1]})
        assert found.parameters["0.weight"].flatten().int().tolist() == [1, 1, 0, 0, 0, 0]
        assert found.parameters["3.weight"].flatten().int().tolist() == [1, 0, 0, 0, 0, 0]
        assert found.effective == 3

    def test_every_parameter_has_its_shape(self) -> None:
        module = Fork()
        found = paths(module, mask_of(module, [[0]], [[1]], [[1]], [[1, 1]]), (1, 1, 1))
        shapes = {name: parameter.shape for name, parameter in module.named_parameters()}
        assert {name: on.shape for name, on in found.parameters.items()} == shapes

    def test_the_colour_of_an_output_channel_that_nothing_reaches_is_still_learned(self) -> None:
        module = nn.Sequential(*chain(2, 2), nn.Conv2d(2, 3, 1), nn.Sigmoid())
        mask = mask_of(module, [[1, 1], [0, 0]], [[1, 0], [0, 1], [0, 0]])
        found = paths(module, mask, (2, 1, 1))
        assert only(found.parameters, **{"3__bias": [1, 1, 1], "1__bias": [1, 0]})

    def test_hooks_on_the_network_see_nothing(self) -> None:
        module = chain(2, 2, 1)
        called: list[int] = []
        module[0].register_forward_hook(lambda *_: called.append(1))
        module[0].register_forward_pre_hook(lambda *_: called.append(1))
        paths(module, mask_of(module, [[1, 1], [1, 1]], [[1, 1]]), (2, 1, 1))
        assert called == []


def test_paths_are_found_once_for_one_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    module = chain(2, 2, 1)
    mask, other = (mask_of(module, [[1, 1], [one, 1]], [[1, 1]]) for one in (0, 1))
    counted: list[int] = []
    flow = density.flow
    monkeypatch.setattr(density, "flow", lambda *given: counted.append(1) or flow(*given))
    find = PathFinder(module, (2, 1, 1))
    assert [find(mask).effective, find(Mask(dict(mask.layers))).effective] == [5, 5]
    assert len(counted) == 1
    assert find(other).effective == 6
    assert find(mask).effective == 5, "the one before has left nothing"
