"""Lines of means with their intervals over a log axis, with buttons for which score is shown."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from .style import Style, layout, menu, method_style, numbers, plain, spread


@dataclass(frozen=True, kw_only=True)
class Plot:
    """Which columns of a long table are drawn, and what they are called."""

    x: str
    series: str
    end: str = ""
    """How the columns mean, low and high end."""
    buttons: Mapping[str, str]
    """By `which`, the first shown first."""
    titles: Mapping[str, str]
    """Of the vertical axis, by `which`."""
    hover: str
    """Plotly's template for a point."""


def curve_figure(table: pd.DataFrame, axis: Mapping[str, Any], plot: Plot) -> go.Figure:
    """One line a series in its order, vertical bars for the intervals; n and all at a point."""
    first, *_ = plot.buttons
    values = table[[f"{name}{plot.end}" for name in ("mean", "low", "high")]].to_numpy().ravel()
    traces = {which: _traces(table, which, plot) for which in plot.buttons}
    buttons = []
    for which, label in plot.buttons.items():
        bars = [(trace["y"], trace["error_y"]) for trace in traces[which]]
        change = {"y": [y for y, _ in bars]}
        for side in ("array", "arrayminus"):
            change[f"error_y.{side}"] = [error[side] for _, error in bars]
        title = {"yaxis.title.text": plot.titles[which]}
        buttons.append({"label": label, "method": "update", "args": [change, title]})
    look = layout(plot.titles[first]) | {"updatemenus": [menu(buttons)], "xaxis": axis}
    look["yaxis"]["range"] = _seen(table, values, plot)
    return go.Figure(traces[first], look)


def _seen(table: pd.DataFrame, values: Any, plot: Plot) -> list[float]:
    """Room for all means; for the intervals too where they are not three times as wide."""
    means, all_of_it = spread(table[f"mean{plot.end}"]), spread(values)
    room = means[1] - means[0]
    return [max(all_of_it[0], means[0] - room), min(all_of_it[1], means[1] + room)]


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
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {"symbol": style.symbol, "size": 9, "opacity": 1},
        "customdata": rows["note"].tolist(),
        "hovertemplate": f"{plain(name)}<br>{plot.hover}<br>%{{customdata}}<extra></extra>",
    }
