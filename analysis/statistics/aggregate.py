"""Scores of tickets over seeds, one row a method, density and score, for trials without PSNR."""

import json
from collections.abc import Mapping, Sequence, Set
from typing import Any

import pandas as pd

from ..rows.identity import DENSE
from ..rows.naming import distinct_names, tuples
from ..rows.points import FAILURES, density_text, mean_text, with_interval


def ladder_table(
    points: pd.DataFrame, scores: Mapping[str, str], *, confidence: float
) -> pd.DataFrame:
    """One row per problem, method, density and `which` of the scores, columns of `points` by name.

    Of the `seeds`, `n` have that score and `missing` have none. `mean` lies in the Student-t
    interval `low` to `high` at that `confidence`; below two seeds there is none (NaN). The dense
    network of a seed counts once.

    Raises ValueError when `confidence` is not within 0 and 1.
    """
    fits = points.drop_duplicates(["problem", "method", "kept", "seed"])
    parts = [_means(fits, which, score) for which, score in scores.items()]
    table = pd.concat(parts, ignore_index=True)
    names = ("mean", "deviation", "n", "low", "high")
    table = with_interval(table, confidence, names).drop(columns="deviation")
    table["missing"] = table["seeds"] - table["n"]
    table["which"] = pd.Categorical(table["which"], categories=list(scores), ordered=True)
    order = ["problem", "method", "kept", "which"]
    return table.sort_values(order, ascending=[True, True, False, True], ignore_index=True)


def ladder_points(levels: pd.DataFrame, described: pd.DataFrame) -> pd.DataFrame:
    """The levels of the trials in `described`, with `problem` and `method` as ordered categories.

    `described` has trial_id, pruner, seed, and of the problem name, key and settings, of the method
    method_key and method_settings. Where all weights are kept the method is "dense".
    """
    points = levels.merge(described, on="trial_id", validate="many_to_one")
    points["problem"] = distinct_names(points["name"], points["key"], points["settings"])
    methods = distinct_names(points["pruner"], points["method_key"], points["method_settings"])
    points["method"] = methods.set_categories([DENSE, *methods.categories])
    points.loc[points["kept"] == points["total"], "method"] = DENSE
    return points


def from_dense(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of all methods, each led by the dense ones; the dense alone where there is none."""
    dense = table[table["method"] == DENSE]
    methods = [name for name in table["method"].cat.categories if name in set(table["method"])]
    parts = [
        pd.concat([dense.assign(method=method), table[table["method"] == method]])
        for method in methods
        if method != DENSE
    ]
    return pd.concat(parts).astype({"method": table["method"].dtype}) if parts else dense


def only(spec: Mapping[str, Any], names: Set[str]) -> str:
    """Those fields of a spec, as JSON."""
    return json.dumps({name: spec[name] for name in names if name in spec}, sort_keys=True)


def _means(fits: pd.DataFrame, which: str, score: str) -> pd.DataFrame:
    outcomes = {name: fits["outcome"] == name for name in FAILURES}
    groups = fits.assign(which=which, **outcomes).groupby(
        ["problem", "method", "kept", "which"], observed=True, as_index=False
    )
    table = groups.agg(
        total=("total", "first"),
        density=("density", "first"),
        seeds=(score, "size"),
        n=(score, "count"),
        mean=(score, "mean"),
        deviation=(score, "std"),
        **{name: (name, "sum") for name in FAILURES},
    )
    return pd.DataFrame(table)


def ladder_row(group: pd.DataFrame, form: str, *, unknown: str) -> Sequence[str]:
    """The cells of one method and density: means in the given form, seeds, and what went wrong.

    `unknown` says of the missing ones what they are without.
    """
    first = group.iloc[0]
    counts = {name: first[name] for name in FAILURES} | {f"without {unknown}": first["missing"]}
    return [
        str(first["method"]),
        density_text(first["density"]),
        f"{first['kept']:,}",
        *(mean_text(row.mean, row.low, row.high, form) for row in tuples(group)),
        str(first["seeds"]),
        ", ".join(f"{count} {name}" for name, count in counts.items() if count),
    ]
