"""What two masks have in common, counted by hand and against chance by enumeration."""

from itertools import combinations
from statistics import mean

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lip_ray.pruning import Mask, Overlap, overlap


def mask(**layers: list[int]) -> Mask:
    return Mask({name: torch.tensor(bits, dtype=torch.bool) for name, bits in layers.items()})


ONE = mask(a=[1, 1, 0, 0], b=[1, 1, 1, 0, 0, 0])
OTHER = mask(a=[1, 0, 1, 0], b=[1, 1, 0, 0, 0, 0])


def test_counts_by_hand() -> None:
    found = overlap(ONE, OTHER)
    assert found.layers["a"] == Overlap(first=2, second=2, both=1, expected=1.0)
    assert found.layers["b"] == Overlap(first=3, second=2, both=2, expected=1.0)
    assert found.total == Overlap(first=5, second=4, both=3, expected=2.0)
    assert found.total_by_layer == Overlap(first=5, second=4, both=3, expected=2.0)
    assert (found.layers["a"].iou, found.layers["a"].chance) == (1 / 3, 1 / 3)
    assert found.layers["a"].lift == 1
    assert (found.layers["b"].iou, found.layers["b"].chance) == (2 / 3, 1 / 4)
    assert found.total.lift == pytest.approx((3 / 6) / (2 / 7))


def test_layer_densities_alone_lift_the_total_but_not_the_total_by_layer() -> None:
    """Both masks keep all of one layer and half of the other, at no more than chance there."""
    found = overlap(mask(a=[1] * 4, b=[1, 1, 0, 0]), mask(a=[1] * 4, b=[1, 0, 1, 0]))
    assert found.total_by_layer.lift == 1
    assert found.total.lift > 1


@given(st.data())
def test_expected_intersection_is_the_mean_over_all_masks(data) -> None:
    weights = data.draw(st.integers(1, 7))
    first, second = (data.draw(st.integers(0, weights)) for _ in range(2))
    one = [int(i < first) for i in range(weights)]
    found = []
    for chosen in combinations(range(weights), second):
        other = [int(i in chosen) for i in range(weights)]
        found.append(overlap(mask(a=one), mask(a=other)).total)
    assert mean(o.both for o in found) == pytest.approx(found[0].expected)
    assert len({o.expected for o in found}) == 1


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_iou_is_symmetric_and_between_none_and_all(bits) -> None:
    one, other = (mask(a=[int(pair[i]) for pair in bits]) for i in (0, 1))
    ours, theirs = overlap(one, other).total, overlap(other, one).total
    assert (ours.iou, ours.chance, ours.lift) == (theirs.iou, theirs.chance, theirs.lift)
    union = sum(a or b for a, b in bits)
    assert ours.iou == (sum(a and b for a, b in bits) / union if union else None)
    assert overlap(one, one).total.iou in (1, None)


def test_what_cannot_be_said_is_none() -> None:
    empty, full = mask(a=[0, 0]), mask(a=[1, 1])
    nothing = overlap(empty, empty).total
    assert (nothing.iou, nothing.chance, nothing.lift) == (None, None, None)
    half = overlap(empty, full).total
    assert (half.iou, half.chance, half.lift) == (0, 0, None)
    assert overlap(full, full).total.lift == 1


def test_masks_of_other_layers_are_refused() -> None:
    with pytest.raises(ValueError, match="masks must be of the same layers"):
        overlap(mask(a=[1, 0]), mask(b=[1, 0]))
    with pytest.raises(ValueError, match=r"\{'a': \(2,\)\} and \{'a': \(3,\)\}"):
        overlap(mask(a=[1, 0]), mask(a=[1, 0, 1]))
