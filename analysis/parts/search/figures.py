"""The figure of a search: all points, and what is best among them."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...charts.style import (
    FLAW_SYMBOLS,
    FOOT,
    OKABE_ITO,
    PALETTE,
    axis_lines,
    layout,
    numbers,
    plain,
    spread,
)
from ...rows.points import UNFINISHED
from .table import (
    FIXED,
    SIZES,
    Goal,
    able,
    footed,
    front_table,
    goals_of,
    search_table,
    value_text,
)

FRONT_COLOUR = OKABE_ITO[0]

FOOTED = "collapsed or below the measurement, at the foot"
"""Such a point restores nothing, and its PSNR would press all others together."""

UNENDED = "unfinished, on no front"

MARKS: dict[str, dict[str, Any]] = {
    "other points": {"symbol": "circle-open", "size": 8, "color": PALETTE["muted"]},
    FOOTED: {
        "symbol": "x-thin",
        "size": 11,
        "line": {"color": PALETTE["ink"], "width": 2.5},
    },
    UNENDED: {"symbol": FLAW_SYMBOLS[UNFINISHED], "size": 11, "color": PALETTE["muted"]},
    "best": {"symbol": "circle", "size": 10, "color": FRONT_COLOUR},
}


def front_figure(points: pd.DataFrame) -> go.Figure:
    """The points of a search with two objectives, or one, and what is best among them.

    Two: the first objective over the second, the front as a staircase of what is within reach. One:
    the objective over the order of asking, and the best so far. A point that collapsed or is below
    the measurement is a cross at the foot.

    Raises ValueError for more objectives, for more than one search, and when no point has values.
    """
    goals, table = goals_of(points), search_table(points)
    if len(goals) > 2:
        raise ValueError(f"a plane shows two objectives: this search has {len(goals)}")
    known = table.dropna(subset=[goal.name for goal in goals])
    if known.empty:
        raise ValueError("no point of the search has values yet")
    known = known.assign(text=[hover_text(row, goals) for _, row in known.iterrows()])
    fit, y = known[able(known)], goals[0].name
    if len(goals) == 2:
        x, axis, front = goals[1].name, value_axis(known, goals[1]), front_table(points)
        line = _line(front[x], front[y], name="front: within reach", shape="vh")
    else:
        x, axis = "number", plain_axis("Point, in the order of asking")
        line = _line(fit[x], best_so_far(fit[y], goals[0]), name="best so far", shape="hv")
    look = layout(goals[0].title) | {"xaxis": axis, "yaxis2": FOOT}
    look["yaxis"]["range"] = spread(known.loc[~footed(known), y])
    return go.Figure([line, *_marks(known, x, y)], look)


def best_so_far(values: pd.Series, goal: Goal) -> pd.Series:
    """The best of the values up to each."""
    return values.cummax() if goal.grows else values.cummin()


def _marks(known: pd.DataFrame, x: str, y: str) -> Iterator[go.Scatter]:
    """Points by what became of them; no trace where there are none."""
    fit, front, low = able(known), known["pareto"], footed(known)
    chosen = {
        "other points": fit & ~front,
        FOOTED: low,
        UNENDED: known["unfit"] == UNFINISHED,
        "best": fit & front,
    }
    for name, rows in chosen.items():
        if rows.any():
            at_foot = name == FOOTED
            yield go.Scatter(
                x=numbers(known.loc[rows, x]),
                y=[0] * int(rows.sum()) if at_foot else numbers(known.loc[rows, y]),
                yaxis="y2" if at_foot else "y",
                cliponaxis=not at_foot,
                name=name,
                mode="markers",
                marker={"opacity": 1, **MARKS[name]},
                text=known.loc[rows, "text"].tolist(),
                hovertemplate="%{text}<extra></extra>",
            )


def _line(x: pd.Series, y: pd.Series, *, name: str, shape: str) -> go.Scatter:
    """Steps from each point to the next: the best value stays until a better one is reached."""
    return go.Scatter(
        x=numbers(x),
        y=numbers(y),
        name=name,
        mode="lines",
        line={"color": FRONT_COLOUR, "width": 2, "shape": shape},
        hoverinfo="skip",
    )


def value_axis(known: pd.DataFrame, goal: Goal, *, falling: bool = True) -> dict[str, Any]:
    """A log axis for sizes, from most to least where `falling`, as in other figures."""
    values = known[goal.name]
    axis = plain_axis(goal.title)
    if goal.column in SIZES and values.min() > 0:
        low, high = (math.log10(value) for value in (values.min(), values.max()))
        ticks = {"tickformat": "~s"} | ({"dtick": "D2"} if high - low > 1 else {})
        ends = [low - 0.06, high + 0.06]
        return {**axis, "type": "log", "range": ends[::-1] if falling else ends, **ticks}
    return {**axis, "range": spread(values)}


def plain_axis(title: str) -> dict[str, Any]:
    """An axis with this title, as those of other figures."""
    return {"title": {"text": title}, "tickfont": {"size": 12}, "zeroline": False, **axis_lines()}


def hover_text(row: pd.Series, goals: Sequence[Goal]) -> str:
    """All that a point is, for whoever points at it."""
    values = [f"{goal.name} {goal.text(row[goal.name])}" for goal in goals]
    taken = {*FIXED, *(goal.name for goal in goals)}
    params = [f"{path} {value_text(row[path])}" for path in row.index if path not in taken]
    return "<br>".join(plain(text) for text in [f"point {row['number']}", *values, *params])
