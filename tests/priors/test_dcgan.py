"""DCGAN: the layout and the initial weights of its paper."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from lip_ray.priors.generators import Dcgan

CPU = torch.device("cpu")


def test_the_size_is_that_of_the_known_network() -> None:
    """3,576,704 parameters in PyTorch's own example of it, its critic without normalisation."""
    cost = Dcgan().cost
    assert (cost.parameters, cost.prunable) == (3_576_704, 3_574_784)
    assert cost.parameters - cost.prunable == 2 * (512 + 256 + 128 + 64)


@pytest.mark.parametrize("size", [8, 16, 32, 64, 128])
def test_every_layer_doubles_the_image(size: int) -> None:
    network = Dcgan(size=size, width=2, latent_size=3).build(seed=0, device=CPU).module
    x, sides = torch.ones(1, 3), []
    for layer in network:
        x = layer(x)
        if isinstance(layer, nn.ConvTranspose2d):
            sides.append(x.shape[-1])
            assert layer.bias is None
            assert layer.out_channels == (3 if x.shape[-1] == size else size // x.shape[-1])
    assert sides == [4 << i for i in range(len(sides))]
    assert sides[-1] == size
    normalised = [layer for layer in network if isinstance(layer, nn.BatchNorm2d)]
    assert len(normalised) == len(sides) - 1


def test_initial_weights_are_the_papers() -> None:
    network = Dcgan().build(seed=0, device=CPU)
    for name, weight in ((n, w.detach()) for n, w in network.prunable().items()):
        assert float(weight.mean()) == pytest.approx(0, abs=6 * 0.02 / weight.numel() ** 0.5), name
        assert float(weight.std()) == pytest.approx(0.02, rel=0.05), name
    layers = [layer for layer in network.module if isinstance(layer, nn.BatchNorm2d)]
    scales = torch.cat([layer.weight for layer in layers]).detach()
    assert float(scales.mean()) == pytest.approx(1, abs=0.003)
    assert float(scales.std()) == pytest.approx(0.02, rel=0.1)
    assert not any(bool(layer.bias.any()) for layer in layers)


def test_it_computes_what_its_equation_says() -> None:
    """Of one channel at 8×8 pixels, by hand: two transposed convolutions, normalised between."""
    spec = Dcgan(size=8, channels=1, latent_size=2, width=1)
    network = spec.build(seed=0, device=CPU)
    z = torch.tensor([[0.5, -2.0]])
    first, last = (weight.detach() for weight in network.prunable().values())
    hidden = torch.einsum("nz,zcij->ncij", z, first)
    scale = network.module[2].weight.detach()
    hidden = (hidden * scale / (1 + 1e-5) ** 0.5).relu()
    padded = torch.zeros(1, 1, 10, 10)
    for i in range(4):
        for j in range(4):
            padded[..., 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += hidden[0, 0, i, j] * last[0, 0]
    expected = (padded[..., 1:-1, 1:-1].tanh() + 1) / 2
    torch.testing.assert_close(network(z), expected)


@pytest.mark.parametrize(("side", "last"), [(8, 2), (16, 4), (32, 4), (64, 4)])
def test_the_critic_halves_down_to_four_pixels_but_has_two_scales(side: int, last: int) -> None:
    critic = Dcgan(size=side, width=2).build_critic(seed=0, device=CPU).module
    convolutions = [layer for layer in critic if isinstance(layer, nn.Conv2d)]
    assert side >> len(convolutions) == last
    assert [c.out_channels for c in convolutions] == [2 << i for i in range(len(convolutions))]
    (linear,) = (layer for layer in critic if isinstance(layer, nn.Linear))
    assert linear.in_features == convolutions[-1].out_channels * last**2


@pytest.mark.parametrize(
    ("fields", "field"),
    [({"size": 48}, "size"), ({"channels": 2}, "channels"), ({"law": "t"}, "law")],
)
def test_what_is_not_allowed(fields: dict[str, object], field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Dcgan.model_validate(fields)
