"""Means over pairs of crossed samples: closed forms, and simulations whose truth is known."""

import math
from itertools import product

import numpy as np
import pytest
from scipy import stats

from lip_ray.analysis.statistics.crossed import CrossedMean, crossed_mean

VALUES = np.array([[0.1, 0.5, 0.3], [1.0, 1.2, 1.5], [-0.4, 0.2, 0.3], [0.2, 0.9, 0.6]])
"""Four sources (rows) on three targets."""


def of(table: np.ndarray) -> CrossedMean:
    """The mean over a table of sources by targets; NaN is a pair that was not fitted."""
    places = [(i, j) for i, j in product(*map(range, table.shape)) if not np.isnan(table[i, j])]
    return crossed_mean(
        [table[place] for place in places], [i for i, _ in places], [j for _, j in places]
    )


def simulated(
    rng: np.random.Generator, members: int, spreads: tuple[float, float, float], *, own: bool
) -> np.ndarray:
    """Sources by targets with a true mean of 0; without `own`, the diagonal is missing."""
    by_source, by_target, by_pair = spreads
    table = rng.normal(0, by_source, (members, 1)) + rng.normal(0, by_target, (1, members))
    table = table + rng.normal(0, by_pair, (members, members))
    if not own:
        np.fill_diagonal(table, np.nan)
    return table


def test_a_full_table_is_the_two_way_analysis_of_variance() -> None:
    """Mean squares by hand; degrees of freedom as Satterthwaite (1946) has them."""
    rows, columns = VALUES.shape
    by_row, by_column = VALUES.mean(axis=1), VALUES.mean(axis=0)
    a = columns * by_row.var(ddof=1)
    b = rows * by_column.var(ddof=1)
    left = VALUES - by_row[:, None] - by_column + VALUES.mean()
    e = (left**2).sum() / ((rows - 1) * (columns - 1))
    assert min(a, b) > e
    found = of(VALUES)
    assert found.error == pytest.approx(math.sqrt((a + b - e) / VALUES.size))
    below = a**2 / (rows - 1) + b**2 / (columns - 1) + e**2 / ((rows - 1) * (columns - 1))
    assert found.freedom == pytest.approx((a + b - e) ** 2 / below)
    assert (found.sources, found.targets, found.pairs) == (4, 3, 12)
    low, high = found.interval(0.9)
    assert low + high == pytest.approx(2 * VALUES.mean())
    assert found.below(low) == pytest.approx(0.05)
    assert found.above(high) == pytest.approx(0.05)


def test_sources_and_targets_may_be_swapped() -> None:
    holey = VALUES.copy()
    holey[0, 0] = holey[2, 1] = np.nan
    one, other = of(holey), of(holey.T)
    assert (one.mean, one.error) == pytest.approx((other.mean, other.error))


def test_pairs_of_their_own_are_a_sample_of_images() -> None:
    """As where every image has its tickets taken to another task on that image."""
    values = [0.1, 0.5, -0.2]
    found = crossed_mean(values, "abc", "abc")
    assert found.interval() == pytest.approx(
        tuple(stats.ttest_1samp(values, 0).confidence_interval())
    )


@pytest.mark.parametrize(
    ("sources", "targets"), [("aa", "xy"), ("ab", "xx"), ("a", "x"), ("aabb", "xyzw")]
)
def test_a_side_that_does_not_vary_by_itself_has_no_error(sources: str, targets: str) -> None:
    found = crossed_mean([float(place) for place in range(len(sources))], sources, targets)
    assert not found.decided
    assert math.isnan(found.interval()[0])
    assert math.isnan(found.below(0.0))


def test_equal_values_decide_without_a_spread() -> None:
    found = of(np.full((3, 3), 0.5))
    assert found.error == pytest.approx(0, abs=1e-9)
    assert found.below(0.0) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("sources", "targets"), [("", ""), ("aa", "xx")])
def test_a_pair_has_one_value(sources: str, targets: str) -> None:
    with pytest.raises(ValueError, match="one value for each pair"):
        crossed_mean([1.0] * len(sources), sources, targets)


SPREADS = [(0.4, 0.4, 0.2), (0.5, 0.1, 0.3), (0.0, 0.0, 0.3), (0.5, 0.0, 0.05)]


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("members", [3, 5])
@pytest.mark.parametrize("spreads", SPREADS)
def test_intervals_hold_the_truth_at_least_about_as_often_as_they_say(
    spreads: tuple[float, float, float], members: int, own: bool
) -> None:
    rng, count = np.random.default_rng(members), 400
    found = [of(simulated(rng, members, spreads, own=own)).interval() for _ in range(count)]
    assert np.mean([low <= 0 <= high for low, high in found]) >= 0.91


def test_pairs_as_if_independent_would_hold_it_far_less_often() -> None:
    rng, count = np.random.default_rng(0), 300
    tables = [simulated(rng, 5, SPREADS[0], own=False) for _ in range(count)]
    crossed = np.mean([low <= 0 <= high for low, high in (of(one).interval() for one in tables)])
    pooled = [stats.ttest_1samp(one[~np.isnan(one)], 0).confidence_interval() for one in tables]
    assert np.mean([low <= 0 <= high for low, high in pooled]) < 0.75
    assert crossed > 0.9
