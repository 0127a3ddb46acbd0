"""The deep decoder against the original: names, outputs, and published counts."""

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from lip_ray.priors import DeepDecoder

CPU = torch.device("cpu")


def test_the_original_s_output(shared: Path) -> None:
    """In training mode, from the original's weights under its own names."""
    reference = load_file(shared / "oracles" / "deep_decoder_small.safetensors")
    prior = DeepDecoder(width=12, layers=4)
    assert prior.latent_shape((3, 64, 64)) == reference["input"].shape[1:]
    ours = prior.build((3, 64, 64), seed=0, image="cat", device=CPU)
    prefix = "state_dict."
    state = {n.removeprefix(prefix): v for n, v in reference.items() if n.startswith(prefix)}
    # The oracle leaves out the counters of batches, which its momentum never reads.
    state |= {n: v for n, v in ours.snapshot().items() if n.endswith("num_batches_tracked")}
    ours.module.load_state_dict(state, strict=True)
    output = ours.module(reference["input"])
    torch.testing.assert_close(output, reference["output"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("width", "layers", "channels", "published"),
    [
        (32, 5, 3, 6_624),
        (64, 5, 3, 25_536),
        (128, 5, 3, 100_224),
        (256, 5, 3, 397_056),
        (256, 5, 4, 397_312),
        (128, 4, 3, 83_584),
    ],
)
def test_published_counts(width: int, layers: int, channels: int, published: int) -> None:
    """(layers + 1) width² + 2 (layers + 1) width for normalisation + channels × width."""
    prior = DeepDecoder(width=width, layers=layers)
    assert prior.cost((channels, 512, 512)).parameters == published
    normalisation = 2 * (layers + 1) * width
    assert prior.prunable_count(channels) == published - normalisation


def test_no_convolution_has_a_bias() -> None:
    state = DeepDecoder(width=2, layers=1).network(3).state_dict()
    assert list(state)[:2] == ["1.1.weight", "4.weight"]  # 2 doubles, 3 is the ReLU
    assert not [name for name in state if name.endswith(".1.bias")]


@given(
    height=st.integers(5, 40),
    width=st.integers(5, 40),
)
@settings(max_examples=20)
def test_other_sizes_are_the_centre_of_the_next_multiple(height: int, width: int) -> None:
    spec = DeepDecoder(width=3, layers=2)
    prior = spec.build((1, height, width), seed=0, image="cat", device=CPU)
    multiple = (-(-height // 4) * 4, -(-width // 4) * 4)
    assert prior.latent.shape == (1, 3, multiple[0] // 4, multiple[1] // 4)
    whole = spec.build((1, *multiple), seed=0, image="cat", device=CPU)
    assert torch.equal(whole.latent, prior.latent)
    top, left = (multiple[0] - height) // 2, (multiple[1] - width) // 2
    expected = whole.module(whole.latent)[:, :, top : top + height, left : left + width]
    assert torch.equal(prior.module(prior.latent), expected)


def test_one_pixel_of_latent_would_make_a_constant() -> None:
    """Why the smallest side is what it is: normalisation would blow up rounding errors."""
    spec = DeepDecoder(width=4, layers=2)
    network = spec.module((3, 5, 5), torch.Generator()).double()
    output = network(torch.full((1, 4, 1, 1), 0.05).double()).detach()
    assert float(output.std(dim=(2, 3)).max()) < 1e-6
    with pytest.raises(ValueError, match=r"2 layers .* at least 5×5, not 4×9"):
        spec.latent_shape((3, 4, 9))
    assert spec.latent_shape((3, 5, 9)) == (4, 2, 3)
    assert spec.minimum_side == 5


@pytest.mark.parametrize("wrong", [{"width": 0}, {"layers": 0}, {"layers": 17}, {"depth": 3}])
def test_impossible_networks_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DeepDecoder(**wrong)
