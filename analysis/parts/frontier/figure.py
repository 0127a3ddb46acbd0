"""The figure of one problem: every fit, means with their intervals, and what they are held to."""

from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...charts.controls import PSNR_SHOWN, Change, menu
from ...charts.style import (
    AXIS_TITLES,
    BROKEN_SYMBOLS,
    FLAW_SYMBOLS,
    FOOT,
    MEASURED_STYLE,
    PALETTE,
    Style,
    base_style,
    density_axis,
    layout,
    method_style,
    numbers,
    plain,
    spread,
)
from ...rows.points import WHICH, distinct_fits, flaws
from ...rows.texts import sample_text

PSNR_COLUMNS = ["psnr_measured_db", *(f"psnr_{which}_db" for which in WHICH)]

FIT_COLUMNS = ["method", "reference", "density", "seed", "outcome", "flaw", *PSNR_COLUMNS]
"""The columns of points that a figure shows."""

MEAN_COLUMNS = [
    *("method", "reference", "density", "seeds", "collapsed"),
    *("measured_db", "mean_db", "low_db", "high_db"),
]
"""The columns of the table that a figure shows."""

Trace = dict[str, Any]


def frontier_figure(points: pd.DataFrame, table: pd.DataFrame) -> go.Figure:
    """PSNR against density for one problem, with buttons to choose which of the three PSNRs.

    `points` and `table` are as from `frontier_points` and `frontier_table`, one problem's rows of
    each. Every fit is a mark whose `customdata` is its row label in `points`.

    Raises ValueError when that is more than one problem, or when there is no PSNR at all.
    """
    if set(points["problem"]) != set(table["problem"]) or points["problem"].nunique() != 1:
        raise ValueError("a frontier figure shows one problem: choose its rows of both tables")
    if not table["n"].any():
        raise ValueError("no fit has a PSNR: a frontier needs a clean image to compare with")
    fits = distinct_fits(points.assign(flaw=flaws(points)))[FIT_COLUMNS]
    traces = {which: list(_traces(fits, table, which)) for which in WHICH}

    def change(which: str) -> Change:
        heights = [trace["y"] for trace in traces[which]]
        return {"y": heights}, {"yaxis.title.text": AXIS_TITLES[which]}

    look = layout(AXIS_TITLES[WHICH[0]]) | {"updatemenus": [menu([PSNR_SHOWN], change)]}
    look["xaxis"] = density_axis(fits["density"], note=sample_text(table))
    look["yaxis"]["range"] = spread(fits[PSNR_COLUMNS].to_numpy().ravel())
    look["yaxis2"] = FOOT
    return go.Figure(traces[WHICH[0]], look)


def _styles(points: pd.DataFrame) -> dict[str, Style]:
    """Styles by method, "dense" last and so on top; the same for every part of one table."""
    bases = list(points["reference"].cat.categories)
    rest = [name for name in points["method"].cat.categories if name not in bases]
    styles = {name: method_style(place) for place, name in enumerate(rest)}
    return styles | {name: base_style(i) for i, name in reversed(list(enumerate(bases)))}


def _traces(fits: pd.DataFrame, table: pd.DataFrame, which: str) -> Iterator[Trace]:
    """All traces, for one of the PSNRs: between these only `y` differs."""
    rows = table.loc[table["which"] == which, MEAN_COLUMNS]
    ends = [fits["density"].max(), fits["density"].min()]
    for value in rows["measured_db"].dropna().head(1):
        yield _level_line(ends, value, "measurement", MEASURED_STYLE)
    ladders = dict(list(rows.groupby("method", observed=True)))
    groups = dict(list(fits.groupby("method", observed=True)))
    for method, style in _styles(fits).items():
        if method not in groups:
            continue
        own = ladders[method]
        base = own["reference"].iloc[0]
        yield _intervals(own, method, style)
        if method == base:
            yield _level_line(ends, own["mean_db"].iloc[0], method, style)
        else:
            yield _mean_line(pd.concat([ladders[base], own]), method, style)
        yield _fit_marks(groups[method], method, style, which)
    yield from _flaw_legend(fits)
    yield from _missing_marks(fits, which)


def _level_line(ends: list[float], value: float, name: str, style: Style) -> Trace:
    """A horizontal line at one value, marked at its dense end if the style says how."""
    return {
        "type": "scatter",
        "x": ends,
        "y": numbers([value] * len(ends)),
        "name": plain(name),
        "mode": "lines+markers" if style.symbol else "lines",
        "line": style.line(1.5),
        "marker": style.marker([9, 0]),
        "hoverinfo": "skip",
        "legendgroup": name,
    }


def _intervals(rows: pd.DataFrame, method: str, style: Style) -> Trace:
    """A vertical bar per density, broken off between densities."""
    bounds = zip(numbers(rows["low_db"]), numbers(rows["high_db"]), strict=True)
    return {
        "type": "scatter",
        "x": [x for density in rows["density"] for x in (density, density, None)],
        "y": [y for low, high in bounds for y in (low, high, None)],
        "name": plain(f"{method}, interval"),
        "mode": "lines",
        "line": {"color": style.colour, "width": 5},
        "opacity": 0.25,
        "hoverinfo": "skip",
        "legendgroup": method,
        "showlegend": False,
    }


def _mean_line(rows: pd.DataFrame, method: str, style: Style) -> Trace:
    """From the dense mean down the ladder; unmarked where crosses say that all fits collapsed."""
    marked = rows["collapsed"] < rows["seeds"]
    return {
        "type": "scatter",
        "x": rows["density"].tolist(),
        "y": numbers(rows["mean_db"]),
        "name": plain(method),
        "mode": "lines+markers",
        "line": style.line(2),
        "marker": style.marker([9 if some else 0 for some in marked]),
        "hoverinfo": "skip",
        "legendgroup": method,
    }


def _fit_marks(fits: pd.DataFrame, method: str, style: Style, which: str) -> Trace:
    flawed = [flaw in FLAW_SYMBOLS for flaw in fits["flaw"]]
    own = f"{style.symbol}-open"
    return {
        "type": "scatter",
        "x": fits["density"].to_numpy(),
        "y": numbers(fits[f"psnr_{which}_db"]),
        "name": plain(f"{method}, fits"),
        "mode": "markers",
        "marker": {
            "color": style.colour,
            "opacity": 1,
            "symbol": [FLAW_SYMBOLS.get(flaw, own) for flaw in fits["flaw"]],
            "size": [12 if bad else 7 for bad in flawed],
            "line": {"color": style.colour, "width": _line_widths(fits["flaw"])},
        },
        "customdata": fits.index.to_numpy(),
        "text": [plain(f"{method}, seed {seed}") for seed in fits["seed"]],
        "hovertemplate": "%{text}<br>density %{x:.3g}<br>%{y:.2f} dB<extra></extra>",
        "legendgroup": method,
        "showlegend": False,
    }


def _line_widths(flaws: Iterable[str]) -> list[float]:
    """Crosses are all line, and are drawn with a thick one."""
    return [3 if flaw in BROKEN_SYMBOLS else 1.5 for flaw in flaws]


def _flaw_legend(fits: pd.DataFrame) -> Iterator[Trace]:
    """An entry for each flaw of fits, whatever their colour."""
    ink = PALETTE["ink"]
    for flaw, symbol in FLAW_SYMBOLS.items():
        if (fits["flaw"] == flaw).any():
            line = {"color": ink, "width": _line_widths([flaw])[0]}
            yield {
                "type": "scatter",
                "x": [1],
                "y": [None],
                "name": f"{flaw} fit",
                "mode": "markers",
                "marker": {"symbol": symbol, "size": 12, "color": ink, "line": line},
            }


def _missing_marks(fits: pd.DataFrame, which: str) -> Iterator[Trace]:
    """Triangles along the foot of the figure for the fits without a PSNR; no trace without."""
    psnrs = fits[[f"psnr_{name}_db" for name in WHICH]]
    some = fits[psnrs.isna().any(axis=1)]
    if len(some):
        styles = _styles(fits)
        colours = [styles[method].colour for method in some["method"]]
        yield {
            "type": "scatter",
            "x": some["density"].tolist(),
            "y": [0 if missing else None for missing in some[f"psnr_{which}_db"].isna()],
            "yaxis": "y2",
            "name": "fit without PSNR",
            "mode": "markers",
            "cliponaxis": False,
            "marker": {"symbol": "triangle-down", "size": 11, "color": colours},
            "customdata": some.index.tolist(),
            "text": [plain(outcome) for outcome in some["outcome"]],
            "hovertemplate": "%{text}<br>density %{x:.3g}<br>no PSNR<extra></extra>",
        }
