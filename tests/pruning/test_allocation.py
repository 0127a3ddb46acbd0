"""What falls to each layer: exact, inside the mask, in proportion."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lip_ray.pruning import Mask, UnrankableError, keep_top
from lip_ray.pruning.allocation import keep_best, shares

SCOPES = ("layer", "erk")
SHAPES = st.lists(
    st.tuples(*[st.integers(1, 6)] * 2, *[st.integers(1, 3)] * 2), min_size=1, max_size=5
)


def dense(*shapes: tuple[int, ...]) -> Mask:
    return Mask({str(i): torch.ones(s, dtype=torch.bool) for i, s in enumerate(shapes)})


@st.composite
def cuts(draw) -> tuple[Mask, int]:
    """A mask of convolutions, and how many to keep of what is left."""
    arrays = [draw(hnp.arrays(bool, shape)) for shape in draw(SHAPES)]
    mask = Mask({str(i): torch.from_numpy(array) for i, array in enumerate(arrays)})
    if not mask.kept:
        mask = dense((2, 1, 1, 1))
    return mask, draw(st.integers(1, mask.kept))


def proportion(scope: str, layer: torch.Tensor) -> int:
    return layer.numel() if scope == "layer" else sum(layer.shape)


def counts(mask: Mask) -> dict[str, int]:
    return {name: int(layer.sum()) for name, layer in mask.layers.items()}


@pytest.mark.parametrize("scope", SCOPES)
@given(cut=cuts())
def test_the_total_is_exact_and_no_layer_gets_more_than_it_has(scope, cut) -> None:
    mask, kept = cut
    given_out, room = shares(mask, kept=kept, scope=scope), counts(mask)
    assert sum(given_out.values()) == kept
    assert list(given_out) == list(mask.layers)
    assert all(0 <= given_out[name] <= room[name] for name in room)


@pytest.mark.parametrize("scope", SCOPES)
@given(cut=cuts())
def test_no_layer_with_room_is_behind_the_others(scope, cut) -> None:
    """Shares are in proportion up to rounding, but for layers that are full."""
    mask, kept = cut
    given_out, room = shares(mask, kept=kept, scope=scope), counts(mask)
    parts = {name: proportion(scope, layer) for name, layer in mask.layers.items()}
    for name in (n for n in room if given_out[n] < room[n]):
        for other in room:
            assert (given_out[name] + 1) * parts[other] > (given_out[other] - 1) * parts[name]


@given(cut=cuts())
def test_the_same_density_in_each_layer_of_a_dense_network(cut) -> None:
    mask, kept = cut
    mask = Mask.dense(mask.layers)
    for name, count in shares(mask, kept=kept, scope="layer").items():
        assert abs(count - kept * mask.layers[name].numel() / mask.total) < 1


@pytest.mark.parametrize("scope", SCOPES)
@given(cut=cuts(), data=st.data())
def test_a_ladder_is_nested_and_exact(scope, cut, data) -> None:
    mask, least = cut
    ladder = [mask]
    drawn = data.draw(st.lists(st.integers(least, mask.kept), max_size=4))
    for kept in [*sorted(drawn, reverse=True), least]:
        scores = {
            name: torch.from_numpy(
                data.draw(hnp.arrays(float, tuple(layer.shape), elements=st.integers(0, 3)))
            )
            for name, layer in mask.layers.items()
        }
        ladder.append(keep_best(scores, ladder[-1], kept=kept, scope=scope))
        assert ladder[-1].kept == kept
    for wider, narrower in pairwise(ladder):
        assert all(
            not bool((narrower.layers[name] & ~wider.layers[name]).any()) for name in mask.layers
        )


@pytest.mark.parametrize("scope", SCOPES)
@given(cut=cuts())
def test_each_layer_keeps_its_own_best_and_the_first_of_equals(scope, cut) -> None:
    mask, kept = cut
    scores = {
        name: (torch.arange(layer.numel()) // 2 % 3).view(layer.shape).float()
        for name, layer in mask.layers.items()
    }
    chosen = keep_best(scores, mask, kept=kept, scope=scope)
    for name, count in shares(mask, kept=kept, scope=scope).items():
        alive = mask.layers[name].flatten().nonzero().flatten().tolist()
        best = sorted(alive, key=lambda i, name=name: -float(scores[name].flatten()[i]))[:count]
        assert chosen.layers[name].flatten().nonzero().flatten().tolist() == sorted(best)


@given(cut=cuts())
def test_global_is_keep_top(cut) -> None:
    mask, kept = cut
    draws = torch.Generator().manual_seed(kept)
    scores = {n: torch.rand(layer.shape, generator=draws) for n, layer in mask.layers.items()}
    ours, plain = (
        keep_best(scores, mask, kept=kept, scope="global"),
        keep_top(scores, mask, kept=kept),
    )
    assert all(torch.equal(ours.layers[name], plain.layers[name]) for name in mask.layers)


def test_densities_worked_out_by_hand() -> None:
    """432, 4608 and 320 weights, sums of sides 25, 54 and 44; a quarter of 5360 is 1340.

    Layer: 108, 1152, 80. Kernel: 1340 × 44 ÷ 123 is over 320, so that layer is full, and the other
    1020 go as 25 to 54: 322.8 and 697.2.
    """
    mask = dense((16, 3, 3, 3), (32, 16, 3, 3), (10, 32, 1, 1))
    assert list(shares(mask, kept=1340, scope="layer").values()) == [108, 1152, 80]
    assert list(shares(mask, kept=1340, scope="erk").values()) == [323, 697, 320]


def test_what_is_over_goes_to_those_that_lost_most_then_to_the_first() -> None:
    assert list(shares(dense((3,), (3,), (4,)), kept=5, scope="layer").values()) == [2, 1, 2]
    assert list(shares(dense((1,), (1,), (1,)), kept=2, scope="layer").values()) == [1, 1, 0]


@pytest.mark.parametrize("scope", ["global", *SCOPES])
@pytest.mark.parametrize("kept", [0, 7])
def test_a_count_that_cannot_be_kept_is_refused(scope, kept: int) -> None:
    mask = dense((2, 1, 1, 1), (4, 1, 1, 1))
    scores = {name: torch.zeros(layer.shape) for name, layer in mask.layers.items()}
    with pytest.raises(ValueError, match=f"between 1 and the 6 weights left, got {kept}"):
        keep_best(scores, mask, kept=kept, scope=scope)


@pytest.mark.parametrize("scope", ["global", *SCOPES])
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_survivor_without_a_finite_score_cannot_be_ranked(scope, bad: float) -> None:
    """Even in a layer that would keep nothing; what is pruned may have any score."""
    mask = dense((1, 1, 1, 1), (40, 1, 1, 1))
    scores = {name: torch.zeros(layer.shape) for name, layer in mask.layers.items()}
    scores["0"].fill_(bad)
    with pytest.raises(UnrankableError):
        keep_best(scores, mask, kept=1, scope=scope)
    gone = Mask(mask.layers | {"0": torch.zeros(1, 1, 1, 1, dtype=torch.bool)})
    assert keep_best(scores, gone, kept=1, scope=scope).kept == 1
