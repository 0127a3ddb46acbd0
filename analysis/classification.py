"""Classifiers: accuracy of every ticket against the share of weights it keeps."""

import json
from collections.abc import Set
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from .curves import Plot, curve_figure
from .frontier import density_axis
from .identity import DEFAULTS, DENSE, METHOD_FIELDS
from .naming import distinct_names
from .points import CONFIDENCE, FAILURES, sample_text, with_interval

SCORES = {"selected": "accuracy", "final": "accuracy_final"}
"""The columns of `levels`, by which epoch they are of."""

PLOT = Plot(
    x="density",
    series="method",
    buttons={"selected": "Selected", "final": "Final"},
    titles={
        "selected": "Test accuracy at the validated epoch",
        "final": "Test accuracy after the last epoch",
    },
    hover="density %{x:.3g}<br>accuracy %{y:.4f}",
)


def classification_table(
    trials: pd.DataFrame, levels: pd.DataFrame, *, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """One row per problem, method, density and `which` epoch: mean test accuracy in [0, 1].

    Of the `seeds`, `n` have that accuracy and `missing` have none. `mean` lies in the Student-t
    interval `low` to `high` at that `confidence`; below two seeds there is none (NaN). Selected is
    at the epoch that validation chose, final after the last. The dense network of a seed counts
    once.

    Raises ValueError when no classifier is trained, or `confidence` is not within 0 and 1.
    """
    points = _points(trials, levels)
    fits = points.drop_duplicates(["problem", "method", "kept", "seed"])
    table = pd.concat([_means(fits, which) for which in SCORES], ignore_index=True)
    names = ("mean", "deviation", "n", "low", "high")
    table = with_interval(table, confidence, names).drop(columns="deviation")
    table["missing"] = table["seeds"] - table["n"]
    table["which"] = pd.Categorical(table["which"], categories=list(SCORES), ordered=True)
    order = ["problem", "method", "kept", "which"]
    return table.sort_values(order, ascending=[True, True, False, True], ignore_index=True)


def classification_figure(table: pd.DataFrame) -> go.Figure:
    """Accuracy against density for one problem of a `classification_table`.

    Raises ValueError when that is more than one problem, or when there is no accuracy at all.
    """
    if table["problem"].nunique() != 1:
        raise ValueError("a figure of classifiers shows one problem: choose its rows")
    if not table["n"].any():
        raise ValueError("no classifier has an accuracy")
    noted = _from_dense(table).assign(note=lambda rows: "n = " + rows["n"].astype(str))
    return curve_figure(noted, density_axis(table["density"], note=sample_text(table)), PLOT)


def _from_dense(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of all methods, each led by the dense ones; the dense alone where there is none."""
    dense = table[table["method"] == DENSE]
    methods = [name for name in table["method"].cat.categories if name in set(table["method"])]
    parts = [
        pd.concat([dense.assign(method=method), table[table["method"] == method]])
        for method in methods
        if method != DENSE
    ]
    return pd.concat(parts).astype({"method": table["method"].dtype}) if parts else dense


def _points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    chosen = trials.loc[trials["kind"] == "classification"]
    specs = [json.loads(text) for text in chosen["spec"]]
    keys = [DEFAULTS | json.loads(text) for text in chosen["canonical"]]
    of_problem = {name for spec in (*specs, *keys) for name in spec} - {*METHOD_FIELDS, "seed"}
    described = chosen[["trial_id", "pruner", "seed"]].assign(
        name=chosen["image"] + ": " + chosen["task"],
        key=[_only(spec, of_problem) for spec in keys],
        settings=[_only(spec, of_problem) for spec in specs],
        method_key=[_only(spec, {*METHOD_FIELDS}) for spec in keys],
        method_settings=[_only(spec, {*METHOD_FIELDS}) for spec in specs],
    )
    points = levels.merge(described, on="trial_id", validate="many_to_one")
    if points.empty:
        raise ValueError("no finished level of a classifier in the store")
    points["problem"] = distinct_names(points["name"], points["key"], points["settings"])
    methods = distinct_names(points["pruner"], points["method_key"], points["method_settings"])
    points["method"] = methods.set_categories([DENSE, *methods.categories])
    points.loc[points["kept"] == points["total"], "method"] = DENSE
    return points.astype(dict.fromkeys(SCORES.values(), float))


def _means(fits: pd.DataFrame, which: str) -> pd.DataFrame:
    outcomes = {name: fits["outcome"] == name for name in FAILURES}
    groups = fits.assign(which=which, **outcomes).groupby(
        ["problem", "method", "kept", "which"], observed=True, as_index=False
    )
    score = SCORES[which]
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


def _only(spec: dict[str, Any], names: Set[str]) -> str:
    return json.dumps({name: spec[name] for name in names if name in spec}, sort_keys=True)
