"""Lines of means with their intervals over a log axis, with buttons for which score is shown."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from .controls import Change, Choice, menu
from .style import Style, layout, method_style, numbers, plain, spread


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Which columns of a long table are drawn, and what they are called."""

    x: str
    series: str
    end: str = ""
    """How the columns mean, low and high end."""
    which: Choice
    """The score that is shown, by the column `which`."""
    titles: Mapping[str, str]
    """The vertical axis, by `which`."""
    hover: str
    """Plotly's template for a point."""
    least: float = -math.inf
    """Where the vertical axis ends, even if there are means below."""
    apart: bool = False
    """Whether each score has a vertical axis of its own: else it stays when another is chosen."""


def curve_figure(table: pd.DataFrame, axis: Mapping[str, Any], plot: Plot) -> go.Figure:
    """One line a series in its order, vertical bars for the intervals; n and all at a point."""
    traces = {which: _traces(table, which, plot) for which in plot.which.labels}
    seen = {
        which: _seen(table[table["which"] == which] if plot.apart else table, plot)
        for which in plot.which.labels
    }

    def change(which: str) -> Change:
        titled = {"yaxis.title.text": plot.titles[which]}
        return heights_of(traces[which]), titled | (
            {"yaxis.range": seen[which]} if plot.apart else {}
        )

    first, *_ = plot.which.labels
    look = layout(plot.titles[first]) | {"updatemenus": [menu([plot.which], change)], "xaxis": axis}
    look["yaxis"]["range"] = seen[first]
    return go.Figure(traces[first], look)


def heights_of(traces: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """What another choice replaces of lines that have intervals."""
    bars = [trace.get("error_y", {}) for trace in traces]
    sides = {f"error_y.{side}": [bar.get(side) for bar in bars] for side in ("array", "arrayminus")}
    return {"y": [trace["y"] for trace in traces]} | sides


def _seen(table: pd.DataFrame, plot: Plot) -> list[float]:
    """Room for all means that are not below the axis; for the intervals too where they are not
    three times as wide."""
    values = table[[f"{name}{plot.end}" for name in ("mean", "low", "high")]].to_numpy().ravel()
    means, all_of_it = (
        spread(np.maximum(shown, plot.least)) for shown in (table[f"mean{plot.end}"], values)
    )
    room = means[1] - means[0]
    low, high = max(all_of_it[0], means[0] - room), min(all_of_it[1], means[1] + room)
    return [max(low, plot.least), high]


def _traces(table: pd.DataFrame, which: str, plot: Plot) -> list[dict[str, Any]]:
    names = list(table[plot.series].cat.categories)
    rows = table[table["which"] == which]
    return [
        _line(group, str(name), method_style(names.index(name)), plot)
        for name, group in rows.groupby(plot.series, observed=True)
    ]


def _line(rows: pd.DataFrame, name: str, style: Style, plot: Plot) -> dict[str, Any]:
    mean = rows[f"mean{plot.end}"]
    return {
        "type": "scatter",
        "x": rows[plot.x].tolist(),
        "y": numbers(mean),
        "error_y": {
            "array": numbers(rows[f"high{plot.end}"] - mean),
            "arrayminus": numbers(mean - rows[f"low{plot.end}"]),
            "thickness": 1.5,
            "width": 4,
        },
        "name": plain(name),
        "mode": "lines+markers",
        "line": style.line(2),
        "marker": style.marker(9),
        "customdata": rows["note"].tolist(),
        "hovertemplate": f"{plain(name)}<br>{plot.hover}<br>%{{customdata}}<extra></extra>",
    }
