"""Generators: how far what their tickets draw is from what they learned."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ..charts.controls import Choice
from ..charts.curves import Plot
from ..page.content import Content, Part
from ..page.gallery import Pictures, caption, density_caption
from ..page.section import Block, Gallery, Section, Strip, Tile, one_per
from ..rows.naming import ENDS, tuples
from ..rows.points import CONFIDENCE
from ..rows.texts import density_text, seeds_text
from .scored import ScoredNetworks
from .sensing.section import INTRODUCTION

KIND = "generator"

SCORES = {"frechet": "frechet", "critic_gap": "critic_gap"}
"""The columns of `levels`, by what is shown."""

SCORED = ScoredNetworks(
    noun="generator",
    score="score",
    scores=SCORES,
    form=".4g",
    plot=Plot(
        x="density",
        series="method",
        which=Choice(
            name="which",
            legend="Shown",
            labels={"frechet": "Fréchet distance", "critic_gap": "Critic gap"},
            row=True,
        ),
        titles={
            "frechet": "Fréchet distance, by pixels",
            "critic_gap": "Critic gap, real less drawn images",
        },
        hover="density %{x:.3g}<br>%{y:.4g}",
    ),
    name="generators",
    label="Fréchet distance against density",
    note="""
The Fréchet distance compares pixels of drawn and training images, without a network of its own, so
it is not the FID of papers; the critic gap is by each generator's own critic, so it compares
generators only roughly. Both are 0 for a perfect generator. Points are means over seeds, bars their
Student-t intervals, cut off where they are very wide; lines begin at the dense generator.
""",
    numbers_label="Scores by method and density",
    numbers_note="Means over seeds.",
    unscored="No generator has a score.",
    heads=("Fréchet", "Critic gap"),
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
    return SCORED.table(_points(trials, levels), confidence=confidence)


def generator_figure(table: pd.DataFrame) -> go.Figure:
    """Fréchet distance, or critic gap, against density for one problem of a `generator_table`.

    Raises ValueError when that is more than one problem, or when there is no score at all.
    """
    return SCORED.figure(table)


def sections(shown: Content) -> Iterator[Section]:
    """One per architecture, training set and fit."""
    sheets = shown.once(pictured)

    def blocks(rows: pd.DataFrame, place: str) -> Iterator[Block]:
        own = sheets[sheets["problem"] == rows["problem"].iloc[0]]
        return SCORED.blocks(rows, place, _gallery(own, shown.pictures))

    table = generator_table(shown.compared_trials, shown.compared_levels)
    yield from one_per(table, "problem", "generator", blocks, title="Generators: {}")


def _points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    chosen = trials.loc[trials["kind"] == KIND]
    names, keys, settings = (chosen[f"network_{end}"] for end in ENDS)
    return SCORED.points(chosen, levels, name=names, key=keys, settings=settings)


def pictured(shown: Content) -> pd.DataFrame:
    """The generators that have sample sheets on the page: by problem the seed with the most."""
    points = _points(shown.compared_trials, shown.compared_levels)
    seeds = points.groupby("problem", observed=True)["seed"].agg(lambda seed: seed.mode().iloc[0])
    own = points[points["seed"] == points["problem"].map(seeds).astype(points["seed"].dtype)]
    return own.drop_duplicates(["problem", "method", "kept"])


def _gallery(points: pd.DataFrame, pictures: Pictures) -> Gallery:
    """Images that each generator draws, by method and density, dense first."""
    dense_first = points.sort_values("kept", ascending=False)
    strips = [
        Strip(title=str(method), tiles=[_tile(fit, pictures) for fit in tuples(own)], sheets=True)
        for method, own in dense_first.groupby("method", observed=True)
    ]
    return Gallery(title=f"Images drawn, seed {seeds_text(points)}", blocks=strips)


def _tile(fit: Any, pictures: Pictures) -> Tile:
    known = "no Fréchet distance" if pd.isna(fit.frechet) else f"Fréchet {fit.frechet:.4g}"
    return Tile(
        picture=pictures.place(fit, "samples"),
        alt=f"Images drawn by {fit.method} at density {density_text(fit.density)}",
        head=density_caption(fit),
        line=caption(fit, known),
    )


PART = Part(
    label="Generators",
    names={"generators"},
    sections=sections,
    pictured=pictured,
    kinds={KIND},
    introduction=INTRODUCTION,
)
