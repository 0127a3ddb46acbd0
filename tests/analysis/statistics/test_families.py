"""Many tests, and how many images they need: against simulations and worked examples."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lip_ray.analysis.statistics.ladders import (
    MOST_IMAGES,
    Ladder,
    holm,
    images_needed,
    judged,
    rung_of,
)

METHODS = 20
DENSITIES = (0.5, 0.2)
MARGIN_DB = 0.1


def test_holms_example() -> None:
    """Worked out by hand: the least is held to α / 4, the next to α / 3, and so on."""
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_tests_that_were_not_made_do_not_count() -> None:
    found = holm([math.nan, 0.01, math.nan, 0.02])
    assert found[1::2] == pytest.approx([0.02, 0.02])
    assert np.isnan(found[::2]).all()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_adjusting_keeps_the_order_and_lies_between_none_and_bonferroni(found: list[float]) -> None:
    adjusted = holm(found)
    order = np.argsort(found, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()
    for own, after in zip(found, adjusted, strict=True):
        assert own <= after <= min(1.0, own * len(found)) or after == adjusted[order[0]]


@pytest.mark.slow
@pytest.mark.parametrize(("images", "common"), [(5, 0.0), (14, 0.3)])
def test_nothing_at_the_margin_is_shown_in_more_than_one_table_of_twenty(
    images: int, common: float
) -> None:
    """Twenty methods by two densities, all just at the margin; images may be hard for all."""
    rng = np.random.default_rng(images)
    tables, wrong = 400, {"shown": 0, "refuted": 0}
    for _ in range(tables):
        shared = rng.normal(0.0, common, images) if common else np.zeros(images)
        own = rng.normal(-MARGIN_DB, 0.15, (METHODS, len(DENSITIES), images))
        ladders = [
            Ladder(
                rungs=[
                    rung_of(density, [[value] for value in values], MARGIN_DB)
                    for density, values in zip(DENSITIES, method + shared, strict=True)
                ],
                least=DENSITIES[-1],
            )
            for method in own
        ]
        bounds = [one.bounds for one in judged(ladders, margin_db=MARGIN_DB, alpha=0.05)]
        wrong["shown"] += any(one.shown is not None for one in bounds)
        wrong["refuted"] += any(one.refuted is not None for one in bounds)
    assert max(wrong.values()) / tables <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / tables)


@pytest.mark.parametrize(
    ("deviation_db", "images"), [(0.12, 11), (0.14, 14), (0.16, 18), (0.31, 61), (0.7, 305)]
)
def test_images_that_a_margin_of_a_tenth_of_a_decibel_needs(
    deviation_db: float, images: int
) -> None:
    assert images_needed(deviation_db, MARGIN_DB) == images


def test_that_many_images_decide_in_four_cases_of_five() -> None:
    rng, count = np.random.default_rng(0), 4_000
    shares = []
    for images in (18, 17):
        found = rng.normal(0.0, 0.16, (count, images))
        p = stats.ttest_1samp(found, -MARGIN_DB, axis=1, alternative="greater").pvalue
        shares.append(float((p <= 0.05).mean()))
    assert shares[0] == pytest.approx(0.8, abs=0.03)
    assert shares[1] < shares[0]


def test_a_spread_that_nobody_can_afford_has_no_number() -> None:
    assert images_needed(1.0, 0.001) is None
    assert images_needed(1.0, 100.0) == 2
    assert (images_needed(1.0, 0.01) or 0) < MOST_IMAGES


@pytest.mark.parametrize(("deviation_db", "distance_db"), [(0.0, 0.1), (0.1, 0.0), (math.nan, 1)])
def test_spread_and_distance_must_be_positive(deviation_db: float, distance_db: float) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        images_needed(deviation_db, distance_db)
