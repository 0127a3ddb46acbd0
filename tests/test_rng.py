"""Keyed randomness: the key decides the numbers, and nothing else does."""

from itertools import combinations

import pytest
import torch

from lip_ray.rng import keyed


def draws(*arguments, **options) -> torch.Tensor:
    return torch.rand(8, generator=keyed(*arguments, **options))


def test_the_same_key_gives_the_same_numbers() -> None:
    first = draws(3, "noise", image="cat", level=2)
    torch.rand(100)  # whatever the global generator did in between
    assert torch.equal(first, draws(3, "noise", image="cat", level=2))


def test_every_part_of_the_key_matters() -> None:
    keys = [
        draws(3, "noise", image="cat", level=2),
        draws(4, "noise", image="cat", level=2),
        draws(3, "latent", image="cat", level=2),
        draws(3, "noise", image="dog", level=2),
        draws(3, "noise", image="cat", level=3),
    ]
    for one, other in combinations(keys, 2):
        assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1, "1noise", "cat"), (11, "noise", "cat")),
        ((1, "noise", "cat"), (1, "noisecat", "")),
        ((1, "noise", "cat1"), (1, "noise", "cat")),
    ],
)
def test_the_parts_of_a_key_do_not_run_together(one, other) -> None:
    first = draws(one[0], one[1], image=one[2], level=0)
    second = draws(other[0], other[1], image=other[2], level=0)
    assert not torch.equal(first, second)


def test_image_and_level_do_not_run_together() -> None:
    assert not torch.equal(draws(0, "a", image="x1", level=2), draws(0, "a", image="x", level=12))


def test_the_global_generator_is_left_alone() -> None:
    before = torch.get_rng_state()
    draws(0, "noise")
    assert torch.equal(before, torch.get_rng_state())


def test_keys_are_pinned() -> None:
    """A changed scheme would silently unpair every comparison with stored results."""
    assert keyed(0, "noise").initial_seed() == 754823989798783368
    drawn = keyed(7, "input noise", image="cat", level=3)
    assert drawn.initial_seed() == 8396795960291722575
