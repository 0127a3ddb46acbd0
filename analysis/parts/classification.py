"""Classifiers: accuracy of every ticket against the share of weights it keeps."""

import json
from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go

from ..charts.controls import switch
from ..charts.curves import Plot, curve_figure
from ..page.content import Content
from ..page.section import Block, Figure, Section, Table
from ..rows.identity import DEFAULTS, METHOD_FIELDS
from ..rows.points import CONFIDENCE, sample_text
from ..statistics.aggregate import from_dense, ladder_points, ladder_row, ladder_table, only
from .frontier import density_axis

SCORES = {"selected": "accuracy", "final": "accuracy_final"}
"""The columns of `levels`, by which epoch they are of."""

NOTE = """
Accuracy on the held-out test set: selected is at the epoch that validation chose, final after the
last. Points are means over seeds, bars their Student-t intervals, cut off where they are very wide.
"""

HEADS = ("Method", "Density", "Kept", "Selected", "Final", "Seeds", "Note")

KIND = "classification"

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


def sections(shown: Content) -> Iterator[Section]:
    """One per problem of classifiers."""
    if KIND not in shown.compared_kinds:
        return
    table = classification_table(shown.compared_trials, shown.compared_levels)
    for place, (problem, rows) in enumerate(table.groupby("problem", observed=True)):
        name = f"accuracy-{place}"
        blocks = tuple(_blocks(rows, name))
        yield Section(name=f"of-{name}", title=str(problem), blocks=blocks)


def _blocks(rows: pd.DataFrame, place: str) -> Iterator[Block]:
    """The figure where there is anything to draw, and the numbers."""
    drawn = bool(rows["n"].any())
    if drawn:
        yield Figure(
            name="accuracy",
            place=place,
            label="Accuracy against density",
            note=NOTE,
            lines=rows["method"].nunique(),
            figure=classification_figure(rows),
            controls=(switch(f"which-{place}", "Accuracy shown", PLOT.buttons),),
        )
    groups = rows.groupby(["method", "kept"], observed=True, sort=False)
    yield Table(
        label="Mean accuracy by method and density",
        note=f"Mean test accuracy. {sample_text(rows)}." if drawn else "",
        heads=HEADS,
        rows=[ladder_row(group, ".4f", unknown="accuracy") for _, group in groups],
    )


def _points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    chosen = trials.loc[trials["kind"] == KIND]
    specs = [json.loads(text) for text in chosen["spec"]]
    keys = [DEFAULTS | json.loads(text) for text in chosen["canonical"]]
    of_problem = {name for spec in (*specs, *keys) for name in spec} - {*METHOD_FIELDS, "seed"}
    described = chosen[["trial_id", "pruner", "seed"]].assign(
        name=chosen["image"] + ": " + chosen["task"],
        key=[only(spec, of_problem) for spec in keys],
        settings=[only(spec, of_problem) for spec in specs],
        method_key=[only(spec, {*METHOD_FIELDS}) for spec in keys],
        method_settings=[only(spec, {*METHOD_FIELDS}) for spec in specs],
    )
    points = ladder_points(levels, described)
    if points.empty:
        raise ValueError("no finished level of a classifier in the store")
    return points.astype(dict.fromkeys(SCORES.values(), float))
