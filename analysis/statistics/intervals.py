"""Statistics that hold for few images and seeds; numbers in, numbers out.

Images are the sample: seeds of one image share what is easy or hard about it, so they are averaged
first; intervals of pooled fits would be far too narrow. With one image the seeds are the sample,
and what follows holds for that image alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

Values = np.ndarray[tuple[int], np.dtype[np.float64]]
Samples = Sequence[Sequence[float]]
"""The values of each image, one a seed."""

BOOTSTRAP_FROM = 20
"""Images from which intervals are bootstrapped: below, the bootstrap's are too narrow."""

BOOTSTRAP_DRAWS = 4_000

DEGENERATE = 1e-9
"""A spread of no more than this share of the values is rounding."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and its two-sided confidence interval; NaN bounds where one value is all there is."""

    mean: float
    low: float
    high: float
    n: int
    """Sample size: images, or the seeds of a single one."""
    unit: Literal["image", "seed"]


@dataclass(frozen=True, kw_only=True)
class Rung:
    """The mean difference at one density of a ladder, in dB, with its tests against a margin."""

    density: float
    mean: float
    deviation: float
    """The standard deviation over images, or over the seeds of a single one; NaN of one value."""
    n: int
    """How many of these there are."""
    p_within: float
    """The p-value of "worse by the margin or more": where it is small, the ticket is within it."""
    p_beyond: float
    """The p-value of "worse by no more than the margin"."""
    rounding_db: float = 0.0
    """How far rounding alone may move the mean."""

    @property
    def rounded(self) -> bool:
        """Whether rounding alone could make this mean difference."""
        return abs(self.mean) <= self.rounding_db


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Down to which density a method is not worse than dense by the margin.

    The matching density lies between `refuted` and `shown`: each bound is wrong with a probability
    of at most `alpha`, however many densities the ladder has and, with adjusted p-values, however
    many ladders there are.
    """

    shown: float | None
    """The least density such that it, and all above it, pass; None where the first does not."""
    estimate: float | None
    """Where the mean difference crosses the margin, between densities by log-linear interpolation;
    None where it is within the margin down to the last, or beyond it from the first on."""
    refuted: float | None
    """The largest density such that it, and all below it, are shown to be worse by more than the
    margin; None where the last is not."""


def check_confidence(confidence: float) -> None:
    """Raises ValueError for a confidence that is not within 0 and 1."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be within 0 and 1, got {confidence}")


def check_margin(margin_db: float) -> None:
    """Raises ValueError for a margin that is not positive."""
    if not margin_db > 0:
        raise ValueError(f"margin_db must be positive, got {margin_db}")


def samples_of(values: Sequence[float], images: Sequence[str]) -> list[list[float]]:
    """Values by the image that each is of."""
    found: dict[str, list[float]] = {}
    for value, image in zip(values, images, strict=True):
        found.setdefault(image, []).append(float(value))
    return list(found.values())


def mean_interval(samples: Samples, *, confidence: float = 0.95) -> Interval:
    """The mean over images, and its interval.

    Student's t below `BOOTSTRAP_FROM` images; from there on images are drawn with replacement,
    their seeds with them, and the interval is BCa (Efron 1987), always with the same draws.

    Raises ValueError for no value at all, a value that is not finite, or a `confidence` that is
    not within 0 and 1.
    """
    check_confidence(confidence)
    values, unit = _independent(samples)
    mean, n = float(values.mean()), len(values)
    if n == 1:
        low = high = np.nan
    elif _constant(values):
        low = high = mean
    elif n < BOOTSTRAP_FROM:
        low, high = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    else:
        low, high = stats.bootstrap(
            (values,),
            np.mean,
            confidence_level=confidence,
            n_resamples=BOOTSTRAP_DRAWS,
            method="BCa",
            rng=np.random.default_rng(0),
        ).confidence_interval
    return Interval(mean=mean, low=float(low), high=float(high), n=n, unit=unit)


def deviation(samples: Samples) -> float:
    """The standard deviation of what is taken as independent; NaN for one value."""
    values, _ = _independent(samples)
    return float(values.std(ddof=1)) if len(values) > 1 else np.nan


def matching(rungs: Sequence[Rung], *, margin_db: float = 0.1, alpha: float = 0.05) -> Matching:
    """The density down to which differences are within the margin, from the tests at each.

    Densities are tested in a fixed order, dense to sparse for `shown` and sparse to dense for
    `refuted`, each at `alpha` until the first that does not pass, so no correction for their
    number is needed (Maurer, Hothorn & Lehmacher 1995). Where p-values are adjusted for
    other ladders too, all bounds of all ladders together keep `alpha`.

    The t tests know what rounding does, as it spreads the samples. A few samples may lie close
    together by chance; no loss is therefore shown by a mean that rounding alone could make.

    Raises ValueError unless densities fall.
    """
    densities = [rung.density for rung in rungs]
    if any(np.diff(densities) >= 0):
        raise ValueError("the densities of a ladder must fall")
    passing = [rung.p_within <= alpha for rung in rungs]
    failing = [rung.p_beyond <= alpha and not rung.rounded for rung in rungs]
    return Matching(
        shown=_last_of_run(densities, passing),
        estimate=_crossing(densities, [rung.mean for rung in rungs], -margin_db),
        refuted=_last_of_run(densities[::-1], failing[::-1]),
    )


def area(densities: Sequence[float], psnr_db: Sequence[float]) -> float:
    """Mean PSNR over log density: the area under the frontier by the width of its range, in dB.

    Raises ValueError for fewer than two densities, or for any not positive.
    """
    if len(densities) < 2 or min(densities) <= 0:
        raise ValueError("an area needs two densities, all positive")
    order = np.argsort(densities)
    x = np.log(np.asarray(densities, float)[order])
    return float(np.trapezoid(np.asarray(psnr_db, float)[order], x) / (x[-1] - x[0]))


def pareto_front(cost: Sequence[float], psnr_db: Sequence[float]) -> list[bool]:
    """Which points no other is at least as good as in both, and better in one.

    Less cost and more PSNR is better; equal points are on the front together or not at all.
    """
    costs, values = np.asarray(cost, float), np.asarray(psnr_db, float)
    order = np.lexsort((-values, costs))
    front = np.zeros(len(costs), bool)
    best, at_cost = -np.inf, np.nan
    for place in order:
        equal = values[place] == best and costs[place] == at_cost
        if values[place] > best or equal:
            front[place] = True
            best, at_cost = values[place], costs[place]
    return [bool(on) for on in front]


def hypervolume(
    cost: Sequence[float], psnr_db: Sequence[float], *, worst_cost: float, worst_psnr_db: float
) -> float:
    """The area that the points dominate within the reference point (Zitzler & Thiele 1998).

    In cost × dB; take the logarithm of densities first. Points beyond the reference add nothing.
    """
    costs, values = np.asarray(cost, float), np.asarray(psnr_db, float)
    inside = (costs < worst_cost) & (values > worst_psnr_db)
    costs, values = costs[inside], values[inside]
    if not len(costs):
        return 0.0
    front = np.asarray(pareto_front(list(costs), list(values)))
    order = np.argsort(costs[front])
    x, y = costs[front][order], values[front][order]
    return float(np.sum(np.diff([*x, worst_cost]) * (y - worst_psnr_db)))


def _independent(samples: Samples) -> tuple[Values, Literal["image", "seed"]]:
    """What may be taken as independent: means of images, or the seeds of the only one."""
    if not samples or not all(len(values) for values in samples):
        raise ValueError("no value to take a mean of")
    single = len(samples) == 1
    found = samples[0] if single else [np.mean(values) for values in samples]
    values = np.asarray(found, float)
    if not np.isfinite(values).all():
        raise ValueError("values must be finite: leave out, and count, fits without a PSNR")
    return values, "seed" if single else "image"


def p_value(
    samples: Samples, against: float, alternative: Literal["greater", "less", "two-sided"]
) -> float:
    """The p-value of a t test of the mean over images against a number; NaN for one value.

    Small where the mean is shown to be greater, less, or another.
    """
    values, _ = _independent(samples)
    if len(values) == 1:
        return np.nan
    if _constant(values):  # a t test divides by their spread
        beyond = values.mean() - against
        said = {"greater": beyond > 0, "less": beyond < 0, "two-sided": beyond != 0}
        return 0.0 if said[alternative] else 1.0
    return float(stats.ttest_1samp(values, against, alternative=alternative).pvalue)


def _constant(values: Values) -> bool:
    return bool(np.ptp(values) <= DEGENERATE * np.abs(values).max())


def _last_of_run(densities: Sequence[float], passed: Sequence[bool]) -> float | None:
    """The last density of the run of passes that begins with the first."""
    run = list(passed).index(False) if False in passed else len(passed)
    return float(densities[run - 1]) if run else None


def _crossing(densities: Sequence[float], means: Sequence[float], threshold: float) -> float | None:
    """Where the means first fall below the threshold."""
    below = [mean < threshold for mean in means]
    place = below.index(True) if True in below else 0
    if place == 0:
        return None
    ends = means[place], means[place - 1]
    logs = np.log([densities[place], densities[place - 1]])
    return float(np.exp(np.interp(threshold, ends, logs)))
