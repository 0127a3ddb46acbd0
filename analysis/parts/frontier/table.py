"""The frontier's tables: every network and method of each image and task, by what it costs.

A scene is a task with one image, or with the mean over all of its images.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ...rows.naming import named
from ...rows.points import WHICH, described_points, distinct_fits, flaws, unfit
from ...statistics.aggregate import Groups, dense_first, psnr_table
from ...statistics.intervals import hypervolume, pareto_front

AXES = {
    "density": "Density",
    "kept": "Kept weights",
    "macs": "Multiply-adds",
    "seconds": "Seconds per fit",
}
"""What a ticket costs, by column."""

SPREADS = {"bars": "Bars", "bands": "Bands", "none": "None"}
"""How intervals are drawn."""

MEAN_IMAGE = "mean over images"
"""The image of scenes that average over those of a task."""

SCENE = ["task", "image"]
SERIES = ["network", "method"]
SIZE = ["kept", "total"]

BEYOND = 0.1
"""Decades between the largest cost and that of a hypervolume's reference point."""

COLUMNS = [
    *(*SCENE, *SERIES, *SIZE, "prior", "reference", "scene", "density", "measured_db", "macs"),
    *("seconds", "n", "mean_db", "unfit", "missing", "which", "unit", "whole", "low_db", "high_db"),
]
"""The columns of a `scene_table`, before its fronts."""


def frontier_fits(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per fit that restores an image, labelled as in `frontier_points`, none repeated.

    `task`, `image`, `network` (prior and fit) and `method` are distinct names as ordered
    categories, `reference` is the dense method that the method begins with, `prior` the kind of
    network, `scene` JSON of image and task. `flaw` says how a fit is marked, and `unfit`
    ones are on no front. Costs are the columns `AXES`: `macs` multiply-adds of a forward pass, NaN
    where the store's version did not count them, and `seconds` of fitting.

    Raises ValueError when there is no such fit.
    """
    return fits_of(described_points(trials, levels))


def fits_of(points: pd.DataFrame) -> pd.DataFrame:
    """The `frontier_fits` of `described_points`."""
    points = distinct_fits(points)
    nothing = pd.Series(np.nan, index=points.index)
    return pd.DataFrame(
        {
            "task": named(points, "task"),
            "image": named(points, "image"),
            "network": named(points, "network"),
            "prior": points["network_name"].astype(str),
            "method": points["method"],
            "reference": points["reference"],
            "scene": points["scene_settings"].astype("category"),
            "measured_db": points["psnr_measured_db"],
            "macs": points.get("macs", nothing).astype(float),
            "seconds": points.get("fit_s", nothing).astype(float),
            **{name: points[name] for name in ("seed", *SIZE, "density", "outcome")},
            **{f"psnr_{which}_db": points[f"psnr_{which}_db"] for which in WHICH},
            "flaw": flaws(points),
            "unfit": unfit(points),
        },
        index=points.index,
    )


def frontier_table(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """The `scene_table` of a store's fits.

    Raises ValueError when there is no fit that restores an image.
    """
    return scene_table(frontier_fits(trials, levels))


def scene_table(fits: pd.DataFrame) -> pd.DataFrame:
    """One row per scene, network, method, size and `which` PSNR of `frontier_fits`.

    A task with several images has a scene `MEAN_IMAGE` too, with a row per density: photos of one
    and of three channels have networks of slightly different sizes, and `kept` and `total` are
    means. `mean_db` is over `n` seeds or, there,
    over `n` images (`unit`) whose seeds are averaged first; it lies in the Student-t interval
    `low_db` to `high_db` at 95 %, of which there is none (NaN) below two. `missing` counts fits
    without that PSNR. The columns `AXES` are means. `front_<axis>` marks the Pareto front of the
    scene over all networks and methods; means over fewer images than others have are not on it, and
    `whole` is False for these. Nor are means with `unfit` fits, which these count, or below the
    measurement.
    """
    table = pd.concat([_over_seeds(fits), _over_images(fits)], ignore_index=True)[COLUMNS]
    dtypes = {name: fits[name].dtype for name in (*SERIES, *SIZE, "task", "reference")}
    images = [MEAN_IMAGE, *fits["image"].cat.categories]
    dtypes["image"] = pd.CategoricalDtype(images, ordered=True)
    return _with_fronts(dense_first(table.astype(dtypes), [*SCENE, "which", *SERIES, "kept"]))


def hypervolume_table(table: pd.DataFrame) -> pd.DataFrame:
    """One row per scene, `which` PSNR and axis of a `scene_table`: what its front dominates.

    `hypervolume` is in decades of cost × dB within the reference point: `worst_cost`, 26 % above
    the largest cost of the scene, and `worst_db`, the PSNR of the measurement. It is NaN where
    either is not known. `front` counts the points on the front, `points` those that could be,
    `without` those whose cost or PSNR is not known.
    """
    groups = table.groupby([*SCENE, "which"], observed=True)
    rows = [
        {"task": task, "image": image, "which": which, "axis": axis} | _dominated(group, axis)
        for (task, image, which), group in groups
        for axis in AXES
    ]
    return pd.DataFrame(rows)


def _over_seeds(fits: pd.DataFrame) -> pd.DataFrame:
    same = ["prior", "reference", "scene", "density"]
    groups = Groups(fits=fits, by=[*SCENE, *SERIES, *SIZE])
    return _scores(groups, same).assign(unit="seed", whole=True)


def _over_images(fits: pd.DataFrame) -> pd.DataFrame:
    """The rows of the scenes that average over images, of tasks with several."""
    several = fits.groupby("task", observed=True)["image"].transform("nunique") > 1
    groups = Groups(fits=fits[several], by=["task", *SERIES, "density"], unit="image")
    table = _scores(groups, ["prior", "reference"], [*SIZE]).round(dict.fromkeys(SIZE, 0))
    most = table.groupby(["task", "which"], observed=True)["n"].transform("max")
    return table.assign(image=MEAN_IMAGE, scene="", unit="image", whole=table["n"] == most)


def _scores(groups: Groups, same: Sequence[str], sizes: Sequence[str] = ()) -> pd.DataFrame:
    means = {name: name for name in ("measured_db", "macs", "seconds", *sizes)}
    return psnr_table(groups, same=same, means=means, failures=(), flags=["unfit"])


def _with_fronts(table: pd.DataFrame) -> pd.DataFrame:
    able = {axis: _able(table, axis) for axis in AXES}
    flags = {axis: np.zeros(len(table), bool) for axis in AXES}
    psnr_db = table["mean_db"].to_numpy()
    for group in table.groupby([*SCENE, "which"], observed=True).indices.values():
        for axis in AXES:
            own = group[able[axis][group]]
            costs = table[axis].to_numpy()[own]
            flags[axis][own] = pareto_front(costs.tolist(), psnr_db[own].tolist())
    return table.assign(**{f"front_{axis}": found for axis, found in flags.items()})


def _able(rows: pd.DataFrame, axis: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows could be on a front."""
    better = ~(rows["mean_db"] < rows["measured_db"])
    return np.asarray(_known(rows, axis) & rows["whole"] & (rows["unfit"] == 0) & better)


def _known(rows: pd.DataFrame, axis: str) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """Which rows have a place in the figure."""
    costs = rows[axis].to_numpy(float)
    return np.asarray(np.isfinite(rows["mean_db"].to_numpy()) & np.isfinite(costs) & (costs > 0))


def _dominated(rows: pd.DataFrame, axis: str) -> dict[str, Any]:
    """What the front of one scene and PSNR dominates by one cost."""
    able, worst_db = _able(rows, axis), float(rows["measured_db"].mean())
    costs = np.log10(rows[axis].to_numpy(float)[able])
    worst = float(costs.max()) + BEYOND if len(costs) else np.nan
    found = np.nan
    if np.isfinite(worst) and np.isfinite(worst_db):
        psnr_db = rows["mean_db"].to_numpy()[able].tolist()
        found = hypervolume(costs.tolist(), psnr_db, worst_cost=worst, worst_psnr_db=worst_db)
    return {
        "hypervolume": found,
        "worst_cost": 10**worst,
        "worst_db": worst_db,
        "front": int(rows[f"front_{axis}"].sum()),
        "points": int(able.sum()),
        "without": int((~_known(rows, axis)).sum()),
    }
