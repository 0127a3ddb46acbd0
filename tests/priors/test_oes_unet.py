"""The network of Optimal Eye Surgeon: counts, names, order of parameters."""

import pytest
import torch
from torch import nn

from lip_ray.priors import OesUnet, Skip

PER_KIND = {nn.Conv2d: 3_003_184 + 1_491, nn.BatchNorm2d: 4_192}


def test_totals_of_the_study() -> None:
    with torch.device("meta"):
        module = OesUnet().network(3)
    parameters = dict(module.named_parameters())
    assert sum(parameter.numel() for parameter in parameters.values()) == 3_008_867
    convolutions = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d)]
    assert len(convolutions) == 19
    assert sum(layer.weight.numel() for layer in convolutions) == 3_003_184
    assert OesUnet().prunable_count(3) == 3_003_184
    for kind, total in PER_KIND.items():
        layers = [layer for layer in module.modules() if isinstance(layer, kind)]
        assert sum(p.numel() for layer in layers for p in layer.parameters()) == total


def test_names_and_order_are_the_original_s() -> None:
    """Flat masks follow this order: down, all that is deeper, up, scale after scale."""
    with torch.device("meta"):
        names = list(OesUnet(widths=(2, 3), input_channels=4).network(1).state_dict())
    weights = [name for name in names if name.endswith("weight")]
    convolutions = ["1.1.1", "1.4.1", "1.7.1.1.1", "1.7.1.4.1", "1.7.3.1", "3.1", "6.1"]
    normalisations = ["1.2", "1.5", "1.7.1.2", "1.7.1.5", "1.7.2", "1.7.4", "2", "4"]
    deeper = ["1.7.1.1.1", "1.7.1.2", "1.7.1.4.1", "1.7.1.5", "1.7.2", "1.7.3.1", "1.7.4"]
    order = ["1.1.1", "1.2", "1.4.1", "1.5", *deeper, "2", "3.1", "4", "6.1"]
    assert [name.removesuffix(".weight") for name in weights] == order
    assert sorted(order) == sorted(convolutions + normalisations)


def test_it_is_a_skip_network_without_skips() -> None:
    """The parameters that a skip network needs to be this one, output for output."""
    widths = (3, 4, 5)
    ours = OesUnet(widths=widths, input_channels=2)
    same = Skip(
        scales=3,
        widths=widths,
        input_channels=2,
        skip_width=0,
        down_filter=5,
        downsampling="average",
        upsampling="nearest",
        pointwise=False,
    )
    shape = (3, 40, 41)
    first, other = (
        prior.build(shape, seed=0, image="cat", device=torch.device("cpu"))
        for prior in (ours, same)
    )
    assert list(first.snapshot()) == list(other.snapshot())
    assert torch.equal(first.module(first.latent), other.module(other.latent))


@pytest.mark.parametrize(("widths", "least"), [((2,), 5), ((2, 2), 9), ((2,) * 6, 129)])
def test_the_coarsest_scale_needs_three_pixels(widths: tuple[int, ...], least: int) -> None:
    assert OesUnet(widths=widths).minimum_side == least


@pytest.mark.parametrize(
    "wrong", [{"widths": ()}, {"widths": (4, 0)}, {"input_channels": 0}, {"scales": 3}]
)
def test_impossible_networks_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OesUnet(**wrong)
