"""Costs counted by hand, and those of the published networks."""

import pytest

from lip_ray.priors import Cost, DeepDecoder, OesUnet, Skip


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
        macs_per_step=3 * forward - down,
    )


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
