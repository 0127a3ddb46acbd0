"""Fits as points: the rows of `levels` with the problem and the method that each belongs to."""

import pandas as pd

from lip_ray.errors import UserError
from lip_ray.records import FAILURES

from .identity import DENSE, KINDS, identities
from .naming import named, part_of

WHICH = ("selected", "peak", "final")
"""The three PSNRs of a fit, the one shown by default first."""

CONFIDENCE = 0.95

DENSITY_DECIMALS = 6
"""The decimals of a density that networks of different sizes share."""

UNFINISHED = "unfinished"
"""What is said of a fit whose best step is in its last hundredth."""

BELOW_MEASURED = "below the measurement"
"""What is said of a fit that is worse than its measurement even at its best step."""


def described_points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """The points of `frontier_points`, with the keys and settings that their names stand for.

    `density` is as of `shared_densities`.

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
    points["problem"] = named(points, "problem")
    dense = points["kept"] == points["total"]
    labels = named(pd.concat([part_of(points, "dense"), part_of(points[~dense], "method")]))
    references = pd.Series(labels[: len(points)], index=points.index)
    found = references.astype(str).where(dense)
    found[~dense] = labels[len(points) :].astype(str)
    bases = [DENSE, *sorted(set(references.astype(str)) - {DENSE})]
    rest = [name for name in labels.categories if name not in bases]
    points["method"] = found.astype(pd.CategoricalDtype([*bases, *rest], ordered=True))
    points["reference"] = references.astype(str).astype(pd.CategoricalDtype(bases, ordered=True))
    psnrs = ["psnr_measured_db", *(f"psnr_{which}_db" for which in WHICH)]
    points["density"] = shared_densities(points)
    return _judged(points.astype(dict.fromkeys(psnrs, float)))


def shared_densities(points: pd.DataFrame) -> "pd.Series[float]":
    """The density of each point, the same for all that are as near to each other as whole weights
    allow.

    Photos of one and of three channels have networks of slightly different sizes, so that a level
    of one density keeps shares that differ by less than a weight of each. They are one level to
    means over images. Only points of one `network_key` are compared.
    """
    found = points["density"].astype(float).copy()
    for _, own in points.groupby("network_key", observed=True):
        sizes = own[["density", "total"]].drop_duplicates()
        if sizes["total"].nunique() > 1:
            found[own.index] = own["density"].map(_merged(sizes))
    return found


def _merged(sizes: pd.DataFrame) -> dict[float, float]:
    """By density the mean of those that are one level with it."""
    falling = sizes.sort_values(["density", "total"], ascending=False)
    weight = 0.5 / falling["total"]
    apart = falling["density"].shift() - falling["density"]
    level = (apart >= weight + weight.shift()).cumsum()
    means = falling.groupby(level)["density"].transform("mean").round(DENSITY_DECIMALS)
    alone = falling.groupby(level)["density"].transform("nunique") == 1
    return dict(zip(falling["density"], falling["density"].where(alone, means), strict=True))


def _judged(points: pd.DataFrame) -> pd.DataFrame:
    """The points with what a fit may be compared by, as the store's view `levels` has it.

    Rows from before `unfinished` was stored count as finished.
    """
    unfinished = points.get("unfinished", pd.Series(False, index=points.index))
    return points.assign(
        unfinished=unfinished.astype("boolean").fillna(False).astype(bool),
        below_measured=points["psnr_peak_db"] < points["psnr_measured_db"],
    )


def unfit(points: pd.DataFrame) -> "pd.Series[bool]":
    """Which points no front may have: unfinished, gone wrong, or worse than their measurement."""
    return points["outcome"].isin(FAILURES) | points["unfinished"] | points["below_measured"]


def flaws(points: pd.DataFrame) -> "pd.Series[str]":
    """How each point is marked in figures: the worst of its flaws, or "" where it has none.

    The worst is that it went wrong, then that it is unfinished, then that it restores nothing.
    """
    outcomes = points["outcome"].astype(str)
    below = points["below_measured"].map({True: BELOW_MEASURED, False: ""})
    open_ended = below.mask(points["unfinished"], UNFINISHED)
    return outcomes.where(outcomes.isin(FAILURES), open_ended)


def frontier_points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per stored fit that restores an image: the columns of `levels`, and where it belongs.

    Added are kind, task, prior, pruner, seed and travels; `settings`, those of the problem as JSON;
    `problem`, a name for image, task, prior and fit; and `method`, a name for how the ticket was
    found and, if elsewhere, where, or a kind of "dense" where all weights are kept. `reference` is
    the dense method that its ladder begins with: another than "dense" for other weights, for a
    clean target and for several images at once. Names are ordered categories that spell out what
    tells namesakes apart, so that grouping by them never mixes two of either. `unfinished` fits
    were best in their last hundredth; `below_measured` ones are worse than the measurement even at
    their best step.

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
