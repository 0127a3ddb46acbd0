"""Classifiers: accuracy of every ticket against the share of weights it keeps."""

import json
from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from ..charts.curves import Plot, curve_figure
from ..rows.points import CONFIDENCE, sample_text
from ..statistics.aggregate import from_dense, ladder_points, ladder_table
from .frontier import density_axis

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
    return ladder_table(_points(trials, levels), SCORES, confidence=confidence)


def classification_figure(table: pd.DataFrame) -> go.Figure:
    """Accuracy against density for one problem of a `classification_table`.

    Raises ValueError when that is more than one problem, or when there is no accuracy at all.
    """
    if table["problem"].nunique() != 1:
        raise ValueError("a figure of classifiers shows one problem: choose its rows")
    if not table["n"].any():
        raise ValueError("no classifier has an accuracy")
    noted = from_dense(table).assign(note=lambda rows: "n = " + rows["n"].astype(str))
    return curve_figure(noted, density_axis(table["density"], note=sample_text(table)), PLOT)


def _points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    chosen = trials.loc[trials["kind"] == "classification"]
    described = chosen[["trial_id", "pruner", "seed", "method_key", "method_settings"]].assign(
        name=chosen["image"] + ": " + chosen["task"],
        **{
            end: [
                _with_dataset(network, images)
                for network, images in zip(
                    chosen[f"network_{end}"], chosen[f"image_{ends}"], strict=True
                )
            ]
            for end, ends in (("key", "keys"), ("settings", "settings"))
        },
    )
    points = ladder_points(levels, described)
    if points.empty:
        raise ValueError("no finished level of a classifier in the store")
    return points.astype(dict.fromkeys(SCORES.values(), float))


def _with_dataset(network: str, images: Sequence[str]) -> str:
    return json.dumps({**json.loads(network), "dataset": json.loads(images[0])}, sort_keys=True)
