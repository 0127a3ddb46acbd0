"""The frontier: PSNR of every ticket against the share of weights it keeps."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lip_ray.records import Outcome

from ..charts.style import (
    AXIS_TITLES,
    BUTTONS,
    MEASURED_STYLE,
    PALETTE,
    Style,
    base_style,
    layout,
    log_axis,
    menu,
    method_style,
    numbers,
    plain,
    spread,
)
from ..rows.points import (
    CONFIDENCE,
    WHICH,
    density_text,
    distinct_fits,
    sample_text,
    sparsity_text,
)
from ..statistics.aggregate import IN_DB, SCORES, Groups, dense_first, score_table

BROKEN_SYMBOLS = {Outcome.COLLAPSED: "x-thin", Outcome.DIVERGED: "asterisk"}
"""Marks of fits that went wrong but have a PSNR, whatever the method's own symbol."""

PSNR_COLUMNS = ["psnr_measured_db", *(f"psnr_{which}_db" for which in WHICH)]

FIT_COLUMNS = ["method", "reference", "density", "seed", "outcome", *PSNR_COLUMNS]
"""Of the points those that a figure shows."""

MEAN_COLUMNS = [
    *("method", "reference", "density", "seeds", "collapsed"),
    *("measured_db", "mean_db", "low_db", "high_db"),
]
"""Of the table those that a figure shows."""


def frontier_table(points: pd.DataFrame, *, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """One row per problem, method, density and `which` PSNR: its mean over seeds, and interval.

    Of the `seeds`, `n` have that PSNR and `missing` have none. `mean_db` lies in the Student-t
    interval `low_db` to `high_db` at that `confidence`; below two seeds there is none (NaN).
    `effective` and `measured_db` are means over the seeds that have them; `collapsed`, `diverged`
    and `failed` count fits. `reference` is the dense method that the method's ladder begins with.

    Raises ValueError when `confidence` is not within 0 and 1.
    """
    by = ["problem", "method", "kept"]
    groups = Groups(fits=distinct_fits(points), by=by, confidence=confidence)
    means = {"effective": "effective", "measured_db": "psnr_measured_db"}
    same = ["reference", "total", "density"]
    table = score_table(groups, SCORES, same=same, means=means).rename(columns=IN_DB)
    return dense_first(table, [*by, "which"])


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
    fits = distinct_fits(points)[FIT_COLUMNS]
    traces = {which: _traces(fits, table, which) for which in WHICH}
    look = layout(AXIS_TITLES[WHICH[0]]) | {"updatemenus": [_switch(traces)]}
    look["xaxis"] = density_axis(fits["density"], note=sample_text(table))
    look["yaxis"]["range"] = _psnr_range(fits)
    look["yaxis2"] = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
    return go.Figure(traces[WHICH[0]], look)


def density_axis(densities: Iterable[float], *, note: str) -> dict[str, Any]:
    """From dense on the left to sparse on the right, with sparsity below density."""
    labels = {one: f"{density_text(one)}<br>{sparsity_text(one)}" for one in densities}
    return log_axis(labels, f"Density (below it: sparsity)<br><sub>{note}</sub>")


def _styles(points: pd.DataFrame) -> dict[str, Style]:
    """By method, "dense" last and so on top; the same for every part of one table."""
    bases = list(points["reference"].cat.categories)
    rest = [name for name in points["method"].cat.categories if name not in bases]
    styles = {name: method_style(place) for place, name in enumerate(rest)}
    return styles | {name: base_style(i) for i, name in reversed(list(enumerate(bases)))}


def _traces(fits: pd.DataFrame, table: pd.DataFrame, which: str) -> list[dict[str, Any]]:
    """All traces, for one of the PSNRs: between these only `y` differs."""
    rows = table.loc[table["which"] == which, MEAN_COLUMNS]
    ends = [fits["density"].max(), fits["density"].min()]
    measured = rows["measured_db"].dropna().head(1)
    traces = [_level_line(ends, value, "measurement", MEASURED_STYLE) for value in measured]
    ladders = dict(list(rows.groupby("method", observed=True)))
    groups = dict(list(fits.groupby("method", observed=True)))
    for method, style in _styles(fits).items():
        if method not in groups:
            continue
        own, group = ladders[method], groups[method]
        base = own["reference"].iloc[0]
        if method == base:
            line = _level_line(ends, own["mean_db"].iloc[0], method, style)
        else:
            line = _mean_line(pd.concat([ladders[base], own]), method, style)
        traces += [_intervals(own, method, style), line, _fit_marks(group, method, style, which)]
    return traces + _broken_legend(fits) + _missing_marks(fits, which)


def _level_line(ends: list[float], value: float, name: str, style: Style) -> dict[str, Any]:
    """A horizontal line at one value, marked at its dense end if the style says how."""
    return {
        "type": "scatter",
        "x": ends,
        "y": numbers([value] * len(ends)),
        "name": plain(name),
        "mode": "lines+markers" if style.symbol else "lines",
        "line": {"color": style.colour, "dash": style.dash, "width": 1.5},
        "marker": {"symbol": style.symbol, "size": [9, 0], "opacity": 1},
        "hoverinfo": "skip",
        "legendgroup": name,
    }


def _intervals(rows: pd.DataFrame, method: str, style: Style) -> dict[str, Any]:
    """A vertical bar per density, broken off between densities."""
    x = [x for density in rows["density"] for x in (density, density, None)]
    bounds = zip(numbers(rows["low_db"]), numbers(rows["high_db"]), strict=True)
    return {
        "type": "scatter",
        "x": x,
        "y": [y for low, high in bounds for y in (low, high, None)],
        "name": plain(f"{method}, interval"),
        "mode": "lines",
        "line": {"color": style.colour, "width": 5},
        "opacity": 0.25,
        "hoverinfo": "skip",
        "legendgroup": method,
        "showlegend": False,
    }


def _mean_line(rows: pd.DataFrame, method: str, style: Style) -> dict[str, Any]:
    """From the dense mean down the ladder; unmarked where crosses say that all fits collapsed."""
    marked = rows["collapsed"] < rows["seeds"]
    return {
        "type": "scatter",
        "x": rows["density"].tolist(),
        "y": numbers(rows["mean_db"]),
        "name": plain(method),
        "mode": "lines+markers",
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {
            "symbol": style.symbol,
            "size": [9 if some else 0 for some in marked],
            "opacity": 1,
        },
        "hoverinfo": "skip",
        "legendgroup": method,
    }


def _fit_marks(fits: pd.DataFrame, method: str, style: Style, which: str) -> dict[str, Any]:
    broken = [outcome in BROKEN_SYMBOLS for outcome in fits["outcome"]]
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
            "symbol": [BROKEN_SYMBOLS.get(outcome, own) for outcome in fits["outcome"]],
            "size": [12 if bad else 7 for bad in broken],
            "line": {"color": style.colour, "width": [3 if bad else 1.5 for bad in broken]},
        },
        "customdata": fits.index.to_numpy(),
        "text": [plain(f"{method}, seed {seed}") for seed in fits["seed"]],
        "hovertemplate": "%{text}<br>density %{x:.3g}<br>%{y:.2f} dB<extra></extra>",
        "legendgroup": method,
        "showlegend": False,
    }


def _broken_legend(fits: pd.DataFrame) -> list[dict[str, Any]]:
    """An entry for each way in which fits went wrong, whatever their colour."""
    line = {"color": PALETTE["ink"], "width": 3}
    return [
        {
            "type": "scatter",
            "x": [1],
            "y": [None],
            "name": f"{outcome} fit",
            "mode": "markers",
            "marker": {"symbol": symbol, "size": 12, "color": PALETTE["ink"], "line": line},
        }
        for outcome, symbol in BROKEN_SYMBOLS.items()
        if (fits["outcome"] == outcome).any()
    ]


def _missing_marks(fits: pd.DataFrame, which: str) -> list[dict[str, Any]]:
    """Triangles along the foot of the figure for the fits without a PSNR; no trace without."""
    psnrs = fits[[f"psnr_{name}_db" for name in WHICH]]
    some = fits[psnrs.isna().any(axis=1)]
    if some.empty:
        return []
    styles = _styles(fits)
    return [
        {
            "type": "scatter",
            "x": some["density"].tolist(),
            "y": [0 if missing else None for missing in some[f"psnr_{which}_db"].isna()],
            "yaxis": "y2",
            "name": "fit without PSNR",
            "mode": "markers",
            "cliponaxis": False,
            "marker": {
                "symbol": "triangle-down",
                "size": 11,
                "color": [styles[method].colour for method in some["method"]],
            },
            "customdata": some.index.tolist(),
            "text": [plain(outcome) for outcome in some["outcome"]],
            "hovertemplate": "%{text}<br>density %{x:.3g}<br>no PSNR<extra></extra>",
        }
    ]


def _switch(traces: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Buttons that replace every trace's y; the first is `WHICH[0]`."""
    buttons = []
    for which in WHICH:
        heights = [trace["y"] for trace in traces[which]]
        change = [{"y": heights}, {"yaxis.title.text": AXIS_TITLES[which]}]
        buttons.append({"label": BUTTONS[which], "method": "update", "args": change})
    return menu(buttons)


def _psnr_range(fits: pd.DataFrame) -> list[float]:
    """Room for every PSNR of every fit, so that the axis stays while the switch is used."""
    return spread(fits[PSNR_COLUMNS].to_numpy().ravel())
