"""The skip network against the original: names, shapes, outputs and gradients."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from lip_ray.priors import Skip, UntrainedPrior

CPU = torch.device("cpu")


def built(prior: Skip, *, channels: int = 3, height: int = 0, width: int = 0) -> UntrainedPrior:
    shape = (channels, height or prior.minimum_side, width or prior.minimum_side)
    return prior.build(shape, seed=0, image="cat", device=CPU)


class TestOriginal:
    """The small network computed once by the original code."""

    @pytest.fixture
    def reference(self, shared: Path) -> dict[str, torch.Tensor]:
        return load_file(shared / "oracles" / "skip_small.safetensors")

    @pytest.fixture
    def prior(self, reference: dict[str, torch.Tensor]) -> UntrainedPrior:
        """Ours with the original's state, under its own names."""
        ours = built(Skip(width=8, scales=3, skip_width=4, input_channels=4), height=32, width=40)
        prefix = "state_dict."
        state = {n.removeprefix(prefix): v for n, v in reference.items() if n.startswith(prefix)}
        ours.module.load_state_dict(state, strict=True)
        return UntrainedPrior(ours.module, reference["input"])

    def test_output(self, prior, reference) -> None:
        output = prior.module(prior.latent)
        torch.testing.assert_close(output, reference["output"], rtol=1e-4, atol=1e-5)

    def test_loss_and_gradients(self, prior, reference) -> None:
        loss = (prior.module(prior.latent) - 0.25).square().mean()
        loss.backward()
        torch.testing.assert_close(loss[None], reference["loss"], rtol=1e-4, atol=1e-5)
        weights = list(prior.prunable().values())
        for weight, name in ((weights[0], "grad_first_conv"), (weights[-1], "grad_last_conv")):
            torch.testing.assert_close(weight.grad, reference[name], rtol=1e-4, atol=1e-5)


def test_the_network_of_the_study(shared: Path) -> None:
    """Every parameter's name and shape, in the original order; the totals."""
    paper = json.loads((shared / "oracles" / "skip_paper_layers.json").read_text())
    with torch.device("meta"):
        module = Skip().network(3)
    ours = [[name, list(parameter.shape)] for name, parameter in module.named_parameters()]
    assert ours == paper["parameters"]
    prior = UntrainedPrior(module, torch.empty(0))
    assert prior.parameter_count() == paper["total_parameters"]
    assert len(prior.prunable()) == paper["n_convs"]
    assert Skip().prunable_count(3) == paper["prunable_conv_weights"]


def test_totals_of_the_study() -> None:
    with torch.device("meta"):
        module = Skip().network(3)
    assert sum(parameter.numel() for parameter in module.parameters()) == 2_217_831
    assert Skip().prunable_count(3) == 2_208_768
    assert Skip().minimum_side == 33


LIBRARY = Skip(
    input_channels=1,
    scales=6,
    skip_width=0,
    widths=(16, 32, 64, 128, 128, 128),
    down_filter=5,
    upsampling="nearest",
    pointwise=False,
)
"""Ulyanov's network for inpainting a large region."""


class TestVariants:
    def test_text_inpainting(self) -> None:
        """Published: 3,002,627 parameters."""
        cost = Skip(skip_width=128, upsampling="nearest").cost((3, 64, 64))
        assert cost.parameters == 3_002_627

    def test_inpainting_a_large_region(self) -> None:
        """As many weights as the layers say; of the bigger filters, only those on the way down."""
        widths = LIBRARY.widths or ()
        inward = (1, *widths[:-1])
        deeper = (*widths[1:], widths[-1])
        down = sum(25 * w * (i + w) for i, w in zip(inward, widths, strict=True))
        up = sum(9 * w * d for w, d in zip(widths, deeper, strict=True))
        assert LIBRARY.prunable_count(3) == down + up + 3 * widths[0]

    @pytest.mark.parametrize("side", [8, 9])
    def test_averaging_follows_the_convolution(self, side: int) -> None:
        """Halves like a stride does; an odd side's last pixel is the average of what is there."""
        fields = {"width": 2, "scales": 1, "skip_width": 0, "input_channels": 1}
        strided, averaged = Skip(**fields), Skip(**fields, downsampling="average")
        assert list(strided.network(3).state_dict()) == list(averaged.network(3).state_dict())
        layer = averaged.network(3).get_submodule("1.1")
        x = torch.rand(1, 1, side, side)
        full = layer[1](layer[0](x)).detach()
        output = layer(x).detach()
        half = -(-side // 2)
        assert output.shape == (1, 2, half, half)
        corner = full[:, :, 2 * half - 2 :, 2 * half - 2 :].mean(dim=(2, 3))
        torch.testing.assert_close(output[:, :, -1, -1], corner)
        torch.testing.assert_close(output[:, :, 0, 0], full[:, :, :2, :2].mean(dim=(2, 3)))

    def test_upsampling_by_repetition(self) -> None:
        fields = {"width": 2, "scales": 1, "skip_width": 0, "input_channels": 1}
        nearest = Skip(**fields, upsampling="nearest").network(3).get_submodule("1.7")
        bilinear = Skip(**fields).network(3).get_submodule("1.7")
        x = torch.tensor([[[[0.0, 1.0]]]])
        assert nearest(x)[0, 0, 0].tolist() == [0, 0, 1, 1]
        assert bilinear(x)[0, 0, 0].tolist() == [0, 0.25, 0.75, 1]

    @pytest.mark.parametrize(("down", "up", "least"), [(3, 3, 5), (3, 7, 7), (5, 3, 9), (7, 3, 13)])
    def test_wider_filters_reflect_more(self, down: int, up: int, least: int) -> None:
        prior = Skip(width=2, scales=2, input_channels=1, down_filter=down, up_filter=up)
        assert prior.minimum_side == least

    def test_equal_widths_are_one_width(self) -> None:
        narrow = Skip(width=4, scales=2, input_channels=3)
        scale_by_scale = Skip(widths=(4, 4), scales=2, input_channels=3)
        first, other = built(narrow).snapshot(), built(scale_by_scale).snapshot()
        assert all(torch.equal(first[name], other[name]) for name in first | other)

    def test_equal_skip_widths_are_one_skip_width(self) -> None:
        small: dict[str, Any] = {"width": 4, "scales": 2, "input_channels": 3}
        one, each = Skip(**small, skip_width=2), Skip(**small, skip_widths=(2, 2))
        first, other = built(one).snapshot(), built(each).snapshot()
        assert all(torch.equal(first[name], other[name]) for name in first | other)
        assert one.id != each.id

    def test_each_scale_has_its_own_skip(self) -> None:
        """As in the original code, a scale without a skip has no concatenation, and so one number
        less in the names of what lies inside it."""
        prior = Skip(width=4, scales=3, input_channels=3, skip_widths=(5, 0, 1))
        shapes = {n: tuple(w.shape[:2]) for n, w in prior.network(3).state_dict().items()}
        assert shapes["1.0.1.1.weight"] == (5, 3)  # the skip of the finest scale
        assert shapes["3.1.weight"] == (4, 5 + 4)  # and the convolution behind it
        assert shapes["1.1.7.3.1.weight"] == (4, 4)  # the second scale has none
        assert shapes["1.1.7.1.7.1.0.1.1.weight"] == (1, 4)
        assert shapes["1.1.7.1.7.3.1.weight"] == (4, 1 + 4)
        assert "skip_widths" not in Skip().model_dump_json()

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"skip_widths": (4,), "scales": 3}, "as many as scales, which is 3; got 1 skip_wid"),
            ({"skip_widths": (4, 4), "scales": 2, "skip_width": 1}, "leave skip_width out, got 1"),
            ({"widths": (4, 4), "scales": 3}, "as many as scales, which is 3; got 2"),
            ({"widths": (4, 4), "scales": 2, "width": 4}, "leave width out, got 4"),
        ],
    )
    def test_widths_agree_with_the_rest(self, fields, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            Skip(**fields)


@given(
    height=st.integers(5, 24),
    width=st.integers(5, 24),
    channels=st.sampled_from([1, 3]),
    skip_width=st.sampled_from([0, 2]),
    downsampling=st.sampled_from(["stride", "average"]),
)
@example(height=5, width=5, channels=1, skip_width=0, downsampling="average")
@example(height=7, width=23, channels=3, skip_width=2, downsampling="stride")
@settings(max_examples=25)
def test_any_size_odd_ones_too(height, width, channels, skip_width, downsampling) -> None:
    prior = built(
        Skip(
            width=3,
            scales=2,
            skip_width=skip_width,
            input_channels=2,
            downsampling=downsampling,
        ),
        channels=channels,
        height=height,
        width=width,
    )
    assert prior.module(prior.latent).shape == (1, channels, height, width)


@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_the_smallest_side_doubles_with_every_scale(scales: int) -> None:
    prior = Skip(width=2, scales=scales, skip_width=1, input_channels=1)
    assert prior.minimum_side == 2**scales + 1
    smallest = built(prior)
    assert smallest.module(smallest.latent).shape[2:] == (prior.minimum_side,) * 2
    smaller = built(prior, height=prior.minimum_side - 1)
    with pytest.raises(RuntimeError, match=r"[Pp]adding"):
        smaller.module(smaller.latent)


def test_without_skips_there_is_one_path() -> None:
    prior = Skip(width=4, scales=2, skip_width=0, input_channels=3)
    per_scale = [3 * 4 * 9, 4 * 4 * 9, 4 * 4 * 9, 4 * 4]  # down, down, up, 1×1
    deeper = [4 * 4 * 9, 4 * 4 * 9, 4 * 4 * 9, 4 * 4]
    assert prior.prunable_count(3) == sum(per_scale) + sum(deeper) + 4 * 3


def test_initial_draws_have_the_distributions_they_should() -> None:
    prior = built(Skip(width=32, scales=1, input_channels=16))
    assert float(prior.latent.min()) >= 0
    assert float(prior.latent.max()) < 0.1
    assert float(prior.latent.mean()) == pytest.approx(0.05, abs=0.02)
    for weight in prior.prunable().values():
        bound = weight[0].numel() ** -0.5
        assert float(weight.detach().abs().max()) <= bound
        if weight.numel() > 1000:
            assert float(weight.detach().std()) == pytest.approx(bound / 3**0.5, rel=0.05)
    state = prior.snapshot()
    assert all(bool((state[n] == 1).all()) for n in state if n.endswith("running_var"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"width": 0},
        {"scales": 0},
        {"skip_width": -1},
        {"input_channels": 0},
        {"depth": 3},
        {"down_filter": 4},
    ],
)
def test_impossible_networks_are_refused(wrong) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Skip(**wrong)
