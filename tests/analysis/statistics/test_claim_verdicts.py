"""Claims put to the test: numbers against SciPy, and what many claims do to one verdict."""

import re

import numpy as np
import pytest
from scipy import stats

from lip_ray.analysis.statistics.claims import (
    NOTHING,
    Evidence,
    crossed_evidence,
    difference_evidence,
    share_evidence,
    verdicts_of,
)
from lip_ray.analysis.statistics.ladders import POWER

GAINS = [0.41, 0.55, 0.38, 0.62, 0.47, 0.51, 0.44, 0.58]


def single(values: list[float]) -> list[list[float]]:
    """One seed for each image."""
    return [[value] for value in values]


class TestDifferences:
    def test_numbers_are_those_of_scipy(self) -> None:
        found = difference_evidence(single(GAINS), test="better", margin_db=0.1)
        low, high = stats.ttest_1samp(GAINS, 0.0).confidence_interval(0.95)
        assert (found.mean, found.low, found.high) == pytest.approx((np.mean(GAINS), low, high))
        assert found.p_holds == stats.ttest_1samp(GAINS, 0.0, alternative="greater").pvalue
        assert found.p_fails == stats.ttest_1samp(GAINS, 0.1, alternative="less").pvalue
        assert (found.n, found.unit) == (8, "image")

    def test_not_worse_is_held_to_the_margin_from_both_sides(self) -> None:
        found = difference_evidence(single(GAINS), test="not_worse", margin_db=0.1)
        assert found.p_holds == stats.ttest_1samp(GAINS, -0.1, alternative="greater").pvalue
        assert found.p_fails == stats.ttest_1samp(GAINS, -0.1, alternative="less").pvalue

    def test_seeds_of_an_image_are_no_more_images(self) -> None:
        twice = difference_evidence([[gain] * 2 for gain in GAINS], test="better", margin_db=0.1)
        once = difference_evidence(single(GAINS), test="better", margin_db=0.1)
        assert (twice.n, twice.p_holds) == (once.n, once.p_holds)

    @pytest.mark.parametrize("margin", [0.0, -1.0])
    def test_a_margin_is_positive(self, margin: float) -> None:
        with pytest.raises(ValueError, match=f"margin_db must be positive, got {margin}"):
            difference_evidence(single(GAINS), test="better", margin_db=margin)


class TestShares:
    def test_numbers_are_those_of_scipy(self) -> None:
        found = share_evidence([True] * 9 + [False])
        low, high = stats.binomtest(9, 10).proportion_ci(0.95)
        assert (found.mean, found.low, found.high, found.n) == pytest.approx((0.9, low, high, 10))
        assert found.p_holds == stats.binomtest(9, 10, alternative="greater").pvalue

    def test_verdicts(self) -> None:
        words = [
            verdicts_of([share_evidence([True] * works + [False] * (15 - works))])[0].word
            for works in (15, 8, 1)
        ]
        assert words == ["holds", "cannot be told", "does not"]


class TestCrossed:
    def test_pairs_are_not_the_sample(self) -> None:
        draws = np.random.default_rng(0)
        of_source, of_target = draws.normal(0, 0.5, 5), draws.normal(0, 0.5, 5)
        cells = [(i, j) for i in range(5) for j in range(5) if i != j]
        values = [0.3 + of_source[i] + of_target[j] for i, j in cells]
        names = [[str(cell[side]) for cell in cells] for side in (0, 1)]
        crossed = crossed_evidence(values, *names, test="better", margin_db=0.1)
        pooled = difference_evidence(single(values), test="better", margin_db=0.1)
        assert crossed.n == 5
        assert crossed.high - crossed.low > 2 * (pooled.high - pooled.low)

    def test_one_source_decides_nothing(self) -> None:
        found = crossed_evidence(
            [1.0, 1.1, 0.9], ["a"] * 3, ["b", "c", "d"], test="better", margin_db=0.1
        )
        assert verdicts_of([found])[0].word == "cannot be told"


class TestVerdicts:
    def test_a_gain_holds_and_its_opposite_does_not(self) -> None:
        losses = [-gain for gain in GAINS]
        family = [
            difference_evidence(single(values), test=test, margin_db=0.1)
            for values in (GAINS, losses)
            for test in ("better", "not_worse")
        ]
        words = [verdict.word for verdict in verdicts_of(family)]
        assert words == ["holds", "holds", "does not", "does not"]

    def test_a_gain_below_the_margin_is_said_to_be_small(self) -> None:
        """Rounding moves a mean over many images little, so that a small gain can be shown."""
        draws = np.random.default_rng(0).normal(0.06, 0.02, 400)
        found = difference_evidence(single(draws.tolist()), test="better", margin_db=0.1)
        verdict = verdicts_of([found])[0]
        assert (verdict.word, verdict.why) == ("holds", "by less than 0.1 dB")

    @pytest.mark.parametrize(("test", "mean"), [("better", 0.05), ("not_worse", -0.11)])
    def test_what_rounding_could_make_shows_nothing(self, test: str, mean: float) -> None:
        """Five images that lie close together by chance: a t test alone would be certain."""
        values = [mean + 0.001 * place for place in range(-2, 3)]
        found = difference_evidence(single(values), test=test, margin_db=0.1)  # type: ignore[arg-type]
        assert min(found.p_holds, found.p_fails) < 1e-3
        assert abs(found.mean) < found.rounding
        verdict = verdicts_of([found])[0]
        assert verdict.word != ("holds" if test == "better" else "does not")
        if verdict.word == "cannot be told":
            assert verdict.why == "rounding alone could make it"

    def test_equality_may_be_shown_by_a_mean_of_zero(self) -> None:
        values = [0.01 * place for place in range(-7, 8)]
        found = difference_evidence(single(values), test="not_worse", margin_db=0.1)
        assert verdicts_of([found])[0].word == "holds"

    def test_many_claims_make_each_harder_to_show(self) -> None:
        weak = difference_evidence(
            single([0.6, 0.1, 0.5, 0.9, 0.05, 0.4]), test="better", margin_db=0.1
        )
        noise = difference_evidence(single([0.5, -0.5, 0.2, -0.3]), test="better", margin_db=0.1)
        assert verdicts_of([weak])[0].word == "holds"
        among = verdicts_of([weak, *[noise] * 20])[0]
        assert among.word == "cannot be told"
        assert among.why == "alone it would hold"
        other = difference_evidence(
            single([-0.6, -0.1, -0.5, -0.9, -0.05, -0.4]), test="better", margin_db=0.1
        )
        assert verdicts_of([other, *[noise] * 200])[0].why == "alone it would not hold"

    def test_how_many_images_would_tell(self) -> None:
        values = single([0.4, -0.5, 0.3, -0.1, 0.2])
        better, not_worse = (
            verdicts_of([difference_evidence(values, test=test, margin_db=0.1)])[0].why
            for test in ("better", "not_worse")
        )
        assert better == not_worse == "needs about 84 images"

    def test_as_many_images_as_are_asked_for_do_tell_among_so_many_claims(self) -> None:
        draws = np.random.default_rng(0)

        def evidence(values: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> Evidence:
            return difference_evidence(single(values.tolist()), test="not_worse", margin_db=0.1)

        few = evidence(draws.permutation(np.linspace(-0.4, 0.4, 15)))
        others = [evidence(np.linspace(-1.0, 0.8, 15))] * 60
        images = int(verdicts_of([few, *others])[0].why.split()[-2])
        samples = [evidence(draws.normal(0, few.deviation, images)) for _ in range(200)]
        told = [verdicts_of([one, *others])[0].word == "holds" for one in samples]
        assert np.mean(told) == pytest.approx(POWER, abs=0.1)

    @pytest.mark.parametrize("mean", [-0.099, -0.08, -0.06])
    def test_more_images_are_needed_than_those_that_did_not_tell(self, mean: float) -> None:
        """Where the true difference is taken to be 0, seven of these would have told."""
        values = [mean + step for step in (-0.09, -0.06, -0.03, 0.0, 0.03, 0.06, 0.09)]
        found = difference_evidence(single(values), test="not_worse", margin_db=0.1)
        verdict = verdicts_of([found, NOTHING])[0]
        assert verdict.word == "cannot be told"
        said = re.fullmatch(r"needs about ([\d,]+) images", verdict.why)
        assert said is None or int(said[1].replace(",", "")) > 7
        assert said is not None or verdict.why == "no affordable number of images tells"

    def test_claims_without_fits_are_of_the_family(self) -> None:
        """Else a verdict would change when others get theirs."""
        values = [0.2 + 0.3 * step for step in np.linspace(-1, 1, 15)]
        one = difference_evidence(single(values), test="not_worse", margin_db=0.1)
        alone, among = verdicts_of([one])[0], verdicts_of([one, *[NOTHING] * 9])[0]
        assert among.p_holds == pytest.approx(10 * alone.p_holds)

    def test_no_pair_at_all(self) -> None:
        verdict = verdicts_of([NOTHING])[0]
        assert (verdict.word, verdict.why) == ("cannot be told", "no finished pair")
