"""Masks: exact counts, stable ties, bits that survive being written down."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lip_ray.pruning import Mask, UnrankableError, keep_top

CPU = torch.device("cpu")
SHAPES = st.lists(hnp.array_shapes(min_dims=1, max_dims=4, max_side=4), min_size=1, max_size=4)
FEW_SCORES = st.sampled_from([-1.5, -0.0, 0.0, 0.25, 0.25000001, 3.0, 1e-45, 1e38])


@st.composite
def masks(draw) -> Mask:
    """Masks of a few layers of any shape."""
    arrays = [draw(hnp.arrays(bool, shape)) for shape in draw(SHAPES)]
    return Mask({f"layer.{i}.weight": torch.from_numpy(a) for i, a in enumerate(arrays)})


@st.composite
def rankings(draw) -> tuple[Mask, dict[str, torch.Tensor], int]:
    """A mask with survivors, scores full of ties, and how many to keep."""
    mask = draw(masks().filter(lambda mask: mask.kept > 0))
    scores = {
        name: torch.from_numpy(draw(hnp.arrays(np.float32, layer.shape, elements=FEW_SCORES)))
        for name, layer in mask.layers.items()
    }
    return mask, scores, draw(st.integers(1, mask.kept))


def flat(layers) -> np.ndarray:
    return np.concatenate([layer.numpy().reshape(-1) for layer in layers.values()])


@given(rankings())
def test_keep_top_is_a_plain_stable_sort_of_the_survivors(ranking) -> None:
    mask, scores, kept = ranking
    values, survives = flat(scores), flat(mask.layers)
    order = sorted(np.flatnonzero(survives), key=lambda i: -float(values[i]))  # stable
    expected = np.zeros_like(survives)
    expected[order[:kept]] = True
    assert np.array_equal(flat(keep_top(scores, mask, kept=kept).layers), expected)


@given(rankings())
def test_keep_top_keeps_the_count_and_stays_inside(ranking) -> None:
    mask, scores, kept = ranking
    chosen = keep_top(scores, mask, kept=kept)
    assert chosen.kept == kept
    assert chosen.total == mask.total
    assert list(chosen.layers) == list(mask.layers)
    for name, layer in chosen.layers.items():
        assert layer.shape == mask.layers[name].shape
        assert not bool((layer & ~mask.layers[name]).any())


@given(rankings())
def test_keeping_in_two_goes_is_keeping_in_one(ranking) -> None:
    mask, scores, kept = ranking
    between = keep_top(scores, mask, kept=(kept + mask.kept) // 2)
    twice, once = keep_top(scores, between, kept=kept), keep_top(scores, mask, kept=kept)
    assert np.array_equal(flat(twice.layers), flat(once.layers))


def test_equal_scores_are_kept_in_the_order_of_the_network(two_layers: Mask) -> None:
    same = {name: torch.ones(layer.shape) for name, layer in two_layers.layers.items()}
    chosen = flat(keep_top(same, two_layers, kept=13).layers)
    assert chosen.tolist() == [True] * 13 + [False] * 7


def test_layers_are_ranked_by_the_masks_order_not_the_scores(two_layers: Mask) -> None:
    same = {name: torch.ones(two_layers.layers[name].shape) for name in ("second", "first")}
    assert keep_top(same, two_layers, kept=12).layers["first"].all()


def test_the_memory_layout_of_scores_does_not_matter(two_layers: Mask) -> None:
    draws = torch.Generator().manual_seed(0)
    plain = {n: torch.rand(x.shape, generator=draws) for n, x in two_layers.layers.items()}
    last = {name: x.to(memory_format=torch.channels_last) for name, x in plain.items()}
    ours, theirs = (keep_top(scores, two_layers, kept=7) for scores in (plain, last))
    assert np.array_equal(flat(ours.layers), flat(theirs.layers))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_scores_that_are_not_finite_are_refused(two_layers: Mask, bad: float) -> None:
    scores = {name: torch.ones(layer.shape) for name, layer in two_layers.layers.items()}
    scores["second"][0, 0, 1, 1] = bad
    with pytest.raises(UnrankableError, match="not finite"):
        keep_top(scores, two_layers, kept=5)
    two_layers.layers["second"][0, 0, 1, 1] = False  # a weight that is gone may score anything
    survivors = Mask(two_layers.layers)
    assert keep_top(scores, survivors, kept=5).kept == 5


@pytest.mark.parametrize("kept", [0, -1, 21])
def test_counts_out_of_range_are_refused(two_layers: Mask, kept: int) -> None:
    scores = {name: torch.ones(layer.shape) for name, layer in two_layers.layers.items()}
    with pytest.raises(ValueError, match=f"between 1 and the 20 weights left, got {kept}"):
        keep_top(scores, two_layers, kept=kept)


@given(masks())
def test_rows_hold_every_bit(mask: Mask) -> None:
    rows = mask.to_rows()
    back = Mask.from_rows(rows, device=CPU)
    assert list(back.layers) == list(mask.layers)
    for name, layer in mask.layers.items():
        assert back.layers[name].shape == layer.shape
        assert torch.equal(back.layers[name], layer)
    assert sum(row.kept for row in rows) == mask.kept
    assert sum(row.total for row in rows) == mask.total
    assert all(len(row.bits) == -(-row.total // 8) for row in rows)


def test_bits_are_packed_most_significant_first() -> None:
    layer = torch.zeros(2, 5, dtype=torch.bool)
    layer[0, 0] = layer[1, 4] = True
    (row,) = Mask({"layer": layer}).to_rows()
    assert row.bits == bytes([0b1000_0000, 0b0100_0000])
    assert (row.layer, row.shape, row.kept, row.total) == ("layer", (2, 5), 2, 10)


def test_bits_follow_the_logical_order_whatever_the_layout() -> None:
    layer = torch.rand(4, 3, 2, 2, generator=torch.Generator().manual_seed(0)) > 0.5
    (plain,) = Mask({"layer": layer}).to_rows()
    (last,) = Mask({"layer": layer.to(memory_format=torch.channels_last)}).to_rows()
    assert plain.bits == last.bits


def test_counts_and_density(two_layers: Mask) -> None:
    assert (two_layers.kept, two_layers.total, two_layers.density) == (20, 20, 1.0)
    assert Mask.dense({n: x.float() for n, x in two_layers.layers.items()}).kept == 20
    same = {name: torch.ones(layer.shape) for name, layer in two_layers.layers.items()}
    assert keep_top(same, two_layers, kept=5).density == 0.25
