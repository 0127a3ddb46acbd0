"""Verdicts: whether a method matches the dense network, and which of two methods is better.

Fits are paired: same image, seed, noise and initial weights, at equal true density. A study is what
problems share apart from their image: task, network and fit.
"""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from ..page.content import Content, Part
from ..page.section import Emphasis, Section, Words, table_of
from ..rows.naming import distinct_names, tuples
from ..rows.points import CONFIDENCE, described_points, distinct_fits
from ..rows.texts import density_text
from ..statistics.intervals import (
    Matching,
    check_confidence,
    matching,
    mean_interval,
    no_difference,
    samples_of,
)

MARGIN_DB = 0.1
"""A ticket matches that is worse than dense by less than this, unless told otherwise."""

MATCHED = [
    *("problem", "study_key", "study_settings", "task", "prior", "image", "method"),
    *("reference", "seed", "kept", "total", "density"),
]
"""The columns that verdicts follow from, beside the PSNR: few are sorted fast."""

ONE_RUN = "one run: no verdict"

NOTE: Words = (
    """Every fit is paired with the dense fit of the same image, noise and initial weights, at the
    selected step. A density is """,
    Emphasis("shown"),
    f""" to match if it, and all above it, are not worse by {MARGIN_DB:g} dB or more; it is """,
    Emphasis("refuted"),
    """ if it, and all below it, are worse by more. Both are one-sided t tests at 5 % over images,
    seeds averaged first; between the two nobody knows. With a single image the sample is its seeds,
    and the verdict is about that image alone. Each row is tested by itself: among twenty methods
    just at the margin, one is expected to be shown by chance.""",
)


def dense_differences(
    trials: pd.DataFrame, levels: pd.DataFrame, *, which: str = "selected"
) -> pd.DataFrame:
    """One row per sparse fit: `difference_db`, its PSNR − that of its seed's dense fit.

    Beside the columns of `frontier_points` there are `study`, a name for task, network and fit, and
    the difference, NaN where either fit has no PSNR. Fits without a dense one are left out.

    Raises ValueError when there is no fit of a trajectory or a transfer.
    """
    return _differences(_fits(described_points(trials, levels)), which)


def matching_table(
    trials: pd.DataFrame,
    levels: pd.DataFrame,
    *,
    which: str = "selected",
    margin_db: float = MARGIN_DB,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """One row per study and method: down to which density it matches dense, and a verdict in words.

    `shown`, `estimate` and `refuted` are densities as of `statistics.Matching`, at a one-sided
    error of 1 − `confidence` each; `least` is the least density that was fitted. `n` images (`unit`
    image), or seeds of a single image, were the sample, of `seeds` seeds. `missing` counts pairs
    without a PSNR: no density with one is shown to match.

    Raises ValueError when there is no fit of a trajectory or a transfer, `confidence` is not within
    0 and 1 or `margin_db` is not positive.
    """
    points = described_points(trials, levels)
    return matching_of(points, which=which, margin_db=margin_db, confidence=confidence)


def matching_of(
    points: pd.DataFrame,
    *,
    which: str = "selected",
    margin_db: float = MARGIN_DB,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """The `matching_table` of `described_points`."""
    check_confidence(confidence)
    differences = _differences(_fits(points[[*MATCHED, f"psnr_{which}_db"]]), which)
    rows = [
        {"study": study, "method": method, "margin_db": margin_db, "confidence": confidence}
        | _matched(group, margin_db, 1 - confidence)
        for (study, method), group in differences.groupby(["study", "method"], sort=True)
    ]
    columns = [
        *("study", "method", "margin_db", "confidence", "unit", "n", "seeds", "missing"),
        *("least", "shown", "estimate", "refuted", "verdict"),
    ]
    return pd.DataFrame(rows, columns=columns)


def comparison_table(
    trials: pd.DataFrame,
    levels: pd.DataFrame,
    first: str,
    second: str,
    *,
    which: str = "selected",
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """One row per study and density at which both methods were fitted: first − second, in dB.

    `mean_db` lies in `low_db` to `high_db` at that `confidence`, each row by itself; `p` is that of
    no difference and `q` its value among all rows of the table, by which the false discovery rate
    is controlled (Benjamini & Hochberg 1995). `n`, `unit`, `seeds` and `missing` are as in
    `matching_table`, and one run has no interval.

    Raises ValueError for a method that the points do not have, naming those that they have.
    """
    check_confidence(confidence)
    fits = _fits(described_points(trials, levels))
    known = sorted(set(fits["method"]))
    for name in (first, second):
        if name not in known:
            raise ValueError(f"no method {name!r} in these fits; there are: {', '.join(known)}")
    psnr = f"psnr_{which}_db"
    key = ["study", "problem", "image", "seed", "kept", "total", "density"]
    one, other = (fits.loc[fits["method"] == name, [*key, psnr]] for name in (first, second))
    pairs = one.merge(other, on=key, suffixes=("", "_other"))
    pairs["difference_db"] = pairs[psnr] - pairs[f"{psnr}_other"]
    rows = [
        {"study": study, "first": first, "second": second, "kept": kept, "confidence": confidence}
        | {name: group[name].iloc[0] for name in ("total", "density")}
        | _compared(group, confidence)
        for (study, kept), group in pairs.groupby(["study", "kept"])
    ]
    columns = [
        *("study", "first", "second", "kept", "total", "density", "confidence", "unit", "n"),
        *("seeds", "missing", "mean_db", "low_db", "high_db", "p"),
    ]
    table = pd.DataFrame(rows, columns=columns)
    table = table.sort_values(["study", "density"], ascending=[True, False], ignore_index=True)
    return table.assign(q=_adjusted(table["p"]))


def _adjusted(p_values: pd.Series) -> pd.Series:
    """The p-values among all of them, NaN where there is none."""
    found, tested = pd.Series(np.nan, index=p_values.index), p_values.dropna()
    if len(tested):
        found[tested.index] = stats.false_discovery_control(tested)
    return found


def sections(shown: Content) -> Iterator[Section]:
    """Down to which density each method matches dense; nothing where no ticket was fitted."""
    if shown.described.empty:
        return
    found = matching_of(shown.described)
    if len(found):
        title = "Verdicts"
        table = table_of(tuples(found), CELLS, label=title, note=NOTE)
        yield Section(name="verdicts", title=title, blocks=(table,))


def _sample_text(row: Any) -> str:
    missing = f", {row.missing} without PSNR" if row.missing else ""
    return f"{row.n} {row.unit}{'s' if row.n > 1 else ''}{missing}"


def _bound_text(density: Any) -> str:
    return "–" if pd.isna(density) else density_text(density)


CELLS = {
    "Study": lambda row: row.study,
    "Method": lambda row: row.method,
    "Verdict": lambda row: row.verdict,
    "Sample": _sample_text,
    "Shown": lambda row: _bound_text(row.shown),
    "Crosses": lambda row: _bound_text(row.estimate),
    "Refuted": lambda row: _bound_text(row.refuted),
    "Sparsest": lambda row: _bound_text(row.least),
}


def _fits(points: pd.DataFrame) -> pd.DataFrame:
    """All fits once, with the name of what their problems share apart from the image."""
    fits = distinct_fits(points)
    names = fits["task"].astype(str) + ", " + fits["prior"].astype(str)
    named = fits.assign(study=distinct_names(names, fits["study_key"], fits["study_settings"]))
    return named.astype(dict.fromkeys(("study", "problem", "method", "reference"), str))


def _differences(fits: pd.DataFrame, which: str) -> pd.DataFrame:
    psnr = f"psnr_{which}_db"
    dense = fits.loc[fits["kept"] == fits["total"], ["problem", "method", "seed", psnr]]
    dense = dense.rename(columns={"method": "reference", psnr: "dense_db"})
    sparse = fits[fits["kept"] < fits["total"]]
    found = sparse.merge(dense, on=["problem", "reference", "seed"])
    return found.assign(difference_db=found[psnr] - found["dense_db"])


def _sample(group: pd.DataFrame) -> tuple[list[list[float]], dict[str, Any]]:
    """The differences that there are, by image, and what they are a sample of."""
    there = group[np.isfinite(group["difference_db"].astype(float))]
    samples = samples_of(there["difference_db"].tolist(), there["image"].tolist())
    single, seeds = len(samples) == 1, there["seed"].nunique()
    return samples, {
        "unit": "seed" if single else "image",
        "n": seeds if single else len(samples),
        "seeds": seeds,
        "missing": len(group) - len(there),
    }


def _matched(group: pd.DataFrame, margin_db: float, alpha: float) -> dict[str, Any]:
    """The ladder as far as every density of it has a difference."""
    _, sample = _sample(group)
    rungs = dict(_rungs(group))
    found = matching([*rungs], [*rungs.values()], margin_db=margin_db, alpha=alpha)
    least = float(group["density"].min())
    return sample | {
        "least": least,
        "shown": found.shown,
        "estimate": found.estimate,
        "refuted": found.refuted,
        "verdict": ONE_RUN if sample["n"] < 2 else _words(found, least, margin_db),
    }


def _rungs(group: pd.DataFrame) -> Iterator[tuple[float, list[list[float]]]]:
    """Density and differences, dense to sparse, up to the first with a fit without PSNR."""
    own = group[["density", "difference_db", "image"]]
    ordered = own.sort_values("density", ascending=False, kind="stable")
    for density, rung in groupby(tuples(ordered), key=lambda row: float(row.density)):
        fits = list(rung)
        differences = [float(fit.difference_db) for fit in fits]
        if not np.isfinite(differences).all():
            return
        yield density, samples_of(differences, [fit.image for fit in fits])


def _words(found: Matching, least: float, margin_db: float) -> str:
    """The verdict that the bounds allow, and no more."""
    within = f"within {margin_db:g} dB of dense"
    if found.shown is None and found.refuted is None:
        return "undecided"
    said = []
    if found.shown is not None:
        said.append(f"{within} down to {density_text(found.shown)}, shown")
        if found.shown == least:
            return f"{said[0]}; sparser was not tried"
    else:
        said.append(f"not shown to be {within} at any density")
    if found.refuted is None:
        said.append("undecided below")
    else:
        said.append(f"loses more from {density_text(found.refuted)} down, shown")
    return "; ".join(said)


def _compared(group: pd.DataFrame, confidence: float) -> dict[str, Any]:
    samples, sample = _sample(group)
    if not samples:
        return sample | dict.fromkeys(("mean_db", "low_db", "high_db", "p"), np.nan)
    interval = mean_interval(samples, confidence=confidence)
    bounds = {"mean_db": interval.mean, "low_db": interval.low, "high_db": interval.high}
    return sample | bounds | {"p": no_difference(samples)}


PART = Part(sections=sections)
