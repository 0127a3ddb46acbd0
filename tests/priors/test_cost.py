"""Costs counted by hand, and those of the published networks."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from lip_ray.priors import Cost, DeepDecoder, OesUnet, Skip
from lip_ray.priors.generators import Dcgan, Pgan


def test_a_small_network_counted_by_hand() -> None:
    """Each weight gradient takes as many multiply-adds as the forward pass, and so does each
    gradient of an input, but for the latent's, which nobody asks for."""
    cost = Skip(width=2, scales=1, skip_width=0, input_channels=1).cost((3, 4, 5))
    halved, whole = 2 * 3, 4 * 5  # pixels
    weights = {"down": 1 * 2 * 9, "second": 2 * 2 * 9, "up": 2 * 2 * 9, "1×1": 2 * 2, "out": 2 * 3}
    down = halved * weights["down"]
    up = whole * (weights["up"] + weights["1×1"] + weights["out"])
    forward = down + halved * weights["second"] + up
    biases, normalisation = 4 * 2 + 3, 5 * (2 + 2)
    assert cost == Cost(
        parameters=sum(weights.values()) + biases + normalisation,
        prunable=sum(weights.values()),
        output_channels=4 * 2 + 3,
        macs_per_pass=forward,
        macs_per_step=3 * forward - down,
        uses=cost.uses,
    )
    assert list(cost.uses.values()) == [halved, halved, whole, whole, whole]


def test_each_kept_weight_is_multiplied_as_often_as_its_layer_is_used() -> None:
    prior = Skip(width=2, scales=1, skip_width=0, input_channels=1)
    cost = prior.cost((3, 4, 5))
    with torch.device("meta"):
        module = prior.network(3, size=(4, 5))
    masks = {name: torch.zeros(module.get_parameter(name).shape) for name in cost.uses}
    first, *_, last = masks.values()
    first.flatten()[:3] = 1
    last.flatten()[0] = 1
    assert cost.macs(masks) == 3 * (2 * 3) + 1 * (4 * 5)


@pytest.mark.parametrize("prior", [Skip(width=4, scales=2), OesUnet(), DeepDecoder(width=4)])
def test_dense_forward_passes_cost_what_pytorch_counts(prior) -> None:
    cost = prior.cost((3, 192, 192))
    with torch.device("meta"):
        module = prior.network(3, size=(192, 192))
        latent = torch.empty(1, *prior.latent_shape((3, 192, 192)))
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(latent)
    dense = {name: torch.ones(module.get_parameter(name).shape) for name in cost.uses}
    assert cost.macs(dense) == counter.get_total_flops() // 2


@pytest.mark.parametrize(
    "prior", [Dcgan(size=8), Pgan(depths=(8, 4), latent_size=8)], ids=["dcgan", "pgan"]
)
def test_generators_cost_what_pytorch_counts(prior) -> None:
    with torch.device("meta"):
        module = prior.network().eval()
        latent = torch.empty(1, prior.latent_size)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(latent)
    dense = {name: torch.ones(module.get_parameter(name).shape) for name in prior.cost.uses}
    assert prior.cost.macs(dense) == counter.get_total_flops() // 2


def test_a_decoder_counted_by_hand() -> None:
    """Pixels at each scale times the weights there."""
    cost = DeepDecoder(width=2, layers=1).cost((3, 4, 6))
    first, second, out = 6 * 4, 24 * 4, 24 * 6
    assert cost.macs_per_step == 3 * (first + second + out) - first
    assert (cost.parameters, cost.prunable) == (4 + 4 + 6 + 8, 14)


@pytest.mark.parametrize(
    ("prior", "parameters", "prunable"),
    [
        (Skip(), 2_217_831, 2_208_768),
        (Skip(skip_width=128, upsampling="nearest"), 3_002_627, 2_990_464),
        (OesUnet(), 3_008_867, 3_003_184),
        (DeepDecoder(), 100_224, 98_688),
    ],
    ids=["denoising", "text inpainting", "OES", "decoder"],
)
def test_published_networks(prior, parameters: int, prunable: int) -> None:
    cost = prior.cost((3, 256, 256))
    assert (cost.parameters, cost.prunable) == (parameters, prunable)
    assert prior.cost((3, 512, 512)).macs_per_step == 4 * cost.macs_per_step
