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
from torch.utils.flop_counter import FlopCounterMode

from lip_ray.priors import AbstractPrior, DeepDecoder, OesUnet, Prior, Skip
from lip_ray.priors.base import UntrainedPrior, initialise
from lip_ray.pruning import Mask, effective
from lip_ray.rng import keyed
from lip_ray.spec import Spec

FAMILY = Prior
BASE = AbstractPrior
EXAMPLES: dict[type[Spec], tuple[Spec, ...]] = {
    Skip: (
        Skip(width=4, scales=2, skip_width=2, input_channels=3),
        Skip(width=4, scales=3, skip_width=0, input_channels=2),
        Skip(width=3, scales=1, skip_width=1, input_channels=4),
        Skip(width=3, scales=3, skip_widths=(2, 0, 1), input_channels=2),
        Skip(width=4, scales=2, skip_width=4, input_channels=2, upsampling="nearest"),
        Skip(
            scales=2,
            skip_width=0,
            input_channels=1,
            widths=(2, 3),
            down_filter=5,
            up_filter=7,
            downsampling="average",
            upsampling="nearest",
            pointwise=False,
        ),
    ),
    DeepDecoder: (DeepDecoder(width=4, layers=1), DeepDecoder(width=6, layers=3)),
    OesUnet: (OesUnet(widths=(3, 4), input_channels=2), OesUnet(widths=(5,), input_channels=3)),
}

CPU = torch.device("cpu")


def built(prior, *, seed=0, image="cat", channels=3, side=None):
    """A network for a square image, by default the smallest."""
    side = side or prior.minimum_side
    return prior.build((channels, side, side), seed=seed, image=image, device=CPU)


def made(example, *, side=None) -> torch.Tensor:
    """The image of an untrained network."""
    prior = built(example, side=side)
    return prior.module(prior.latent).detach()


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
    assert prior.latent.shape == (1, *example.latent_shape((channels, height, width)))


def test_the_smallest_side_is_exact(example) -> None:
    """One pixel less cannot be made."""
    with pytest.raises((RuntimeError, ValueError)):
        made(example, side=example.minimum_side - 1)


def test_the_picture_depends_on_the_latent_at_every_size(example) -> None:
    """A latent too small would make images of one colour."""
    output = made(example)
    assert float(output.std(dim=(2, 3)).min()) > 1e-3


def test_a_network_is_shared_by_the_shapes_that_it_makes(example) -> None:
    least = example.minimum_side
    shapes = [(3, least + a, least + b) for a in (0, 7) for b in (0, 1)]
    shapes += [(1, least, least), (3, 2 * least - 2, 4 * least - 4)]
    for ours in shapes:
        prior = example.build(ours, seed=0, image="cat", device=CPU)
        assert example.shares_network(ours, ours)
        for other in shapes:
            latent = example.latent(other, torch.Generator())
            output = prior.with_latent(latent).module(latent)
            assert example.shares_network(ours, other) == (output.shape == (1, *other))


def test_another_latent_meets_the_same_network(example) -> None:
    cat, dog = built(example, image="cat"), built(example, image="dog")
    swapped = cat.with_latent(dog.latent)
    assert swapped.module is cat.module
    assert torch.equal(swapped.module(swapped.latent), dog.module(dog.latent))


def test_network_and_latent_come_apart(example) -> None:
    """`build` is the network of one generator and the latent of another."""
    side = example.minimum_side
    whole = built(example)
    state = example.module((3, side, side), keyed(0, "initial weights")).state_dict()
    assert all(torch.equal(state[name], value) for name, value in whole.snapshot().items())
    latent = example.latent((3, side, side), keyed(0, "latent", image="cat"))
    assert torch.equal(latent, whole.latent)


def test_the_cost_is_that_of_the_network(example) -> None:
    side = example.minimum_side
    shape = (3, side, side + 1)
    cost, prior = example.cost(shape), example.build(shape, seed=0, image="cat", device=CPU)
    assert cost.parameters == prior.parameter_count()
    assert cost.prunable == example.prunable_count(3)
    with FlopCounterMode(display=False) as counter:
        prior.module(prior.latent).sum().backward()
    assert cost.macs_per_step == counter.get_total_flops() / 2 > 0


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


def test_initialising_sets_what_memory_held_before(example) -> None:
    """All of it, whatever the layers, with and without biases."""
    with torch.device("meta"):
        module = example.network(3)
    module.to_empty(device="cpu")
    for value in module.state_dict().values():
        value.fill_(77)
    initialise(module, torch.Generator())
    for name, value in module.state_dict().items():
        assert not bool((value == 77).any()), name
    for name, layer in UntrainedPrior(module, torch.empty(0)).prunable().items():
        assert len(layer.unique()) == layer.numel(), name


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
    shape = example.latent_shape((3, side, side))
    assert effective(prior.module, mask, shape) == mask.total


def test_an_empty_network_is_collapsed(example) -> None:
    prior = built(example)
    side, dense = example.minimum_side, Mask.dense(prior.prunable())
    nothing = Mask({name: torch.zeros_like(layer) for name, layer in dense.layers.items()})
    assert effective(prior.module, nothing, example.latent_shape((3, side, side))) == 0
