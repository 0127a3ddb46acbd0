"""Claims put to the test: numbers in, a verdict out.

A verdict says that a claim holds, that it does not, or that this cannot be told. P-values are
adjusted over all claims of a family before that (Holm 1979), once for what would show them and once
for what would refute them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import stats

from .crossed import crossed_mean
from .intervals import (
    Samples,
    check_confidence,
    check_margin,
    deviation,
    mean_interval,
    p_value,
)
from .ladders import about, holm, images_needed
from .rounding import rounding_db, rounding_of

Test = Literal["better", "not_worse"]
Word = Literal["holds", "does not", "cannot be told"]

ALONE = {"holds": "alone it would hold", "does not": "alone it would not hold"}
"""What is said of a claim that only the number of claims keeps open."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What fits say about one claim, before it is corrected for the number of claims."""

    mean: float
    """The mean difference in dB, or the share of images; NaN without any."""
    low: float
    high: float
    n: int
    """The number of images; or of seeds where there is one image, or of the smaller side where
    sources and targets are crossed."""
    unit: str
    p_holds: float
    """The p-value of the claim's opposite: small where the claim is shown."""
    p_fails: float
    """The p-value of the claim: small where it is refuted."""
    rounding: float = 0.0
    """How far rounding alone may move the mean."""
    deviation: float = np.nan
    """The standard deviation over images; NaN where there is none."""
    bounds: tuple[float, float] = (0.0, 0.0)
    """The mean above which the claim is true, and the one below which it is not."""


NOTHING = Evidence(
    mean=np.nan, low=np.nan, high=np.nan, n=0, unit="image", p_holds=np.nan, p_fails=np.nan
)
"""The evidence of no pair at all."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is said of one claim."""

    word: Word
    why: str
    """What qualifies the word; may be empty."""
    p_holds: float
    """The adjusted p-values."""
    p_fails: float


def difference_evidence(
    samples: Samples, *, test: Test, margin_db: float, confidence: float = 0.95
) -> Evidence:
    """The evidence of paired differences in dB, one list of seeds per image.

    Raises ValueError for no value, one that is not finite, or a margin that is not positive.
    """
    shown, refuted = _bounds(test, margin_db)
    interval = mean_interval(samples, confidence=confidence)
    return Evidence(
        **vars(interval),
        p_holds=p_value(samples, shown, "greater"),
        p_fails=p_value(samples, refuted, "less"),
        rounding=rounding_of(samples),
        deviation=deviation(samples),
        bounds=(shown, refuted),
    )


def crossed_evidence(
    values: Sequence[float],
    sources: Sequence[str],
    targets: Sequence[str],
    *,
    test: Test,
    margin_db: float,
    confidence: float = 0.95,
) -> Evidence:
    """The evidence of transfers, whose sources and targets are crossed random effects.

    Raises ValueError when there is no pair, or one twice.
    """
    check_confidence(confidence)
    shown, refuted = _bounds(test, margin_db)
    mean = crossed_mean(values, sources, targets)
    low, high = mean.interval(confidence)
    n = min(mean.sources, mean.targets)
    return Evidence(
        mean=mean.mean,
        low=low,
        high=high,
        n=n,
        unit="source and target image",
        p_holds=mean.below(shown),
        p_fails=mean.above(refuted),
        rounding=float(rounding_db(mean.pairs, mean.targets)),
        deviation=mean.error * float(np.sqrt(n)),
        bounds=(shown, refuted),
    )


def share_evidence(works: Sequence[bool], *, confidence: float = 0.95) -> Evidence:
    """The evidence of how many of all images something works on, against a half.

    The interval is that of Clopper and Pearson (1934). Raises ValueError for no image.
    """
    if not works:
        raise ValueError("a share needs an image")
    count, n = sum(works), len(works)
    low, high = stats.binomtest(count, n).proportion_ci(confidence)
    return Evidence(
        mean=count / n,
        low=float(low),
        high=float(high),
        n=n,
        unit="image",
        p_holds=float(stats.binomtest(count, n, alternative="greater").pvalue),
        p_fails=float(stats.binomtest(count, n, alternative="less").pvalue),
    )


def verdicts_of(family: Sequence[Evidence], *, confidence: float = 0.95) -> list[Verdict]:
    """The verdicts on the claims of a family, in its order.

    With a probability of at least `confidence` no claim is wrongly shown, and so for those that
    are refuted. A claim without fits counts as one of the family, so that no verdict changes
    because others get theirs. A mean that rounding alone could make shows nothing and refutes no
    equality.
    """
    check_confidence(confidence)
    alpha = 1 - confidence
    holds = _adjusted([one.p_holds for one in family])
    fails = _adjusted([one.p_fails for one in family])
    return [
        _verdict(one, p_holds, p_fails, alpha, len(family))
        for one, p_holds, p_fails in zip(family, holds, fails, strict=True)
    ]


def _adjusted(p_values: Sequence[float]) -> list[float]:
    """Adjusted over all of them; a test that was not made counts, as one that shows nothing."""
    adjusted = holm([1.0 if np.isnan(one) else one for one in p_values])
    return [np.nan if np.isnan(one) else p for one, p in zip(p_values, adjusted, strict=True)]


def _bounds(test: Test, margin_db: float) -> tuple[float, float]:
    """Above which mean a claim is true, and below which it is not."""
    check_margin(margin_db)
    return (0.0, margin_db) if test == "better" else (-margin_db, -margin_db)


def _verdict(one: Evidence, p_holds: float, p_fails: float, alpha: float, claims: int) -> Verdict:
    shown, refuted = one.bounds
    word = _word(one, p_holds, p_fails, alpha)
    why = ""
    if word == "cannot be told":
        why = _needed(one, alpha, claims)
    elif word == "holds" and shown < refuted and p_fails <= alpha:
        why = f"by less than {refuted:g} dB"
    return Verdict(word=word, why=why, p_holds=p_holds, p_fails=p_fails)


def _word(one: Evidence, p_holds: float, p_fails: float, alpha: float) -> Word:
    shown, refuted = one.bounds
    rounded = abs(one.mean) <= one.rounding
    if p_holds <= alpha and not (shown == 0.0 and rounded):
        return "holds"
    if p_fails <= alpha and not (refuted < 0 and rounded):
        return "does not"
    return "cannot be told"


def _needed(one: Evidence, alpha: float, claims: int) -> str:
    """What keeps a claim open: most often the number of images, of which it says how many would
    tell among so many claims, by the spread that was seen."""
    if not one.n:
        return "no finished pair"
    if not one.deviation > 0:
        return "one run" if one.n == 1 else ""
    alone = _word(one, one.p_holds, one.p_fails, alpha)
    if alone != "cannot be told":
        return ALONE[alone]
    if min(one.p_holds, one.p_fails) <= alpha:
        return "rounding alone could make it"
    for distance in (_apart(one), _seen_apart(one)):
        images = images_needed(one.deviation, distance, alpha=alpha / claims) if distance else None
        if images is None:
            return "no affordable number of images tells"
        if images > one.n:  # else this distance is not the true one: so many did not tell
            return f"needs about {about(images)} images"
    return ""


def _apart(one: Evidence) -> float:
    """How far from a bound the true mean is taken to be: at 0, or where it was seen, if that is
    worse than the margin."""
    shown, refuted = one.bounds
    if shown < refuted:
        return refuted - shown
    return -shown if one.mean >= shown else shown - one.mean


def _seen_apart(one: Evidence) -> float:
    """How far the mean is from the bound beyond which it would tell."""
    shown, refuted = one.bounds
    return max(one.mean - shown, refuted - one.mean)
