"""Fits as points: the rows of `levels` with the problem and the method that each belongs to."""

import pandas as pd

from lip_ray.errors import UserError
from lip_ray.records import Outcome

from .identity import DENSE, KINDS, identities
from .naming import distinct_names

WHICH = ("selected", "peak", "final")
"""The three PSNRs of a fit, the one shown by default first."""

CONFIDENCE = 0.95

BAD_OUTCOMES = (Outcome.COLLAPSED, Outcome.DIVERGED, Outcome.FAILED)

FAILURES = [outcome.value for outcome in BAD_OUTCOMES]


def described_points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """The points of `frontier_points`, with the keys and settings that their names stand for.

    Raises ValueError when there is no fit of a trajectory or a transfer.
    """
    shown = trials[trials["kind"].isin(KINDS)]
    points = levels.merge(
        shown[["trial_id", "kind", "pruner", "prior", "task", "seed", "travels"]],
        on="trial_id",
        validate="many_to_one",
    )
    if points.empty:
        raise UserError("no finished level in the store: run a sweep of trajectories first")
    points = points.merge(identities(trials, levels), on=["trial_id", "image"])
    points["problem"] = _named(points, "problem")
    dense = points["kept"] == points["total"]
    methods = pd.concat([_part(points, "dense"), _part(points[~dense], "method")])
    labels = distinct_names(methods["name"], methods["key"], methods["settings"])
    references = pd.Series(labels[: len(points)], index=points.index)
    found = references.astype(str).where(dense)
    found[~dense] = labels[len(points) :].astype(str)
    bases = [DENSE, *sorted(set(references.astype(str)) - {DENSE})]
    rest = [name for name in labels.categories if name not in bases]
    points["method"] = found.astype(pd.CategoricalDtype([*bases, *rest], ordered=True))
    points["reference"] = references.astype(str).astype(pd.CategoricalDtype(bases, ordered=True))
    psnrs = ["psnr_measured_db", *(f"psnr_{which}_db" for which in WHICH)]
    return points.astype(dict.fromkeys(psnrs, float))


def frontier_points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per stored fit that restores an image: the columns of `levels`, and where it belongs.

    Added are kind, task, prior, pruner, seed and travels; `settings`, those of the problem as JSON;
    `problem`, a name for image, task, prior and fit; and `method`, a name for how the ticket was
    found and, if elsewhere, where, or a kind of "dense" where all weights are kept. `reference` is
    the dense method that its ladder begins with: another than "dense" for other weights, for a
    clean target and for several images at once. Names are ordered categories that spell out what
    tells namesakes apart, so that grouping by them never mixes two of either.

    Raises ValueError when there is no such fit.
    """
    return without_keys(described_points(trials, levels))


def without_keys(points: pd.DataFrame) -> pd.DataFrame:
    """The `frontier_points` of `described_points`."""
    inner = points.columns[points.columns.str.endswith(("_name", "_key", "_settings"))]
    return points.assign(settings=points["problem_settings"]).drop(columns=[*inner, "clean"])


def distinct_fits(points: pd.DataFrame) -> pd.DataFrame:
    """The points without repetition: the dense fit of a seed, which every trial stores, once."""
    return points.drop_duplicates(["problem", "method", "kept", "seed"])


def sample_text(table: pd.DataFrame) -> str:
    """How many seeds the means of a table are over, and what its intervals are."""
    counts = table.loc[table["n"] > 0, "n"]
    least, most = counts.min(), counts.max()
    if most == 1:
        return "n = 1 seed, so no intervals"
    seeds = f"{most}" if least == most else f"{least} to {most}"
    where = " from n = 2" if least == 1 else ""
    return f"n = {seeds} seeds, {100 * table['confidence'].iloc[0]:g} % intervals{where}"


def mean_text(mean: float, low: float, high: float, form: str = ".2f") -> str:
    """A mean and its interval, as far as there are."""
    if pd.isna(mean):
        return "none"
    said = f"{mean:{form}}"
    said = said if pd.isna(low) else f"{said} [{low:{form}}, {high:{form}}]"
    return said.replace("-", "−")


def db_text(value: float) -> str:
    """A PSNR of one fit."""
    return "none" if pd.isna(value) else f"{value:.2f} dB"


def density_text(density: float) -> str:
    """A density as figures and tables write it: three significant digits."""
    return f"{density:.3g}"


def sparsity_text(density: float) -> str:
    """The share of weights removed, in percent; with more digits where little is left."""
    return f"{round(100 * (1 - density), 1 if density >= 0.01 else 3):g} %"


def _part(points: pd.DataFrame, part: str) -> pd.DataFrame:
    columns = {f"{part}_{end}": end for end in ("name", "key", "settings")}
    return points[list(columns)].rename(columns=columns)


def _named(points: pd.DataFrame, part: str) -> "pd.Categorical[str]":
    found = _part(points, part)
    return distinct_names(found["name"], found["key"], found["settings"])
