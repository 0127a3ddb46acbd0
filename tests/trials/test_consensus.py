"""What several ladders agree on: exact counts, nested, and theirs where they are alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from lip_ray.pruning import Mask
from lip_ray.records import LayerMask
from lip_ray.trials import Context, Trajectory
from lip_ray.trials.sources import Consensus

CPU = torch.device("cpu")
PHOTOS = ("astronaut", "coffee", "rocket", "chelsea")
RULES: tuple[Literal["mean_rank", "vote"], ...] = ("mean_rank", "vote")
Ladder = Sequence[Sequence[int]]
"""By level below the dense one, the weights that are kept."""


def trajectory(name: str, **changes: Any) -> Trajectory:
    spec = {
        "images": {"kind": "builtin", "name": name, "rows": (100, 112), "columns": (200, 213)},
        "task": {"kind": "denoising", "sigma": 25.0},
        "prior": {"kind": "skip", "width": 4, "scales": 2, "skip_width": 2, "input_channels": 3},
        "schedule": [1.0, 0.6, 0.4, 0.2],
    }
    return Trajectory.model_validate(spec | changes)


TRAJECTORIES = tuple(trajectory(name) for name in PHOTOS)


@dataclass
class Masks:
    """A artifacts with nothing but masks."""

    rows: dict[tuple[str, int], tuple[LayerMask, ...]] = field(default_factory=dict)

    def masks(self, trial_id: str, level: int) -> tuple[LayerMask, ...] | None:
        return self.rows.get((trial_id, level))

    def weights(self, trial_id: str, level: int) -> None:
        return None


def mask_of(kept: Sequence[int], sizes: Mapping[str, int]) -> Mask:
    flat = torch.zeros(sum(sizes.values()), dtype=torch.bool)
    flat[list(kept)] = True
    return Mask(dict(zip(sizes, flat.split(list(sizes.values())), strict=True)))


def kept_of(mask: Mask) -> list[int]:
    flat = torch.cat([layer.flatten() for layer in mask.layers.values()])
    return [int(place) for place in flat.nonzero().squeeze(1)]


def agreed(
    rule: Literal["mean_rank", "vote"], ladders: Sequence[Ladder], sizes: Mapping[str, int]
) -> list[list[int]]:
    """The weights that a consensus of these ladders keeps, by level, dense first."""
    specs = TRAJECTORIES[: len(ladders)]
    artifacts = Masks()
    for spec, ladder in zip(specs, ladders, strict=True):
        for level, kept in enumerate(ladder, start=1):
            artifacts.rows[spec.id, level] = mask_of(kept, sizes).to_rows()
    dense = mask_of(range(sum(sizes.values())), sizes)
    consensus = Consensus(trajectories=specs, rule=rule)
    return [
        kept_of(mask) for mask in consensus.masks(Context(device=CPU, artifacts=artifacts), dense)
    ]


@st.composite
def ladders_of(draw: st.DrawFn, *, alike: bool = False) -> list[list[list[int]]]:
    """Nested masks of twelve weights with the same counts: 9, 5 and 2."""
    orders = draw(st.lists(st.permutations(range(12)), min_size=2, max_size=4))
    if alike:
        orders = orders[:1] * len(orders)
    return [[sorted(order[:count]) for count in (9, 5, 2)] for order in orders]


SIZES = {"a": 5, "b": 1, "c": 6}


class TestLaws:
    @pytest.mark.parametrize("rule", RULES)
    @given(ladders=ladders_of())
    def test_counts_are_exact_and_levels_nested(
        self, rule: Literal["mean_rank", "vote"], ladders: list[list[list[int]]]
    ) -> None:
        levels = agreed(rule, ladders, SIZES)
        assert [len(kept) for kept in levels] == [12, 9, 5, 2]
        assert all(set(below) < set(above) for above, below in pairwise(levels))

    @pytest.mark.parametrize("rule", RULES)
    @given(ladders=ladders_of(alike=True))
    def test_those_who_agree_keep_their_own(
        self, rule: Literal["mean_rank", "vote"], ladders: list[list[list[int]]]
    ) -> None:
        assert agreed(rule, ladders, SIZES)[1:] == ladders[0]

    @given(ladders=ladders_of())
    def test_what_all_keep_wins_the_first_vote(self, ladders: list[list[list[int]]]) -> None:
        unanimous = set.intersection(*(set(ladder[0]) for ladder in ladders))
        assert unanimous <= set(agreed("vote", ladders, SIZES)[1])

    @pytest.mark.parametrize("rule", RULES)
    @given(ladders=ladders_of())
    def test_the_order_of_trajectories_makes_no_difference(
        self, rule: Literal["mean_rank", "vote"], ladders: list[list[list[int]]]
    ) -> None:
        assert agreed(rule, ladders, SIZES) == agreed(rule, ladders[::-1], SIZES)

    @pytest.mark.parametrize("rule", RULES)
    @given(ladders=ladders_of(), depth=st.integers(0, 3))
    def test_it_ends_with_the_shortest_and_hears_no_one_longer(
        self, rule: Literal["mean_rank", "vote"], ladders: list[list[list[int]]], depth: int
    ) -> None:
        broken_off = [ladders[0][:depth], *ladders[1:]]
        all_broken_off = [ladder[:depth] for ladder in ladders]
        assert agreed(rule, broken_off, SIZES) == agreed(rule, all_broken_off, SIZES)
        assert len(agreed(rule, broken_off, SIZES)) == 1 + depth


class TestByHand:
    def test_three_ladders_of_four_weights(self) -> None:
        """Levels survived: 2, 2, 4 and 1, the first two in the order of the network; votes at
        level 1: 1, 2, 2 and 1, at level 2: 1, 0, 2 and 0."""
        ladders = [[[0, 1], [0]], [[1, 2], [2]], [[2, 3], [2]]]
        sizes = {"a": 3, "b": 1}
        assert agreed("mean_rank", ladders, sizes) == [[0, 1, 2, 3], [0, 2], [2]]
        assert agreed("vote", ladders, sizes) == [[0, 1, 2, 3], [1, 2], [2]]

    def test_ranks_break_a_tied_vote(self) -> None:
        """All have one vote at level 1; the last one's lives on."""
        ladders = [[[0, 1], [0]], [[2, 3], [3]]]
        assert agreed("vote", ladders, {"a": 4})[1] == [0, 3]


class TestSpec:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"seed": 1}, "the same seed"),
            ({"schedule": [1.0, 0.5]}, "the same schedule"),
            ({"prior": {"kind": "skip", "width": 8}}, "the same prior"),
        ],
    )
    def test_what_must_be_shared(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(ValidationError, match=message):
            Consensus(trajectories=(trajectory("astronaut"), trajectory("coffee", **changes)))

    def test_one_twice(self) -> None:
        with pytest.raises(ValidationError, match="one of them is there twice"):
            Consensus(trajectories=(trajectory("coffee"), trajectory("coffee")))

    def test_one_alone(self) -> None:
        with pytest.raises(ValidationError):
            Consensus(trajectories=(trajectory("coffee"),))

    def test_it_is_named_after_its_pruners(self) -> None:
        both = (trajectory("coffee"), trajectory("coffee", pruner="random"), trajectory("rocket"))
        found = Consensus(trajectories=both)
        assert found.label == "magnitude + random"
        assert found.finders == both
        assert (found.levels, found.seed) == (4, 0)
        assert found.weights(2, Context(device=CPU)) is None
