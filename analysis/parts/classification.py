"""Classifiers: accuracy of every ticket against the share of weights it keeps."""

from collections.abc import Iterator, Sequence

import pandas as pd
import plotly.graph_objects as go

from ..charts.controls import Choice
from ..charts.curves import Plot
from ..page.content import Content, Part
from ..page.section import Section, one_per
from ..rows.naming import joined
from ..rows.points import CONFIDENCE
from .scored import ScoredNetworks

KIND = "classification"

SCORED = ScoredNetworks(
    noun="classifier",
    score="accuracy",
    scores={"selected": "accuracy", "final": "accuracy_final"},
    form=".4f",
    plot=Plot(
        x="density",
        series="method",
        which=Choice(
            name="which",
            legend="Accuracy shown",
            labels={"selected": "Selected", "final": "Final"},
            row=True,
        ),
        titles={
            "selected": "Test accuracy at the validated epoch",
            "final": "Test accuracy after the last epoch",
        },
        hover="density %{x:.3g}<br>accuracy %{y:.4f}",
    ),
    name="accuracy",
    label="Accuracy against density",
    note="""
Accuracy on the held-out test set: selected is at the epoch that validation chose, final after the
last. Points are means over seeds, bars their Student-t intervals, cut off where they are very wide.
""",
    numbers_label="Mean accuracy by method and density",
    numbers_note="Mean test accuracy.",
    heads=("Selected", "Final"),
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
    chosen = trials.loc[trials["kind"] == KIND]
    points = SCORED.points(
        chosen,
        levels,
        name=chosen["image"] + ": " + chosen["task"],
        key=list(map(_with_dataset, chosen["network_key"], chosen["image_keys"])),
        settings=list(map(_with_dataset, chosen["network_settings"], chosen["image_settings"])),
    )
    return SCORED.table(points, confidence=confidence)


def classification_figure(table: pd.DataFrame) -> go.Figure:
    """Accuracy against density for one problem of a `classification_table`.

    Raises ValueError when that is more than one problem, or when there is no accuracy at all.
    """
    return SCORED.figure(table)


def sections(shown: Content) -> Iterator[Section]:
    """One per problem of classifiers."""
    table = classification_table(shown.compared_trials, shown.compared_levels)
    yield from one_per(table, "problem", "accuracy", SCORED.blocks)


def _with_dataset(network: str, images: Sequence[str]) -> str:
    return joined(network, dataset=images[0])


PART = Part(label="Classification", names={"accuracy"}, sections=sections, kinds={KIND})
