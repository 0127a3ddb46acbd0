"""Reconstructions with a generator as prior: their errors, and the floor beside each.

A problem is a generator's architecture and training set, images of one split, and a task apart from
its number of measurements. A method is a solver and how the generator was pruned. The floor is the
error of the best fit found of the same generator to the image itself. It is found by descent, so it
is no bound: a reconstruction may by chance be a little better.
"""

import json
from collections.abc import Set
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from lip_ray.records import FAILURES

from ...rows.identity import together
from ...rows.naming import distinct_names, joined, named, tuples, without
from ...rows.points import CONFIDENCE, WHICH
from ...rows.texts import counted_text
from ...statistics.aggregate import Groups, Unit, dense_first

KIND = "reconstruction"

WITHOUT_GENERATOR = "dct"
"""The kind of a source that is a fixed basis, of which every density is the same."""

SPLITS = {
    "in_range": "in range",
    "training": "training images",
    "held_out": "held out",
    "unknown": "split unknown",
}
"""Where images come from, seen from the generator. Splits are never averaged together."""

SCORES = {"psnr": "PSNR", "mse": "MSE", "l2": "L2 per pixel"}
"""PSNR in dB, mean squared error of images in [0, 1], and that in the generator's own range."""

ERRORS = (
    *(f"{score}_{which}" for score in ("psnr", "mse") for which in WHICH),
    f"l2_{WHICH[0]}",
)
"""The errors of a reconstruction, by score and step."""

GROUP = ["problem", "method", "kept", "m"]
"""The columns by which fits are averaged."""

ALIKE = ["family", "outliers", "share", "solver", "pruner", "reference", "total", "density"]
"""The columns that have one value in each group."""


def sensing_points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per reconstructed image and level: its errors, those of its floor, where it belongs.

    Columns beside those of `levels`: `seed`; `problem`, `solver`, `pruner` and `method` as ordered
    categories whose names tell apart; `family`, the problem apart from its outliers, `outliers`,
    what these are apart from how many, and `share`, how many; `m` measurements (NaN where the task
    has none); `run`, the seeds; errors as `psnr_selected`, `mse_selected` and so on, and
    `floor_psnr_selected` and so on. `reference` marks methods without a generator: they are in
    every problem that has their images and task, and have no density. Projections that are only
    floors of others are left out.

    Raises ValueError when there is no reconstruction.
    """
    described = _described(trials)
    points = levels.merge(described, on="trial_id", validate="many_to_one")
    if points.empty:
        raise ValueError("no finished level of a reconstruction in the store")
    points = _with_floors(_scored(points))
    points["split"] = points["split"].astype(object).where(points["split"].notna(), "unknown")
    points = points[~points["trial_id"].isin(set(points["floor_id"].dropna()))]
    return _named(_with_references(points)).reset_index(drop=True)


def sensing_table(
    trials: pd.DataFrame, levels: pd.DataFrame, *, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """One row per problem, method, density, m measurements, `score` and `which` step.

    `mean` is over images, each averaged over its seeds first: of PSNRs in dB for the score psnr, of
    squared errors for mse and l2 (which is known at the selected step only). `low` to `high` is the
    Student-t interval over `images` where the problem has several, else over `seeds`: `n` says of
    how many, `over` of what; NaN below two. `missing` counts fits without the score; `collapsed`,
    `diverged` and `failed` fits that went wrong, all `fits` together. `floor` is the mean of the
    floors, likewise, over the fits that have one. For methods without a generator `kept` and
    `density` are NaN and `reference` is true.

    Raises ValueError when there is no reconstruction, or `confidence` is not within 0 and 1.
    """
    return means_of(sensing_points(trials, levels), confidence=confidence)


def means_of(points: pd.DataFrame, *, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """The `sensing_table` of these points."""
    several = points.groupby("problem", observed=True)["image"].transform("nunique") > 1
    kinds: tuple[tuple[Unit, pd.DataFrame], ...]
    kinds = ("image", points[several]), ("seed", points[~several])
    parts = [
        _scores(Groups(fits=fits, by=GROUP, unit=unit, seed="run", confidence=confidence), error)
        for error in ERRORS
        for unit, fits in kinds
    ]
    table = pd.concat(parts, ignore_index=True)
    table["score"] = pd.Categorical(table["score"], categories=list(SCORES), ordered=True)
    table["which"] = pd.Categorical(table["which"], categories=WHICH, ordered=True)
    return dense_first(table, ["problem", "method", "m", "kept", "score", "which"])


def sensing_sample(table: pd.DataFrame) -> str:
    """How many images and seeds the means of a table are over, and what its intervals are.

    Of methods with a generator, where there are any.
    """
    known = table[table["n"] > 0]
    known = known[~known["reference"]] if not known["reference"].all() else known
    if known.empty:
        return "no fit has a result"
    seeds, images = (counted_text(known[name], name) for name in ("seeds", "images"))
    level = f"{100 * known['confidence'].iloc[0]:g} % intervals"
    if known["n"].max() == 1:
        return f"n = {counted_text(known['n'], known['over'].iloc[0])}, so no intervals"
    if (known["over"] == "images").all():
        return f"n = {images} ({seeds} each), {level}"
    where = " from n = 2" if known["n"].min() == 1 else ""
    return f"n = {seeds}, {level}{where}"


def _described(trials: pd.DataFrame) -> pd.DataFrame:
    """A row per trial of a reconstruction: names, keys and settings of what it belongs to."""
    chosen = trials[trials["kind"] == KIND]
    projections = set(chosen.loc[chosen["task"] == "projection", "trial_id"])
    rows = [_belonging(trial, projections) for trial in tuples(chosen)]
    return pd.DataFrame(rows, columns=None if rows else ["trial_id"])


def _belonging(trial: Any, projections: Set[str]) -> dict[str, Any]:
    """What one trial belongs to. Its `family` is its scene apart from the outliers."""
    floors = [one for one in trial.source_ids if one in projections]
    outliers = "" if pd.isna(trial.outliers_name) else trial.outliers_name
    row = {
        "trial_id": trial.trial_id,
        "seed": trial.seed,
        "task_kind": trial.task,
        "reference": trial.prior == WITHOUT_GENERATOR,
        "m": float("nan") if pd.isna(trial.m) else float(trial.m),
        "share": 0.0 if pd.isna(trial.outlier_share) else float(trial.outlier_share),
        "run": json.dumps(
            [None if pd.isna(trial.source_seed) else int(trial.source_seed), trial.seed]
        ),
        "floor_id": floors[0] if floors else None,
        "network_name": trial.network_name,
        "scene_name": ", ".join(filter(None, (trial.task_name, outliers))),
        "family_name": trial.task_name,
        "outliers_name": "outliers" if outliers else "none",
        "solver_name": trial.method_name,
        "pruner_name": trial.finder_name,
    }
    for end, images in (("key", trial.image_keys), ("settings", trial.image_settings)):
        family = joined(images=f"[{', '.join(images)}]", task=getattr(trial, f"task_{end}"))
        wrong = getattr(trial, f"outliers_{end}") if outliers else "{}"
        row |= {
            f"network_{end}": getattr(trial, f"network_{end}"),
            f"scene_{end}": joined(family, outliers=wrong) if outliers else family,
            f"family_{end}": family,
            f"outliers_{end}": without(wrong, "share"),
            f"solver_{end}": getattr(trial, f"method_{end}"),
            f"pruner_{end}": getattr(trial, f"finder_{end}"),
        }
    return row


def _scored(points: pd.DataFrame) -> pd.DataFrame:
    scores = {}
    for which in WHICH:
        psnr = points[f"psnr_{which}_db"].astype(float)
        scores[f"psnr_{which}"] = psnr
        scores[f"mse_{which}"] = 10 ** (-psnr / 10)
    scores["l2_selected"] = points["l2_per_pixel"].astype(float)
    return points.assign(**scores)


def _with_floors(points: pd.DataFrame) -> pd.DataFrame:
    """The points with the scores of their floors: same generator, image, level and step."""
    floors = points.loc[points["task_kind"] == "projection", ["trial_id", "level", "image"]]
    floors = floors.join(points[list(ERRORS)].add_prefix("floor_"))
    floors = floors.rename(columns={"trial_id": "floor_id"})
    return points.merge(floors, on=["floor_id", "level", "image"], how="left")


def _with_references(points: pd.DataFrame) -> pd.DataFrame:
    """The points; those without a generator go into every problem with their images and task."""
    inner = ["network_name", "network_key", "network_settings", "split"]
    references = points[points["reference"]]
    problems = points.loc[~points["reference"], ["scene_key", "image", *inner]].drop_duplicates()
    placed = references.drop(columns=inner).merge(problems, on=["scene_key", "image"])
    alone = references[~references["scene_key"].isin(set(problems["scene_key"]))]
    found = pd.concat([points[~points["reference"]], placed, alone], ignore_index=True)
    found.loc[found["reference"], ["kept", "density"]] = np.nan
    return found.astype({"kept": float, "density": float})


def _named(points: pd.DataFrame) -> pd.DataFrame:
    found = points.copy()
    for column, part in (("problem", "scene"), ("family", "family")):
        ends = [f"{part}_key", "network_key", "split"]
        images = points.groupby(ends, dropna=False)["image"].transform(
            lambda own: f"{together(own.unique())}: "
        )
        name = images + points[f"{part}_name"] + ", " + points["split"].map(SPLITS)
        keys, settings = (
            pd.Series(
                map(_problem, points[f"{part}_{end}"], points[f"network_{end}"], points["split"])
            )
            for end in ("key", "settings")
        )
        found[column] = distinct_names(name + "; " + points["network_name"], keys, settings)
        found[f"{column}_settings"] = settings
    for part in ("solver", "pruner", "outliers"):
        found[part] = named(points, part)
    pairs = zip(found["solver"], found["pruner"], strict=True)
    names = [f"{solver}, {pruner}" if pruner else solver for solver, pruner in pairs]
    codes = (found[part].cat.codes for part in ("solver", "pruner"))
    order = list(dict.fromkeys(name for *_, name in sorted(zip(*codes, names, strict=True))))
    found["method"] = pd.Categorical(names, categories=order, ordered=True)
    inner = found.columns[found.columns.str.endswith(("_name", "_key"))]
    return found.drop(columns=inner)


@lru_cache(1024)
def _problem(scene: str, network: str, split: str) -> str:
    return joined(scene, source=network, split=json.dumps(split))


def _scores(groups: Groups, error: str) -> pd.DataFrame:
    found = groups.interval(error)
    score, which = error.split("_")
    table = groups.keys().assign(score=score, which=which)
    table[ALIKE] = groups.same(*ALIKE)
    table["fits"] = groups.sizes()
    table[FAILURES] = groups.outcomes(*FAILURES)
    table["images"] = groups.images(error)
    table["mean"] = found["mean"]
    table["floor"] = groups.means(f"floor_{error}")
    table["seeds"] = groups.seeds(error)
    table["over"] = f"{groups.unit}s"
    table["n"] = found["n"]
    table["missing"] = groups.missing(error)
    table[["low", "high", "confidence"]] = found[["low", "high", "confidence"]]
    return table
