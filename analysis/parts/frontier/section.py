"""The sections of the frontier: one per problem, with its figure, pictures and numbers."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import pandas as pd

from ...charts.controls import PSNR_SHOWN
from ...page.content import Content, Part
from ...page.gallery import Pictures
from ...page.section import Block, Emphasis, Facts, Figure, Section, Text, Words, table_of
from ...rows.choosing import most_frequent
from ...rows.identity import KINDS
from ...rows.naming import flat_settings, grouped
from ...rows.points import distinct_fits, without_keys
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
from .cards import ALBUM, cards, gallery
from .figure import frontier_figure
from .table import frontier_table

BELOW = "below the measurement"

MOST_PROBLEMS = 12
"""The problems that have a section each; the explorer has all."""

INTRODUCTION: tuple[Words, ...] = (
    """Each network below can only produce images. It is pruned level by level and, with what is
    left of it, fitted to a degraded image; the figures show how good the restored image is, as PSNR
    against the clean one, and how few weights that takes. Methods are compared at equal density,
    from the same initial weights, latent and noise.""",
    (
        "Every fit has three PSNRs. ",
        Emphasis("Selected", strong=True),
        """ is at the step that a rule chose without the clean image: what one would get in use.
        """,
        Emphasis("Peak", strong=True),
        """ is the best over the fit, found by looking at the clean image: an upper bound, and what
        papers report. """,
        Emphasis("Final", strong=True),
        " is at the last step.",
    ),
)

NOTE = """
Density is kept ÷ prunable weights. Open marks are fits, one a seed; lines join their means. Pale
bars are Student-t intervals of the mean over seeds within this one image; with few seeds they are
wide and may leave the axis. The dense fit of a seed is the same for all methods and counted once;
other initial weights, a clean target or several images at once have dense lines of their own.
A cross is a collapsed fit: the mask leaves no path from input to output, the image is one flat
colour, and its PSNR is real. An hourglass is an unfinished fit: its best step is in its last
hundredth, so more steps would restore better. Point at a mark, or tap it, to see what that fit
restored.
"""

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
        {f"without {row.which} PSNR": row.missing for row in rows}
        | {"unfinished": rows[0].unfinished, BELOW: rows[0].below_measured},
    ),
}
"""The cells of a method and density, from its rows, one per PSNR."""

SHOWN = replace(PSNR_SHOWN, legend="PSNR and pictures shown")

NO_FIGURE = Text("There is no clean image to compare with, so no PSNR to plot.")


def pictured(shown: Content) -> pd.DataFrame:
    """All fits of the frontiers: each has a card at its mark."""
    return distinct_fits(shown.once(_points))


def sections(shown: Content) -> Iterator[Section]:
    """One per problem, of the `MOST_PROBLEMS` with the most fits; the first says how many more."""
    points = shown.once(_points)
    fits, table = distinct_fits(points), frontier_table(points)
    left = shown.described["problem"].nunique() - points["problem"].nunique()
    more = Text(
        f"The {points['problem'].nunique()} problems with the most fits have a part of this page "
        f"each. {left:,} more are in the explorer alone."
    )
    for place, (problem, own) in enumerate(fits.groupby("problem", observed=True)):
        rows = table[table["problem"] == problem]
        yield Section(
            name=f"problem-{place}",
            title=str(problem),
            blocks=(*[more] * (left > 0 and not place), *_blocks(own, rows, place, shown.pictures)),
            cards=partial(cards, own, shown.pictures),
            neighbours=partial(ALBUM.neighbours, own, shown.pictures),
        )


def _points(shown: Content) -> pd.DataFrame:
    points = without_keys(shown.described)
    problems = most_frequent(points["problem"], MOST_PROBLEMS)
    return points[points["problem"].isin(problems)]


def _blocks(
    fits: pd.DataFrame, rows: pd.DataFrame, place: int, pictures: Pictures
) -> Iterator[Block]:
    """Settings, the figure, pictures and numbers of one problem."""
    yield from _settings(fits)
    yield from map(Text, _warnings(fits))
    sample = ""
    if rows["n"].any():
        sample = (
            f" {sample_text(rows)}. {apart_text(rows.loc[rows['n'] > 0, 'n'])} {loss_text(fits)}"
        )
        yield Figure(
            name="frontier",
            place=f"chart-{place}",
            label="PSNR against density; the numbers are in the table below",
            note=f"{NOTE}{loss_text(fits)}",
            lines=fits["method"].nunique(),
            figure=frontier_figure(fits, rows),
            controls=(SHOWN,),
            carded=True,
        )
    else:
        yield SHOWN
        yield NO_FIGURE
    yield gallery(fits, pictures)
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
    steps = f", {settings['fit.steps']} steps a fit" if "fit.steps" in settings else ""
    yield Text(
        f"Image {first['image']}, task {first['task']}. Network {first['prior']}, "
        f"{first['total']:,} prunable weights{steps}. Seeds: {seeds_text(fits)}."
    )
    yield Facts(title="All settings", rows=settings)


PART = Part(sections=sections, pictured=pictured, kinds={*KINDS}, introduction=INTRODUCTION)
