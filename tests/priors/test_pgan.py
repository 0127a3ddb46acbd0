"""The progressive GAN: reference tensors of the GAN zoo, and its published sizes."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from lip_ray.priors.equalised import Equalised
from lip_ray.priors.generators import Pgan
from lip_ray.priors.generators.blocks import MinibatchDeviation, PixelNorm
from lip_ray.priors.network import Network

CPU = torch.device("cpu")
SMALL = Pgan(depths=(16, 16, 8), latent_size=16, minibatch_deviation=False)


def reference(shared: Path, name: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The weights of a reference file, and its other tensors."""
    tensors = load_file(shared / "oracles" / name)
    prefix = "state_dict."
    state = {n.removeprefix(prefix): v for n, v in tensors.items() if n.startswith(prefix)}
    return state, tensors


def loaded(network: nn.Module, state: dict[str, torch.Tensor]) -> nn.Module:
    """With the weights that it has, which must be all but those of coarser scales."""
    missing, unused = network.load_state_dict(state, strict=False)
    assert missing == []
    assert {name.partition(".")[0] for name in unused} <= {"toRGBLayers", "fromRGBLayers"}
    return network


def test_the_generator_is_the_zoos(shared: Path) -> None:
    state, tensors = reference(shared, "pgan_small.safetensors")
    network = loaded(SMALL.build(seed=0, device=CPU).module, state)
    output = network(tensors["latent"])
    torch.testing.assert_close(output, tensors["output"], rtol=1e-4, atol=1e-5)


def test_the_discriminator_is_the_zoos(shared: Path) -> None:
    state, tensors = reference(shared, "pgan_discriminator_small.safetensors")
    critic = loaded(SMALL.build_critic(seed=0, device=CPU).module, state)
    scores = critic(tensors["image"])
    torch.testing.assert_close(scores, tensors["output"].flatten(), rtol=1e-4, atol=1e-5)


def test_the_full_size_is_the_published_one() -> None:
    """18,844,992 convolution weights are published: in 13 convolutions of 3×3, and in seven layers
    to images, six of which (4 × 1,536 + 768 + 384 = 7,296 weights, 18 biases) are of coarser
    scales and not used any more. The linear layer has 4,194,304, which the study never pruned.
    """
    with torch.device("meta"):
        network = Network(Pgan().network())
        critic = Network(Pgan().critic_network())
    counts = {name: weight.numel() for name, weight in network.prunable().items()}
    linear, to_image = counts.pop("formatLayer.module.weight"), counts.popitem()
    assert linear == 4_194_304
    assert to_image == ("toRGBLayers.6.module.weight", 192)
    assert len(counts) == 13
    assert sum(counts.values()) + to_image[1] + 7_296 == 18_844_992
    assert Pgan().cost.prunable == sum(counts.values()) + linear + 192 == 23_032_000
    assert network.parameter_count() + 7_296 + 18 == 23_051_989
    assert Pgan().cost.parameters == network.parameter_count() == 23_044_675
    convolutions = sum(w.numel() for w in critic.prunable().values() if w.ndim == 4)
    assert convolutions + 7_296 == 18_849_600
    assert Pgan().image_shape == (3, 256, 256)


def test_a_layers_factor_is_that_of_its_fan_in() -> None:
    """0.0208 for 512 channels of 3×3, 0.0589 for 64, 0.177 for the last layer to images."""
    with torch.device("meta"):
        factors = Network(Pgan().network()).factors()
    expected = {
        "formatLayer": (2 / 512) ** 0.5,
        "scaleLayers.0.0": 0.0208,
        "scaleLayers.5.1": 0.0589,
        "toRGBLayers.6": 0.177,
    }
    for name, factor in expected.items():
        assert factors[f"{name}.module.weight"] == pytest.approx(factor, abs=5e-4)


def test_an_equalised_layer_scales_its_bias_too() -> None:
    layer = Equalised(nn.Linear(8, 3))
    x = torch.randn(2, 8, generator=torch.Generator())
    expected = (x @ layer.module.weight.T + layer.module.bias) / 2
    torch.testing.assert_close(layer(x), expected)


def test_initial_weights_are_the_papers() -> None:
    spec = Pgan(depths=(64, 64), latent_size=64)
    for network in (spec.build(seed=0, device=CPU), spec.build_critic(seed=0, device=CPU)):
        weights = torch.cat([w.flatten() for w in network.prunable().values()]).detach()
        assert float(weights.mean()) == pytest.approx(0, abs=0.02)
        assert float(weights.std()) == pytest.approx(1, abs=0.02)
        others = [p for n, p in network.module.named_parameters() if n.endswith("bias")]
        assert others
        assert not any(bool(bias.any()) for bias in others)


def test_the_length_of_a_latent_does_not_matter() -> None:
    network = SMALL.build(seed=0, device=CPU)
    z = SMALL.latents(2, torch.Generator())
    torch.testing.assert_close(network(3 * z), network(z), rtol=1e-3, atol=1e-5)


def test_a_normalised_pixel_has_mean_square_one() -> None:
    x = torch.randn(2, 5, 3, 3, generator=torch.Generator())
    normalised = PixelNorm()(x)
    torch.testing.assert_close(normalised.square().mean(dim=1), torch.ones(2, 3, 3))
    assert torch.equal(normalised.sign(), x.sign())


@pytest.mark.parametrize(("count", "groups"), [(8, [4, 4]), (4, [4]), (6, [6]), (1, [1])])
def test_the_deviation_of_a_minibatch(count: int, groups: list[int]) -> None:
    x = torch.randn(count, 3, 2, 2, generator=torch.Generator())
    shown = MinibatchDeviation()(x)
    assert torch.equal(shown[:, :3], x)
    expected = torch.cat(
        [
            (group.var(dim=0, unbiased=False) + 1e-8).sqrt().mean().expand(len(group))
            for group in x.split(groups)
        ]
    )
    for channel in (shown[:, 3, 0, 0], shown[:, 3, 1, 1]):
        torch.testing.assert_close(channel, expected)


def test_the_discriminator_can_see_the_minibatch() -> None:
    """A score depends on the other images exactly where the spec says so."""
    images = torch.rand(4, 3, 8, 8, generator=torch.Generator())
    others = torch.cat([images[:1], torch.zeros(3, 3, 8, 8)])
    for shown in (True, False):
        spec = Pgan(depths=(4, 4), latent_size=2, minibatch_deviation=shown)
        critic = spec.build_critic(seed=0, device=CPU).module
        first, second = critic(images)[0], critic(others)[0]
        assert (abs(float(first - second)) > 1e-6) == shown
