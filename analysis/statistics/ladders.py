"""Ladders of densities held to a margin: what tests allow to say, and what would decide more."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain

import numpy as np
from scipy import special, stats

from ..rows.texts import density_text
from .intervals import Matching, Rung, Samples, check_margin, deviation, matching, p_value
from .rounding import rounding_of

MOST_IMAGES = 100_000
"""More images than this are none that anybody will fit."""

POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """The tests of one method, dense to sparse."""

    rungs: Sequence[Rung]
    least: float
    """The least density that was fitted, which may have no test."""
    single: bool = False
    """Whether all is about one image, and its seeds are the sample."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is said of a ladder."""

    bounds: Matching
    text: str
    images: int | None = None
    """About how many images would decide what is open; None where nothing is open,
    or where no number can be given."""


def rung_of(density: float, samples: Samples, margin_db: float) -> Rung:
    """The tests of paired differences in dB at one density, one-sided t tests of their mean.

    Raises ValueError for a margin that is not positive.
    """
    check_margin(margin_db)
    values = np.concatenate(samples) if len(samples) == 1 else [np.mean(one) for one in samples]
    return Rung(
        density=density,
        mean=float(np.mean(values)),
        deviation=deviation(samples),
        n=len(values),
        p_within=p_value(samples, -margin_db, "greater"),
        p_beyond=p_value(samples, -margin_db, "less"),
        rounding_db=rounding_of(samples),
    )


def judged(
    ladders: Sequence[Ladder], *, margin_db: float, alpha: float, reference: str = "dense"
) -> list[Verdict]:
    """A verdict for each ladder, from p-values that are adjusted over all of them (Holm 1979).

    With a probability of at least 1 − `alpha` no density of any ladder is wrongly shown; the same
    holds for those that are refuted.
    """
    adjusted = _adjusted([ladder.rungs for ladder in ladders])
    return [
        _verdict(
            ladder, matching(rungs, margin_db=margin_db, alpha=alpha), margin_db, alpha, reference
        )
        for ladder, rungs in zip(ladders, adjusted, strict=True)
    ]


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted so that any wrong rejection among all of them is rare (Holm 1979).

    Rejecting those of at most α leaves a chance of at most α that one of the rejections, or more,
    is wrong, however the tests depend on each other. NaN is a test that was not made: it stays NaN
    and does not count.
    """
    found = np.asarray(p_values, float)
    order = np.argsort(found, kind="stable")[: int(np.isfinite(found).sum())]
    stricter = found[order] * np.arange(len(order), 0, -1)
    adjusted = np.full(len(found), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(stricter), 1.0)
    return adjusted.tolist()


@lru_cache(maxsize=4096)  # a page asks for the same ones again and again
def images_needed(deviation_db: float, distance_db: float, *, alpha: float = 0.05) -> int | None:
    """The number of images from which a one-sided t test at `alpha` decides with `POWER`.

    `deviation_db` is the standard deviation over images, seeds averaged first, and `distance_db`
    how far the true mean difference is from the margin. None beyond `MOST_IMAGES`.

    Raises ValueError unless both are positive numbers.
    """
    if not (deviation_db > 0 and distance_db > 0):
        raise ValueError(
            f"deviation_db and distance_db must be positive, got {deviation_db}, {distance_db}"
        )
    effect = distance_db / deviation_db
    if _chance(MOST_IMAGES, effect, alpha) < POWER:
        return None
    images = range(2, MOST_IMAGES)
    return 2 + bisect_left(images, POWER, key=lambda one: _chance(one, effect, alpha))


def about(images: int) -> str:
    """A number of images in two digits, as it follows from a spread that is not known better."""
    return f"{float(f'{images:.2g}'):,.0f}"


def _adjusted(ladders: Sequence[Sequence[Rung]]) -> list[list[Rung]]:
    """The ladders with p-values of one family for either side of the margin."""
    rungs = list(chain.from_iterable(ladders))
    within = holm([rung.p_within for rung in rungs])
    beyond = holm([rung.p_beyond for rung in rungs])
    pairs = zip(rungs, within, beyond, strict=True)
    found = iter([replace(rung, p_within=one, p_beyond=other) for rung, one, other in pairs])
    return [[next(found) for _ in ladder] for ladder in ladders]


def _verdict(
    ladder: Ladder, bounds: Matching, margin_db: float, alpha: float, reference: str
) -> Verdict:
    said = _bounds_text(bounds, ladder.least, f"within {margin_db:g} dB of {reference}")
    if ladder.single:
        said[0] = f"on this image alone: {said[0]}"
    images, more = None, ""
    rung = _open_rung(ladder.rungs, bounds)
    if rung is not None:
        images, more = _more(rung, margin_db, alpha)
        if ladder.single and "images" in more:
            more = f"{more}, and seeds do not replace images"
    return Verdict(bounds=bounds, text="; ".join([*said, *filter(None, [more])]), images=images)


def _bounds_text(bounds: Matching, least: float, within: str) -> list[str]:
    """What the bounds allow to say, and no more."""
    if bounds.shown is None and bounds.refuted is None:
        return ["undecided"]
    if bounds.shown is None:
        said = [f"not shown to be {within} at any density"]
    else:
        said = [f"{within} down to {density_text(bounds.shown)}, shown"]
        if bounds.shown == least:
            return [*said, "sparser was not tried"]
    if bounds.refuted is None:
        return [*said, "undecided below"]
    return [*said, f"loses more from {density_text(bounds.refuted)} down, shown"]


def _open_rung(rungs: Sequence[Rung], bounds: Matching) -> Rung | None:
    """The densest test that is neither shown nor refuted."""
    shown = np.inf if bounds.shown is None else bounds.shown
    refuted = 0.0 if bounds.refuted is None else bounds.refuted
    return next((rung for rung in rungs if refuted < rung.density < shown), None)


def _more(rung: Rung, margin_db: float, alpha: float) -> tuple[int | None, str]:
    """How many images would decide a test by itself, and the same in words."""
    density = density_text(rung.density)
    if rung.rounded and rung.p_beyond <= alpha:
        return None, f"the loss at {density} is one that rounding alone could make"
    if min(rung.p_within, rung.p_beyond) <= alpha:
        shown = "within it" if rung.p_within <= alpha else "to lose more"
        return None, f"{density} would be shown {shown} if it were the only test"
    if not rung.deviation > 0:
        return None, ""
    images, truth = _planned(rung, margin_db, alpha)
    spread = f"SD {rung.deviation:.2f} dB, true difference {truth}"
    if images is None:
        return None, f"no affordable number of images would decide {density} ({spread})"
    return images, f"about {about(images)} images would decide {density} ({spread})"


def _planned(rung: Rung, margin_db: float, alpha: float) -> tuple[int | None, str]:
    """The number of images, and the true difference that it goes by.

    That is 0; or what was seen, where that is beyond the margin, or where as many images as there
    are would have decided a difference of 0.
    """
    if rung.mean >= -margin_db:
        images = images_needed(rung.deviation, margin_db, alpha=alpha)
        if images is None or images > rung.n:
            return images, "0"
    distance = abs(rung.mean + margin_db)
    seen = f"{rung.mean:+.2f} dB as seen".replace("-", "−")
    seen += ", within rounding" if rung.rounded else ""
    return (images_needed(rung.deviation, distance, alpha=alpha) if distance else None), seen


def _chance(images: int, effect: float, alpha: float) -> float:
    """The chance that the test decides, from the noncentral t distribution (Cohen 1988)."""
    beyond = effect * np.sqrt(images)
    bound = stats.t.ppf(1 - alpha, images - 1)
    chance = float(special.nctdtr(images - 1, beyond, bound))
    return 1 - chance if np.isfinite(chance) else float(stats.norm.sf(bound - beyond))
