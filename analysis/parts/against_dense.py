"""What each method loses or gains against the dense network, by density: means of paired fits.

Photos differ by ten decibels and methods by tenths, so that means of PSNRs hide what pairs show.
"""

from collections.abc import Iterator

import pandas as pd
import plotly.graph_objects as go

from ..charts.controls import PSNR_SHOWN
from ..charts.curves import Plot, curve_figure
from ..charts.style import BUTTONS, PALETTE, density_axis
from ..page.content import Content, Part
from ..page.section import Block, Figure, Section, most_per, table_of
from ..rows.choosing import check_single
from ..rows.identity import KINDS
from ..rows.naming import grouped
from ..rows.points import CONFIDENCE, WHICH, described_points
from ..rows.texts import density_text, mean_cells, sample_text
from ..statistics.aggregate import IN_DB, Groups, Unit, score_table
from .verdicts import MARGIN_DB, comparable_pairs, paired_fits

MOST_STUDIES = 8
"""Studies that have a section each; the table of verdicts has all."""

DEEPEST_DB = -2.0
"""Where the axis ends: a network that has lost its layers is ten decibels below, and to show by how
many would hide the tenths that all else is about."""

DODGE = 1.035
"""How far apart two methods are drawn at one density, as a ratio: else intervals would hide each
other."""

WIDEST = 1.2
"""How far apart the first and the last of many methods are drawn at most. At levels of 0.8 each,
those of two densities would mix beyond 1.25, where the outer ones would leave the axis too."""

NOTE = f"""
Fits are paired: the same image, noise, initial weights and seed. Points are mean differences
over images, or over the seeds of a single image; bars are their 95 % Student-t intervals, each by
itself. Unfinished fits are left out, and so are pairs whose dense network is worse than the
measurement; tickets of other images or tasks have a part of their own. Above the dashed line a
method loses less than {MARGIN_DB:g} dB. The axis ends at {DEEPEST_DB:.0f} dB; the table has what is
below.
""".replace("-", "−")

CELLS = {
    "Method": lambda rows: rows[0].method,
    "Density": lambda rows: density_text(rows[0].density),
    **mean_cells([BUTTONS[which] for which in WHICH], end="_db"),
    "n": lambda rows: rows[0].n,
}
"""The cells of a method and density, from its rows, one per PSNR."""

PLOT = Plot(
    x="drawn_at",
    series="method",
    end="_db",
    which=PSNR_SHOWN,
    titles={
        "selected": "PSNR of the selected step − that of dense (dB)",
        "peak": "Peak PSNR − that of dense, an oracle (dB)",
        "final": "PSNR of the last step − that of dense (dB)",
    },
    hover="%{y:+.2f} dB",
    least=DEEPEST_DB,
    apart=True,  # after the last step differences are ten times as large
)


def difference_table(
    trials: pd.DataFrame, levels: pd.DataFrame, *, confidence: float = CONFIDENCE
) -> pd.DataFrame:
    """One row per study, method, density and `which` PSNR: the mean difference from dense in dB.

    A study is a task, network and fit. `mean_db` is over `n` images, seeds averaged first, or over
    the seeds of a single image (`unit`), and lies in the Student-t interval `low_db` to `high_db`
    at that `confidence`, NaN below two. `missing` counts pairs without a PSNR. Unfinished fits are
    left out, and so are pairs whose dense network is worse than the measurement, and tickets that
    were found on other images or tasks: these have a `transfer_table`.

    Raises ValueError when there is no fit of a trajectory or a transfer, or `confidence` is not
    within 0 and 1.
    """
    return differences_of(described_points(trials, levels), confidence=confidence)


def differences_of(points: pd.DataFrame, *, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """The `difference_table` of `described_points`."""
    at_home = (points["kind"] == "trajectory") | (points["source_key"] == points["target_key"])
    pairs = comparable_pairs(paired_fits(points[at_home], WHICH))
    pairs = pairs.astype({"method": pd.CategoricalDtype(sorted(pairs["method"].unique()))})
    single = pairs.groupby("study")["image"].transform("nunique") == 1
    parts = [
        _means(pairs[single == alone], "seed" if alone else "image", confidence)
        for alone in (False, True)
    ]
    order, rising = ["study", "method", "density", "which"], [True, True, False, True]
    return pd.concat(parts).sort_values(order, ascending=rising, ignore_index=True)


def difference_figure(table: pd.DataFrame) -> go.Figure:
    """The mean differences from dense by density, for one study of a `difference_table`.

    Raises ValueError when that is more than one study, or when there is no difference at all.
    """
    check_single(table, "study", "a figure of differences shows one study: choose its rows")
    if not table["n"].any():
        raise ValueError("no pair has a PSNR: a difference needs a clean image")
    table = table[table["method"].isin(table.loc[table["n"] > 0, "method"])]
    notes = table["density"].map(density_text) + ", n = " + table["n"].astype(str)
    shown = table.assign(note="density " + notes, drawn_at=_beside_each_other(table))
    figure = curve_figure(shown, density_axis(table["density"], note=_sample_text(table)), PLOT)
    figure.add_hline(0, line={"color": PALETTE["ink"], "width": 1}, layer="below")
    margin = {"color": PALETTE["muted"], "width": 1, "dash": "dash"}
    figure.add_hline(-MARGIN_DB, line=margin, layer="below")
    return figure


def sections(shown: Content) -> Iterator[Section]:
    """One per study of several images or seeds, at most `MOST_STUDIES`.

    The difference of a single pair is to be seen in the frontier.
    """
    table = differences_of(shown.described)
    table = table[table.groupby("study")["n"].transform("max") > 1]
    yield from most_per(
        table,
        "study",
        "against-dense",
        _blocks,
        most=MOST_STUDIES,
        title="Against the dense network, {}",
        more="{:,} more such studies are in the table of verdicts alone.",
    )


def _blocks(rows: pd.DataFrame, number: int) -> Iterator[Block]:
    yield Figure(
        name="difference",
        place=f"difference-{number}",
        label="Difference from the dense network against density",
        note=NOTE,
        lines=rows["method"].nunique(),
        figure=difference_figure(rows),
        controls=(PSNR_SHOWN,),
    )
    yield table_of(
        grouped(rows, "method", "density"),
        CELLS,
        name="difference",
        label="Mean difference from dense by method and density",
        note=f"Mean difference in dB. {_sample_text(rows)}.",
    )


def _means(pairs: pd.DataFrame, unit: Unit, confidence: float) -> pd.DataFrame:
    groups = Groups(
        fits=pairs,
        by=["study", "method", "density"],
        unit=unit,
        seed="seed",
        confidence=confidence,
    )
    scores = {which: f"difference_{which}_db" for which in WHICH}
    found = score_table(groups, scores, failures=())
    return found.rename(columns=IN_DB).assign(unit=unit)


def _sample_text(rows: pd.DataFrame) -> str:
    return sample_text(rows, f"{rows['unit'].iat[0]}s")


def _beside_each_other(table: pd.DataFrame) -> pd.Series:
    """The density at which each row is drawn."""
    places = table["method"].cat.remove_unused_categories().cat.codes
    last = int(places.max())
    apart: float = min(DODGE, WIDEST ** (1 / max(1, last)))
    return table["density"] * apart ** (last / 2 - places)


PART = Part(label="Against dense", names={"difference"}, sections=sections, kinds={*KINDS})
