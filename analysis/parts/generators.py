"""Generators: how far what their tickets draw is from what they learned."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ..charts.controls import switch
from ..charts.curves import Plot, curve_figure
from ..page.content import NO_FITS, Content
from ..page.gallery import caption, density_caption
from ..page.pictures import Pictures
from ..page.section import Block, Figure, Gallery, Section, Strip, Table, Tile
from ..rows.naming import tuples
from ..rows.points import CONFIDENCE, density_text, sample_text
from ..statistics.aggregate import from_dense, ladder_points, ladder_row, ladder_table
from .frontier import density_axis

KIND = "generator"

HEADS = ("Method", "Density", "Kept", "Fréchet", "Critic gap", "Seeds", "Note")

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

NOTE = """
The Fréchet distance compares pixels of drawn and training images, without a network of its own, so
it is not the FID of papers; the critic gap is by each generator's own critic, so it compares
generators only roughly. Both are 0 for a perfect generator. Points are means over seeds, bars their
Student-t intervals, cut off where they are very wide; lines begin at the dense generator.
"""


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


def pictured(shown: Content) -> pd.DataFrame:
    """The generators that have sample sheets on the page."""
    return shown.once(_sheeted)


def sections(shown: Content) -> Iterator[Section]:
    """One per architecture, training set and fit."""
    if KIND not in shown.compared_kinds:
        return
    table = generator_table(shown.compared_trials, shown.compared_levels)
    points = shown.once(_sheeted)
    for place, (problem, rows) in enumerate(table.groupby("problem", observed=True)):
        name = f"generator-{place}"
        own = points[points["problem"] == problem]
        yield Section(
            name=f"of-{name}",
            title=f"Generators: {problem}",
            blocks=tuple(_blocks(rows, own, name, shown.pictures)),
        )


def _sheeted(shown: Content) -> pd.DataFrame:
    if KIND not in shown.compared_kinds:
        return NO_FITS
    return sheet_points(generator_points(shown.compared_trials, shown.compared_levels))


def _blocks(
    rows: pd.DataFrame, sheets: pd.DataFrame, place: str, pictures: Pictures
) -> Iterator[Block]:
    drawn = bool(rows["n"].any())
    if drawn:
        yield Figure(
            name="generators",
            place=place,
            label="Fréchet distance against density",
            note=NOTE,
            lines=rows["method"].nunique(),
            figure=generator_figure(rows),
            controls=(switch(f"which-{place}", "Shown", PLOT.buttons),),
        )
    yield _sheets(sheets, pictures)
    groups = rows.groupby(["method", "kept"], observed=True, sort=False)
    yield Table(
        label="Scores by method and density",
        note=f"Means over seeds. {sample_text(rows)}." if drawn else "No generator has a score.",
        heads=HEADS,
        rows=[ladder_row(group, ".4g", unknown="score") for _, group in groups],
    )


def sheet_points(points: pd.DataFrame) -> pd.DataFrame:
    """The generators that a page has sample sheets of: by problem the seed with the most."""
    seeds = points.groupby("problem", observed=True)["seed"].agg(lambda seed: seed.mode().iloc[0])
    own = points[points["seed"] == points["problem"].map(seeds).astype(points["seed"].dtype)]
    return own.drop_duplicates(["problem", "method", "kept"])


def _sheets(points: pd.DataFrame, pictures: Pictures) -> Gallery:
    """Images that each generator draws, by method and density."""
    seeds = ", ".join(str(seed) for seed in sorted(set(points["seed"])))
    strips = [
        Strip(title=str(method), tiles=_sheet_tiles(own, pictures), sheets=True)
        for method, own in points.groupby("method", observed=True)
    ]
    return Gallery(title=f"Images drawn, seed {seeds}", blocks=strips)


def _sheet_tiles(points: pd.DataFrame, pictures: Pictures) -> list[Tile]:
    """One sheet per density of a method, dense first."""
    return [
        Tile(
            picture=pictures.place(fit, "samples"),
            alt=f"Images drawn by {fit.method} at density {density_text(fit.density)}",
            head=density_caption(fit),
            line=_sheet_line(fit),
        )
        for fit in tuples(points.sort_values("kept", ascending=False))
    ]


def _sheet_line(fit: Any) -> str:
    unknown = pd.isna(fit.frechet)
    return caption(fit, "no Fréchet distance" if unknown else f"Fréchet {fit.frechet:.4g}")
