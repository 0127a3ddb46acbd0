"""Generators: how far what their tickets draw is from what they learned."""

import pandas as pd
import plotly.graph_objects as go

from ..charts.curves import Plot, curve_figure
from ..rows.points import CONFIDENCE, sample_text
from ..statistics.aggregate import from_dense, ladder_points, ladder_table
from .frontier import density_axis

KIND = "generator"

SCORES = {"frechet": "frechet", "critic_gap": "critic_gap"}
"""The columns of `levels`, by what is shown."""

PLOT = Plot(
    x="density",
    series="method",
    buttons={"frechet": "Fréchet distance", "critic_gap": "Critic gap"},
    titles={
        "frechet": "Fréchet distance, by pixels",
        "critic_gap": "Critic gap, real less drawn images",
    },
    hover="density %{x:.3g}<br>%{y:.4g}",
)


def generator_table(
    trials: pd.DataFrame, levels: pd.DataFrame, *, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """One row per problem, method, density and `which` score: mean over seeds, and interval.

    A problem is an architecture, its training images and fit. The scores are `frechet`, the Fréchet
    distance of drawn to training images by their pixels, and `critic_gap`, the critic's mean score
    of real images less that of drawn ones: both are 0 for a perfect generator. Other columns are as
    in a `classification_table`.

    Raises ValueError when there is no generator, or `confidence` is not within 0 and 1.
    """
    return ladder_table(generator_points(trials, levels), SCORES, confidence=confidence)


def generator_figure(table: pd.DataFrame) -> go.Figure:
    """Fréchet distance, or critic gap, against density for one problem of a `generator_table`.

    Raises ValueError when that is more than one problem, or when there is no score at all.
    """
    if table["problem"].nunique() != 1:
        raise ValueError("a figure of generators shows one problem: choose its rows")
    if not table["n"].any():
        raise ValueError("no generator has a score")
    noted = from_dense(table).assign(note=lambda rows: "n = " + rows["n"].astype(str))
    return curve_figure(noted, density_axis(table["density"], note=sample_text(table)), PLOT)


def generator_points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per level of a generator: the columns of `levels`, seed, `problem` and `method`.

    Raises ValueError when there is none.
    """
    chosen = trials.loc[trials["kind"] == KIND]
    described = chosen[["trial_id", "pruner", "seed", "method_key", "method_settings"]].assign(
        name=chosen["network_name"], key=chosen["network_key"], settings=chosen["network_settings"]
    )
    points = ladder_points(levels, described)
    if points.empty:
        raise ValueError("no finished level of a generator in the store")
    return points.astype(dict.fromkeys(SCORES.values(), float))
