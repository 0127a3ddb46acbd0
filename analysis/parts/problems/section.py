"""The sections of single problems: one for each, with its pictures and numbers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...charts.controls import PSNR_SHOWN
from ...page.content import Content, Frames, Part
from ...page.section import Block, Facts, Figure, Section, Text, table_of
from ...rows.choosing import most_frequent
from ...rows.identity import KINDS
from ...rows.naming import flat_settings, grouped
from ...rows.points import BELOW_MEASURED, UNFINISHED, distinct_fits, without_keys
from ...rows.texts import (
    density_text,
    known_text,
    mean_cells,
    sample_text,
    seeds_text,
    wrong_text,
)
from ..differences import apart_text
from ..stopping import loss_text
from .cards import cards, gallery, neighbours
from .details import NO_DETAILS, Details, details_of
from .grid import grid_figure, grid_fits, grid_pngs
from .table import problem_table

MOST_PROBLEMS = 12
"""The problems that have a section each; the frontier has all."""

NUMBERS_NOTE = """
Mean PSNR in dB over seeds and, in brackets, its Student-t interval. Kept counts prunable weights;
effective is the mean of those on a path from input to output.
"""

CELLS = {
    "Method": lambda rows: rows[0].method,
    "Density": lambda rows: density_text(rows[0].density),
    "Kept": lambda rows: known_text(rows[0].kept),
    "Effective": lambda rows: known_text(rows[0].effective),
    **mean_cells(["Selected", "Peak", "Final"], end="_db"),
    "Seeds": lambda rows: known_text(rows[0].seeds),
    "Note": lambda rows: wrong_text(
        rows[0],
        _lacking(rows) | {UNFINISHED: rows[0].unfinished, BELOW_MEASURED: rows[0].below_measured},
    ),
}
"""The cells of a method and density, from its rows, one per PSNR."""


def _lacking(rows: Sequence[Any]) -> dict[str, int]:
    """The fits without each PSNR; none is counted where no fit has any, as of a measured photo."""
    if all(row.missing == row.seeds for row in rows):
        return {}
    return {f"without {row.which} PSNR": row.missing for row in rows}


SHOWN = replace(PSNR_SHOWN, legend="Pictures shown")

NO_FIGURE = Text("There is no clean image to compare with, so no PSNR to plot.")


def pictured(shown: Content) -> pd.DataFrame:
    """All fits of these problems: each has a card at its mark."""
    return distinct_fits(shown.once(_points))


def sections(shown: Content) -> Iterator[Section]:
    """One per problem, of the `MOST_PROBLEMS` with the most fits; the first says how many more."""
    points = shown.once(_points)
    fits, table = distinct_fits(points), problem_table(points)
    left = shown.described["problem"].nunique() - points["problem"].nunique()
    more = Text(
        f"The {points['problem'].nunique()} problems with the most fits have a part of this page "
        f"each. {left:,} more are in the frontier alone."
    )
    for place, (problem, own) in enumerate(fits.groupby("problem", observed=True)):
        rows = table[table["problem"] == problem]
        yield Section(
            name=f"problem-{place}",
            title=str(problem),
            blocks=(
                *[more] * (left > 0 and not place),
                *_blocks(shown, own, rows, place),
            ),
            cards=partial(cards, own, shown.pictures, partial(shown.once, _details)),
            neighbours=partial(neighbours, own, shown.pictures),
            sweeps=lambda: shown.once(_details).sweeps,
        )


def _points(shown: Content) -> pd.DataFrame:
    points = without_keys(shown.described)
    problems = most_frequent(points["problem"], MOST_PROBLEMS)
    return points[points["problem"].isin(problems)]


def _details(shown: Content) -> Details:
    """Those of the fits that have pictures, where any picture is shown."""
    return details_of(shown, pictured(shown)) if shown.room else NO_DETAILS


def _grid(store: Frames, fits: pd.DataFrame, choice: Mapping[str, Any]) -> go.Figure:
    """The grid of a problem, whose pictures are read once somebody asks for it."""
    stored = store.frame("reconstructions", trials=set(fits["trial_id"]))
    return grid_figure(fits, grid_pngs(stored), choice[SHOWN.name])


def _blocks(shown: Content, fits: pd.DataFrame, rows: pd.DataFrame, place: int) -> Iterator[Block]:
    """Settings, the figure, pictures and numbers of one problem."""
    yield from _settings(fits)
    yield from map(Text, _warnings(fits))
    sample = ""
    if rows["n"].any():
        sample = (
            f" {sample_text(rows)}. {apart_text(rows.loc[rows['n'] > 0, 'n'])} {loss_text(fits)}"
        )
    else:
        yield NO_FIGURE
    yield SHOWN
    yield gallery(fits, shown.pictures)
    pictured = shown.having("reconstructions", fits)
    if len(pictured):
        yield Figure(
            name="grid",
            place=f"grid-{place}",
            label="Restorations by method and density",
            note="",
            lines=0,
            controls=(SHOWN,),
            draw=partial(_grid, shown.store, grid_fits(pictured)),
            paper=True,
        )
    yield table_of(
        grouped(rows, "method", "kept"),
        CELLS,
        label="Mean PSNR by method and density",
        name="frontier",
        note=NUMBERS_NOTE + sample,
    )


def _warnings(fits: pd.DataFrame) -> Iterator[str]:
    """Why nothing can be compared with the dense networks of a problem; nothing where it can."""
    dense = fits[fits["kept"] == fits["total"]]
    if not len(dense):
        return
    if dense["below_measured"].all():
        yield (
            "The dense network restores worse than the measurement, even at its best step: nothing "
            "here is a restoration, and there is no verdict."
        )
    elif (dense["below_measured"] | dense["unfinished"]).all():
        yield (
            "The fits of the dense network are unfinished: more steps would restore better, and "
            "there is no verdict."
        )


def _settings(fits: pd.DataFrame) -> Iterator[Block]:
    """The settings that matter most as a sentence, all of them folded away."""
    settings = flat_settings(fits["settings"].iloc[0])
    first = fits.iloc[0]
    steps = f", {settings['fit.steps']} steps per fit" if "fit.steps" in settings else ""
    yield Text(
        f"Image {first['image']}, task {first['task']}. Network {first['prior']}, "
        f"{first['total']:,} prunable weights{steps}. Seeds: {seeds_text(fits)}."
    )
    yield Facts(title="All settings", rows=settings)


PART = Part(
    label="Restorations",
    names={"frontier", "grid"},
    sections=sections,
    pictured=pictured,
    kinds={*KINDS},
)
