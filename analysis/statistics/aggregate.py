"""One aggregation for all tables: fits in groups, with the mean of a score and its interval.

Intervals are Student's t over independent values: seeds, or images whose seeds are averaged first,
since the seeds of one image share what is easy or hard about it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from lip_ray.records import FAILURES

from ..rows.points import CONFIDENCE, WHICH
from .intervals import check_confidence

Unit = Literal["seed", "image"]

COUNTS = ("kept", "kept_all")
"""The columns that count weights: tables list the largest count first."""

SCORES = {which: f"psnr_{which}_db" for which in WHICH}
"""The column of each PSNR."""

IN_DB = {"mean": "mean_db", "low": "low_db", "high": "high_db"}
"""How tables of PSNRs name the columns of a mean."""


@dataclass(frozen=True, kw_only=True)
class Groups:
    """Fits in groups; the fits of a group have equal values in the columns `by`.

    Every method returns one row or value per group, all in the order of `keys`. A fit whose score
    is NaN is missing that score.
    """

    fits: pd.DataFrame
    by: Sequence[str]
    unit: Unit = "seed"
    """What is independent: every fit, or every `image`, whose fits are averaged first."""
    seed: str | None = None
    """The column of seeds; None where no group has two fits of the same seed."""
    confidence: float = CONFIDENCE

    def __post_init__(self) -> None:
        """Raises ValueError when `confidence` is not within 0 and 1."""
        check_confidence(self.confidence)

    def keys(self) -> pd.DataFrame:
        """The values of the columns `by`, rising."""
        return pd.DataFrame(self._by.size().index.to_frame(index=False))

    def sizes(self) -> pd.Series:
        """The number of fits in each group."""
        return pd.Series(self._groups.size())

    def same(self, *columns: str) -> pd.DataFrame:
        """The values of columns that do not vary within a group."""
        return pd.DataFrame(self._groups[list(columns)].first())

    def outcomes(self, *names: str) -> pd.DataFrame:
        """How many fits ended in each of these outcomes."""
        found = {name: self.fits["outcome"] == name for name in names}
        return pd.DataFrame(found, self.fits.index).groupby(self._places).sum()

    def counted(self, *flags: str) -> pd.DataFrame:
        """How many fits have each of these flags."""
        return pd.DataFrame(self._groups[list(flags)].sum())

    def missing(self, score: str) -> pd.Series:
        """How many fits have no such score."""
        return pd.Series(self._groups.size() - self._groups[score].count())

    def seeds(self, score: str) -> pd.Series:
        """How many seeds have that score."""
        if self.seed is None:
            return pd.Series(self._groups[score].count())
        having = self.fits[self.seed].where(self.fits[score].notna())
        return having.groupby(self._places).nunique()

    def images(self, score: str) -> pd.Series:
        """How many images have that score."""
        return pd.Series(self._of_images(score).count()[score])

    def means(self, *scores: str) -> pd.DataFrame:
        """The means over fits or, where images are the unit, over the means of images."""
        return pd.DataFrame(self._sample(*scores).mean())

    def interval(self, score: str) -> pd.DataFrame:
        """The `mean` of the `n` seeds or images that have that score, and where it lies.

        `low` and `high` bound the Student-t interval at that `confidence`; below two there is none
        (NaN). `deviation` is the standard deviation that it follows from.
        """
        sample = self._sample(score)
        mean, deviation = sample.mean()[score], sample.std()[score]
        n = self.seeds(score) if self.unit == "seed" else sample.count()[score]
        half = stats.t.ppf((1 + self.confidence) / 2, n - 1) * deviation / np.sqrt(n)
        columns = {"n": n, "mean": mean, "deviation": deviation}
        bounds = {"low": mean - half, "high": mean + half, "confidence": self.confidence}
        return pd.DataFrame(columns | bounds)

    @cached_property
    def _by(self) -> Any:
        return self.fits.groupby([*self.by], observed=True, dropna=False)

    @cached_property
    def _places(self) -> pd.Series:
        return pd.Series(self._by.ngroup())

    @cached_property
    def _groups(self) -> Any:
        """The fits by the places of their groups: keys with a NaN could not be aligned."""
        return self.fits.groupby(self._places)

    def _sample(self, *scores: str) -> Any:
        return self._groups[list(scores)] if self.unit == "seed" else self._of_images(*scores)

    def _of_images(self, *scores: str) -> Any:
        """The means of images over their fits, in groups."""
        by_image = self.fits.groupby([self._places, self.fits["image"]], observed=True)
        return by_image[list(scores)].mean().groupby(level=0)


def score_table(
    groups: Groups,
    scores: Mapping[str, str],
    *,
    same: Sequence[str] = (),
    means: Mapping[str, str] | None = None,
    failures: Sequence[str] = FAILURES,
    flags: Sequence[str] = (),
) -> pd.DataFrame:
    """One row per group and score, of which `scores` names the column by what `which` says.

    Beside the groups' own columns there are those that are the `same` for all fits of a group, and
    `means` of others by new name. Of the `seeds`, `n` have the score and `missing` have none;
    where images are the unit, `n` counts images. `mean`, `low`, `high` and `confidence` are as of
    `Groups.interval`; of the outcomes `failures` and the columns `flags` there is a column each
    that counts fits.
    """
    others = means or {}
    shared = pd.concat(
        [
            groups.keys(),
            groups.same(*same),
            groups.means(*others.values()).set_axis([*others], axis=1),
            groups.outcomes(*failures),
            groups.counted(*flags),
        ],
        axis=1,
    ).assign(seeds=groups.sizes())
    parts = [
        pd.concat([shared, groups.interval(score)], axis=1).assign(
            which=which, missing=groups.missing(score)
        )
        for which, score in scores.items()
    ]
    table = pd.concat(parts, ignore_index=True)
    table["which"] = pd.Categorical(table["which"], categories=list(scores), ordered=True)
    counts = ["seeds", "n", "mean", *failures, *flags, "low", "high", "confidence", "missing"]
    return table[[*groups.by, "which", *same, *others, *counts]]


def psnr_table(groups: Groups, **shown: Any) -> pd.DataFrame:
    """The `score_table` of the three PSNRs, with means in dB."""
    return score_table(groups, SCORES, **shown).rename(columns=IN_DB)


def dense_first(table: pd.DataFrame, order: Sequence[str]) -> pd.DataFrame:
    """The rows sorted by these columns: counts of weights falling, all others rising."""
    rising = [name not in COUNTS for name in order]
    return table.sort_values([*order], ascending=rising, ignore_index=True)
