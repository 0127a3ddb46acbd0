"""The laws of every untrained prior: keyed, prunable, rewindable, of the image's shape."""

import pytest
import torch
from laws import (
    test_a_kind_and_json_lead_back_to_the_spec as test_a_kind_and_json_lead_back_to_the_spec,
)
from laws import test_every_member_has_an_example as test_every_member_has_an_example
from laws import test_the_family_is_all_that_is_written as test_the_family_is_all_that_is_written
from safetensors.torch import load, save
from torch import nn

from lip_ray.priors import AbstractPrior, Prior, Skip
from lip_ray.pruning import Mask, effective
from lip_ray.spec import Spec

FAMILY = Prior
BASE = AbstractPrior
EXAMPLES: dict[type[Spec], tuple[Spec, ...]] = {
    Skip: (
        Skip(width=4, scales=2, skip_width=2, input_channels=3),
        Skip(width=4, scales=3, skip_width=0, input_channels=2),
        Skip(width=3, scales=1, skip_width=1, input_channels=4),
    ),
}

CPU = torch.device("cpu")


def built(prior, *, seed=0, image="cat", channels=3, side=None):
    """A network for a square image, by default the smallest."""
    side = side or prior.minimum_side
    return prior.build((channels, side, side), seed=seed, image=image, device=CPU)


def half(prior) -> dict[str, torch.Tensor]:
    """A mask of every second weight."""
    weights = prior.prunable()
    return {name: (torch.arange(w.numel()) % 2 == 0).view(w.shape) for name, w in weights.items()}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("extra", [0, 1, 4])
def test_the_output_is_an_image_of_the_shape_asked_for(example, channels, extra) -> None:
    height, width = example.minimum_side + extra, example.minimum_side + 2 * extra + 1
    prior = example.build((channels, height, width), seed=0, image="cat", device=CPU)
    output = prior.module(prior.latent)
    assert output.shape == (1, channels, height, width)
    assert 0 <= float(output.detach().min()) <= float(output.detach().max()) <= 1
    assert prior.latent.shape[:2] == (1, example.latent_channels)


def test_the_smallest_side_is_exact(example) -> None:
    """One pixel less cannot be made."""
    side = example.minimum_side - 1
    prior = built(example, side=side)
    with pytest.raises((RuntimeError, ValueError)):
        prior.module(prior.latent)


def test_the_same_seed_gives_the_same_bits_and_another_others(example) -> None:
    first, again, other = built(example), built(example), built(example, seed=1)
    assert torch.equal(first.latent, again.latent)
    assert not torch.equal(first.latent, other.latent)
    weights, same, different = first.snapshot(), again.snapshot(), other.snapshot()
    assert all(torch.equal(weights[name], same[name]) for name in weights)
    for name in first.prunable():
        assert not torch.equal(weights[name], different[name])


def test_images_share_initial_weights_but_not_latents(example) -> None:
    cat, dog = built(example, image="cat"), built(example, image="dog")
    weights, others = cat.snapshot(), dog.snapshot()
    assert all(torch.equal(weights[name], others[name]) for name in weights)
    assert not torch.equal(cat.latent, dog.latent)


def test_the_global_generator_is_left_alone(example) -> None:
    before = torch.get_rng_state()
    built(example)
    example.prunable_count(3)
    assert torch.equal(before, torch.get_rng_state())


def test_every_parameter_and_buffer_was_set(example) -> None:
    """Memory that nobody wrote to would differ from one process to the next."""
    state = built(example).snapshot()
    assert all(bool(torch.isfinite(value).all()) for value in state.values())
    assert all(float(value.abs().max()) < 10 for value in state.values())
    assert all(not value.is_meta for value in state.values())


def test_all_convolutions_are_prunable(example) -> None:
    prior = built(example)
    convolutions = [m for m in prior.module.modules() if isinstance(m, nn.modules.conv._ConvNd)]
    assert len(prior.prunable()) == len(convolutions) > 0
    for weight, layer in zip(prior.prunable().values(), convolutions, strict=True):
        assert weight is layer.weight
    assert set(prior.prunable()) <= set(prior.snapshot())


def test_counts_need_no_network(example) -> None:
    for channels in (1, 3):
        total = Mask.dense(built(example, channels=channels).prunable()).total
        assert example.prunable_count(channels) == total


def test_a_snapshot_is_a_copy(example) -> None:
    prior = built(example)
    before = prior.snapshot()
    with torch.no_grad():
        for parameter in prior.module.parameters():
            parameter.add_(1)
    fresh = built(example).snapshot()
    assert all(torch.equal(before[name], fresh[name]) for name in before)


def test_rewinding_restores_every_bit_times_the_mask(example) -> None:
    prior = built(example)
    initial, mask = prior.snapshot(), half(prior)
    optimizer = torch.optim.Adam(prior.module.parameters())
    for _ in range(3):
        prior.module(prior.latent).square().mean().backward()
        optimizer.step()
    trained = prior.snapshot()
    assert any(not torch.equal(initial[name], trained[name]) for name in initial)
    prior.rewind(initial, mask)
    for name, value in prior.snapshot().items():
        expected = initial[name] * mask[name] if name in mask else initial[name]
        assert torch.equal(value, expected), name


def test_weights_travel_through_safetensors_into_another_network(example) -> None:
    prior, other = built(example), built(example, seed=1)
    prior.module(prior.latent)  # moves the running statistics
    state = load(save(prior.snapshot()))
    other.module.load_state_dict(state, strict=True)
    assert list(other.snapshot()) == list(prior.snapshot())
    for name, value in prior.snapshot().items():
        assert torch.equal(other.snapshot()[name], value), name


def test_restoring_with_given_weights_is_pure(example) -> None:
    prior = built(example)
    before = prior.snapshot()
    doubled = {name: 2 * weight.detach() for name, weight in prior.prunable().items()}
    output = prior.restored_with(doubled)
    after = prior.snapshot()
    assert all(torch.equal(before[name], after[name]) for name in before)
    prior.module.load_state_dict(before | doubled)
    assert torch.equal(output, prior.module(prior.latent))


def test_every_weight_of_the_dense_network_is_effective(example) -> None:
    prior = built(example)
    side, mask = example.minimum_side, Mask.dense(prior.prunable())
    shape = (example.latent_channels, side, side)
    assert effective(prior.module, mask, shape) == mask.total


def test_an_empty_network_is_collapsed(example) -> None:
    prior = built(example)
    side, dense = example.minimum_side, Mask.dense(prior.prunable())
    nothing = Mask({name: torch.zeros_like(layer) for name, layer in dense.layers.items()})
    assert effective(prior.module, nothing, (example.latent_channels, side, side)) == 0
