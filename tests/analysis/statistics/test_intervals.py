"""Statistics against simulations whose truth is known, oracles, and brute force."""

import math
from collections.abc import Sequence

import moocore
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lip_ray.analysis.statistics.intervals import (
    BOOTSTRAP_FROM,
    Matching,
    Samples,
    area,
    hypervolume,
    matching,
    mean_interval,
    p_value,
    pareto_front,
    samples_of,
)
from lip_ray.analysis.statistics.ladders import rung_of

SIMULATIONS = 2_500
SEEDS = 3
IMAGE_SD_DB, SEED_SD_DB = 0.4, 0.3
NOMINAL = 0.95

POINTS = st.lists(
    st.tuples(st.integers(0, 6).map(float), st.integers(0, 6).map(float)), min_size=1, max_size=12
)


def simulated(rng: np.random.Generator, images: int, truth_db: float) -> Samples:
    """Differences with what is common to the seeds of an image, and what is not."""
    common = rng.normal(truth_db, IMAGE_SD_DB, (images, 1))
    return (common + rng.normal(0.0, SEED_SD_DB, (images, SEEDS))).tolist()


def ladder(densities: Sequence[float], differences: Sequence[Samples]) -> Matching:
    """The bounds of one ladder by itself, at a margin of 0.1 dB."""
    pairs = zip(densities, differences, strict=True)
    return matching([rung_of(density, samples, 0.1) for density, samples in pairs])


def noise_of(count: int) -> float:
    """Three standard errors of a share of 5 % among so many simulations."""
    return 3 * math.sqrt(0.05 * 0.95 / count)


@pytest.mark.slow
@pytest.mark.parametrize("images", [3, 5, 14])
def test_intervals_cover_the_truth_as_often_as_they_say(images: int) -> None:
    rng = np.random.default_rng(images)
    covered = 0
    for _ in range(SIMULATIONS):
        interval = mean_interval(simulated(rng, images, 0.7))
        covered += interval.low <= 0.7 <= interval.high
    assert covered / SIMULATIONS == pytest.approx(NOMINAL, abs=0.02)


def test_an_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    intervals = [mean_interval(simulated(rng, 5, 0.7)) for _ in range(400)]
    assert np.mean([one.low <= 0.7 <= one.high for one in intervals]) == pytest.approx(
        NOMINAL, abs=0.035
    )


@pytest.mark.slow
def test_pooling_the_seeds_would_cover_far_less() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(SIMULATIONS):
        pooled = np.ravel(simulated(rng, 12, 0.7))
        low, high = stats.ttest_1samp(pooled, 0).confidence_interval(NOMINAL)
        covered += low <= 0.7 <= high
    assert covered / SIMULATIONS < 0.85


@pytest.mark.slow
def test_bootstrapped_intervals_cover_the_truth() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(SIMULATIONS):
        interval = mean_interval(simulated(rng, 30, 0.7))
        covered += interval.low <= 0.7 <= interval.high
    assert covered / SIMULATIONS == pytest.approx(NOMINAL, abs=0.03)


@pytest.mark.slow
@pytest.mark.parametrize("images", [3, 5, 14])
@pytest.mark.parametrize("side", ["p_within", "p_beyond"])
def test_what_is_just_at_the_margin_is_rarely_called_better_or_worse_than_it(
    images: int, side: str
) -> None:
    rng = np.random.default_rng(images)
    rungs = (rung_of(0.5, simulated(rng, images, -0.1), 0.1) for _ in range(SIMULATIONS))
    wrong = sum(getattr(rung, side) <= 0.05 for rung in rungs)
    assert wrong / SIMULATIONS <= 0.05 + noise_of(SIMULATIONS)


def test_what_is_much_better_or_worse_than_the_margin_is_called_so() -> None:
    rng = np.random.default_rng(0)
    assert rung_of(0.5, simulated(rng, 5, 2.0), 0.1).p_within < 0.05
    assert rung_of(0.5, simulated(rng, 5, -3.0), 0.1).p_beyond < 0.05


@pytest.mark.slow
@pytest.mark.parametrize("images", [3, 14])
def test_either_bound_of_the_matching_density_is_rarely_wrong(images: int) -> None:
    """Ten densities, the truth at the margin from the sixth on, or up to the fifth."""
    rng = np.random.default_rng(images)
    densities = [0.8**level for level in range(1, 11)]
    losses = [0.0] * 5 + [-0.1] * 5, [-0.1] * 5 + [-1.0] * 5
    wrong = np.zeros(2)
    count = 800
    for _ in range(count):
        passing, failing = (
            ladder(densities, [simulated(rng, images, db) for db in truth]) for truth in losses
        )
        wrong[0] += passing.shown is not None and passing.shown < densities[4]
        wrong[1] += failing.refuted is not None and failing.refuted > densities[5]
    assert (wrong / count <= 0.05 + noise_of(count)).all()


class TestMatching:
    DENSITIES = (0.5, 0.25, 0.1)

    @staticmethod
    def at(*means: float) -> list[Samples]:
        """Four images whose differences are all but equal to a mean."""
        return [[[mean - 0.01], [mean + 0.01], [mean - 0.01], [mean + 0.01]] for mean in means]

    def test_bounds_and_the_crossing_between(self) -> None:
        found = ladder(self.DENSITIES, self.at(0.0, 0.0, -0.2))
        assert (found.shown, found.refuted) == (0.25, 0.1)
        assert found.estimate == pytest.approx(math.sqrt(0.25 * 0.1))

    def test_a_ladder_within_the_margin_to_its_end_has_no_crossing(self) -> None:
        found = ladder(self.DENSITIES, self.at(0.1, 0.0, -0.02))
        assert (found.shown, found.estimate, found.refuted) == (0.1, None, None)

    def test_a_density_below_one_that_failed_is_not_shown(self) -> None:
        found = ladder(self.DENSITIES, self.at(0.0, -0.5, 0.0))
        assert (found.shown, found.refuted) == (0.5, None)

    def test_one_value_shows_nothing(self) -> None:
        found = ladder((0.5,), [[[-3.0]]])
        assert (found.shown, found.refuted) == (None, None)

    @pytest.mark.parametrize("densities", [(0.1, 0.25, 0.5), (0.5, 0.25, 0.25)])
    def test_densities_must_fall(self, densities: tuple[float, ...]) -> None:
        with pytest.raises(ValueError, match="must fall"):
            ladder(densities, self.at(0.0, 0.0, 0.0))


class TestMeanInterval:
    def test_seeds_are_averaged_within_images_first(self) -> None:
        interval = mean_interval([[1.0, 3.0], [4.0], [6.0, 6.0, 6.0]])
        low, high = stats.t.interval(0.95, 2, loc=4.0, scale=2.0 / math.sqrt(3))
        assert (interval.mean, interval.n, interval.unit) == (4.0, 3, "image")
        assert (interval.low, interval.high) == pytest.approx((low, high))

    def test_one_image_has_an_interval_over_its_seeds_and_says_so(self) -> None:
        interval = mean_interval([[1.0, 3.0, 5.0]])
        assert (interval.mean, interval.n, interval.unit) == (3.0, 3, "seed")
        assert interval.low < 3.0 < interval.high

    def test_one_run_has_none(self) -> None:
        interval = mean_interval([[1.0]])
        assert interval.mean == 1.0
        assert math.isnan(interval.low)
        assert math.isnan(interval.high)

    def test_many_images_are_bootstrapped_the_same_way_every_time(self) -> None:
        samples = simulated(np.random.default_rng(0), BOOTSTRAP_FROM, 0.0)
        interval = mean_interval(samples)
        assert interval == mean_interval(samples)
        t = stats.ttest_1samp([np.mean(s) for s in samples], 0).confidence_interval(0.95)
        assert (interval.low, interval.high) == pytest.approx(tuple(t), abs=0.08)
        assert interval.low != t.low

    @pytest.mark.parametrize("samples", [[], [[]], [[1.0], []]])
    def test_no_value_is_refused(self, samples: Samples) -> None:
        with pytest.raises(ValueError, match="no value"):
            mean_interval(samples)

    def test_values_that_are_not_finite_are_refused(self) -> None:
        with pytest.raises(ValueError, match="finite"):
            mean_interval([[1.0], [math.nan]])

    def test_confidence_outside_of_0_and_1_is_refused(self) -> None:
        with pytest.raises(ValueError, match=r"within 0 and 1, got 95"):
            mean_interval([[1.0]], confidence=95)


def test_equal_values_decide_without_a_spread() -> None:
    equal = [[-0.2], [-0.2]]
    assert rung_of(0.5, equal, 0.1).p_within == 1.0
    assert rung_of(0.5, equal, 0.1).p_beyond == 0.0
    assert p_value(equal, 0.0, "two-sided") == 0.0
    assert p_value([[0.0], [0.0]], 0.0, "two-sided") == 1.0
    assert mean_interval(equal).low == mean_interval(equal).high == -0.2


def test_a_margin_must_be_positive() -> None:
    with pytest.raises(ValueError, match=r"positive, got -0\.1"):
        rung_of(0.5, [[0.0], [1.0]], -0.1)


def test_values_are_sorted_by_image() -> None:
    assert samples_of([1.0, 2.0, 3.0], ["a", "b", "a"]) == [[1.0, 3.0], [2.0]]


class TestArea:
    def test_a_line_in_log_density_has_the_mean_of_its_ends(self) -> None:
        densities = [1.0, 0.3, 0.1]
        psnr = [30 + 2 * math.log(d) for d in densities]
        assert area(densities, psnr) == pytest.approx((psnr[0] + psnr[-1]) / 2)

    def test_order_does_not_matter(self) -> None:
        assert area([0.1, 1.0, 0.5], [20, 30, 28]) == area([1.0, 0.5, 0.1], [30, 28, 20])

    @pytest.mark.parametrize("densities", [[1.0], [1.0, 0.0]])
    def test_it_needs_a_range(self, densities: list[float]) -> None:
        with pytest.raises(ValueError, match="two densities"):
            area(densities, [30.0] * len(densities))


@given(POINTS)
def test_the_front_is_what_nothing_dominates(points: list[tuple[float, float]]) -> None:
    def dominated(one: tuple[float, float]) -> bool:
        return any(c <= one[0] and p >= one[1] and (c, p) != one for c, p in points)

    cost, psnr = zip(*points, strict=True)
    assert pareto_front(cost, psnr) == [not dominated(point) for point in points]


@given(POINTS)
def test_the_hypervolume_is_that_of_moocore(points: list[tuple[float, float]]) -> None:
    cost, psnr = zip(*points, strict=True)
    oracle = moocore.hypervolume(np.array([(c, -p) for c, p in points]), ref=[5.5, -0.5])
    found = hypervolume(cost, psnr, worst_cost=5.5, worst_psnr_db=0.5)
    assert found == pytest.approx(oracle)
