"""What a search found: its points, and those among them that no other point is better than."""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal, Self

import pandas as pd
import plotly.graph_objects as go

from lip_ray.columns import LEVELS, OBJECTIVES

from ..charts.style import (
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
from ..page.content import Content, Part
from ..page.section import Block, Figure, Section, Table, Text
from ..rows.naming import tuples
from ..rows.points import UNFINISHED
from ..rows.texts import known_text
from ..statistics.intervals import pareto_front

NOTE = """
Each mark is a point of the search, its values means over its trials and their images at the level
that the axis names. The line is the best that was found. The best of many, picked by these very
values, are candidates for a comparison on equal terms, not its result. No front has points whose
fits collapsed, are unfinished or restore worse than the measurement. Point at a mark, or tap it,
for its settings.
"""

FRONT_NOTE = """
The points that no other complete point is as good as in all objectives and better in one, best
first in the first. Columns are the objectives, then the searched fields.
"""

BEST_NOTE = "The best complete point: the objective, then the searched fields."

SIZES = ("kept", "total", "density", "kept_all", "total_all", "effective", "macs")
"""Columns drawn on a log axis from most on the left, as other figures have them."""

WORDS = {name: LEVELS[name].axis_title for name in OBJECTIVES}
"""What a column of the levels is, with its unit."""

STATES = ("complete", "stopped", "collapsed", "failed")
"""How a point may have ended."""

OPEN = "in flight"
"""The state of a point that has not come to an end."""

FRONT_COLOUR, START_COLOUR = OKABE_ITO[0], OKABE_ITO[1]

FIXED = ("number", "state", "unfit", "pareto", "trials", "reason", "text")
"""Columns of a search's table that are neither an objective nor a field."""

BELOW = "below the measurement"
"""What the store says of points with a fit that is worse than what it was fitted to."""

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
    "given to start from": {
        "symbol": "square-open",
        "size": 16,
        "color": START_COLOUR,
        "line": {"width": 2.5},
    },
}


@dataclass(frozen=True, kw_only=True)
class Goal:
    """An objective: a column of the levels that is to become large or small."""

    column: str
    direction: Literal["maximize", "minimize"]
    at: str
    """The level that counts, in words."""
    short: str
    """The level in a few characters; empty for the sparsest."""

    @classmethod
    def of(cls, objective: Mapping[str, Any]) -> Self:
        """The goal that a search wrote down as JSON."""
        level, own = objective.get("level"), {"at": "sparsest level", "short": ""}
        if isinstance(level, Mapping) and "density" in level:
            own = {"at": f"density {level['density']:g}", "short": f"{level['density']:g}"}
        elif isinstance(level, Mapping) and "number" in level:
            own = {"at": f"level {level['number']}", "short": str(level["number"])}
        return cls(column=objective["column"], direction=objective["direction"], **own)

    @property
    def name(self) -> str:
        """Its column in tables of a search: `kept`, `psnr_selected_db@3`."""
        return f"{self.column}@{self.short}" if self.short else self.column

    @property
    def words(self) -> str:
        """What it is, its unit, and the level."""
        return f"{WORDS.get(self.column, self.column)}, {self.at}"

    @property
    def title(self) -> str:
        """The title of its axis."""
        return self.words[:1].upper() + self.words[1:]

    @property
    def grows(self) -> bool:
        """Whether larger values are better."""
        return self.direction == "maximize"

    def text(self, value: float) -> str:
        """A value as tables write it."""
        counted = self.column in SIZES and self.column != "density"
        form = ".2f" if self.column.endswith("_db") else ",.0f" if counted else ".4g"
        return known_text(value, form).replace("-", "−")


def goals_of(points: pd.DataFrame) -> tuple[Goal, ...]:
    """The objectives of the one search that these points are of.

    Raises ValueError when there is no point, or more than one search.
    """
    if points[["search", "search_id"]].drop_duplicates().shape[0] != 1:
        raise ValueError("a table or figure shows one search: choose its points")
    return tuple(Goal.of(objective) for objective in json.loads(points["objectives"].iloc[0]))


def search_table(points: pd.DataFrame) -> pd.DataFrame:
    """One row per point of a search, in the order of asking, from the store's view `points`.

    Columns are number, `state` (complete, stopped, collapsed, failed or in flight), `unfit` (why a
    complete point is on no front all the same: unfinished, or below the measurement), `pareto`, one
    for each objective (`psnr_selected_db`; at another level than the sparsest
    `psnr_selected_db@3`), one for each searched field by its dotted path, `trials` and `reason`.
    Values are NaN where there are none; fields that are no numbers are written out as text.

    Raises ValueError when there is no point, or more than one search.
    """
    goals = goals_of(points)
    rows = [_row(group, goals) for _, group in points.groupby("number", sort=True)]
    return pd.DataFrame(rows)


def front_table(points: pd.DataFrame) -> pd.DataFrame:
    """The rows of a `search_table` that are on the front, best first in the first objective.

    A point is on the front when it is complete, its fits are finished and better than their
    measurements, and no other such point is at least as good in all objectives and better in one.
    In two objectives the second improves down the rows.

    Raises ValueError when there is no point, or more than one search.
    """
    goals, table = goals_of(points), search_table(points)
    names = [goal.name for goal in goals]
    front = table[table["pareto"]]
    return front.sort_values(names, ascending=[not g.grows for g in goals], ignore_index=True)


def pair_table(points: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of objectives: how many `points` would be on the front of these two alone.

    Raises ValueError when there is no point, or more than one search.
    """
    goals, table = goals_of(points), search_table(points)
    found = table[_able(table)]
    gains = {one.name: ((1 if one.grows else -1) * found[one.name]).tolist() for one in goals}
    pairs = [
        (one, other, sum(pareto_front([-x for x in gains[one]], gains[other])))
        for one, other in combinations(gains, 2)
    ]
    return pd.DataFrame(pairs, columns=["first", "second", "points"])


def front_figure(points: pd.DataFrame, *, starts: int = 0) -> go.Figure:
    """The points of a search with two objectives, or one, and what is best among them.

    Two: the first objective over the second, the front as a staircase of what is within reach. One:
    the objective over the order of asking, and the best so far. The first `starts` points, which
    somebody gave and no sampler drew, are marked. A point that collapsed or is below the
    measurement is a cross at the foot.

    Raises ValueError for more objectives, for more than one search, and when no point has values.
    """
    goals, table = goals_of(points), search_table(points)
    if len(goals) > 2:
        raise ValueError(f"a plane shows two objectives: this search has {len(goals)}")
    known = table.dropna(subset=[goal.name for goal in goals])
    if known.empty:
        raise ValueError("no point of the search has values yet")
    known = known.assign(text=[_hover(row, goals) for _, row in known.iterrows()])
    able, y = known[_able(known)], goals[0].name
    if len(goals) == 2:
        x, axis, front = goals[1].name, _axis(known, goals[1]), front_table(points)
        line = _line(front[x], front[y], name="front: within reach", shape="vh")
    else:
        x, axis = "number", _plain_axis("Point, in the order of asking")
        best = able[y].cummax() if goals[0].grows else able[y].cummin()
        line = _line(able[x], best, name="best so far", shape="hv")
    look = layout(goals[0].title) | {"xaxis": axis, "yaxis2": FOOT}
    look["yaxis"]["range"] = spread(known.loc[~_footed(known), y])
    figure = go.Figure([line, *_marks(known, x, y, starts)])
    figure.update_layout(look)
    return figure


def value_text(value: object) -> str:
    """A value of a searched field in a few characters: `0.01`, `init`, `step (step 10)`."""
    if isinstance(value, Mapping):
        rest = ", ".join(f"{k} {value_text(v)}" for k, v in value.items() if k != "kind")
        kind = value_text(value["kind"]) if "kind" in value else ""
        return f"{kind} ({rest})".strip() if rest else kind
    if isinstance(value, list):
        return ", ".join(value_text(item) for item in value)
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value)


def sections(shown: Content) -> Iterator[Section]:
    """One section per search."""
    if shown.points.empty:
        return
    names = shown.points.groupby("search")["search_id"].nunique().to_dict()
    groups = shown.points.groupby(["search", "search_id"])
    for place, ((search, search_id), own) in enumerate(groups):
        yield Section(
            name=f"of-search-{place}",
            title=f"Search {search}" + (f" ({search_id})" if names[search] > 1 else ""),
            blocks=tuple(_blocks(own, f"search-{place}")),
        )


def _blocks(points: pd.DataFrame, place: str) -> Iterator[Block]:
    goals, table = goals_of(points), search_table(points)
    yield Text(_searched(points, table))
    valued = table[[goal.name for goal in goals]].notna().all(axis=1).any()
    figure = front_figure(points) if valued and len(goals) < 3 else None
    if figure is None:
        yield _no_plane(points, len(goals))
    else:
        label = "What the search found; the best points are in the table below"
        yield Figure(name="search", place=place, label=label, note=NOTE, lines=3, figure=figure)
    yield _front_numbers(points)


def _searched(points: pd.DataFrame, table: pd.DataFrame) -> str:
    """What was sought, and how far it has come."""
    goals = goals_of(points)
    aims = "; ".join(f"{goal.direction} {goal.words}" for goal in goals)
    fields = ", ".join(json.loads(points["params"].iloc[0]))
    states = table["state"].value_counts()
    counts = ", ".join(f"{states[s]} {s}" for s in (*STATES, OPEN) if s in states)
    said = [f"Aim: {aims}. Searched: {fields}. Points: {len(table)}, of which {counts}"]
    said += [f"{table['pareto'].sum()} on the front"] * (len(goals) > 1)
    return "; ".join([*said, *left_out(table)]) + "."


def left_out(table: pd.DataFrame) -> Iterator[str]:
    """How many points of a `search_table` no front may have, and why; nothing where all may."""
    reasons = table["unfit"].where(table["state"] == "complete", table["state"])
    counts = reasons[reasons.isin(["collapsed", UNFINISHED, BELOW])].value_counts()
    if len(counts):
        why = ", ".join(f"{count} {reason}" for reason, count in counts.sort_index().items())
        yield f"{counts.sum()} left out of the front: {why}"


def _able(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which points could be on a front."""
    return (table["state"] == "complete") & (table["unfit"] == "")


def _footed(table: pd.DataFrame) -> "pd.Series[bool]":
    """Which points restore nothing."""
    return (table["state"] == "collapsed") | (table["unfit"] == BELOW)


def _no_plane(points: pd.DataFrame, goals: int) -> Text:
    """What stands for a figure of three or more objectives; or that no point has values yet."""
    if goals < 3:
        return Text("No point has values yet.")
    pairs = "; ".join(
        f"{row.points} by {row.first} and {row.second}" for row in tuples(pair_table(points))
    )
    return Text(
        f"A plane shows two objectives, and a point that looks beaten in it may be the best in "
        f"another, so there is no figure of these {goals}. Taken two at a time, as many points "
        f"would be on the front: {pairs}."
    )


def _front_numbers(points: pd.DataFrame) -> Table:
    front = front_table(points)
    goals = {goal.name: goal for goal in goals_of(points)}
    fields = [name for name in front.columns if name not in {*FIXED, *goals}]
    return Table(
        label="Points on the front",
        note=FRONT_NOTE if len(goals) > 1 else BEST_NOTE,
        heads=["Point", *goals, *fields],
        rows=[
            [
                str(row["number"]),
                *(goal.text(row[name]) for name, goal in goals.items()),
                *(value_text(row[name]) for name in fields),
            ]
            for row in front.to_dict("records")
        ],
    )


def _row(group: pd.DataFrame, goals: Sequence[Goal]) -> dict[str, Any]:
    """One point; the rows of its group are its trials."""
    first = group.iloc[0]
    told = isinstance(first["state"], str)
    values = list(first["values"]) if told and len(first["values"]) else [float("nan")] * len(goals)
    params = json.loads(first["params"])
    reason = first["reason"] if told else ""
    return {
        "number": int(first["number"]),
        "state": first["state"] if told else OPEN,
        "unfit": first["unfit"],
        "pareto": bool(first["pareto"]),
        **{goal.name: float(value) for goal, value in zip(goals, values, strict=True)},
        **{path: v if type(v) in (int, float) else value_text(v) for path, v in params.items()},
        "trials": int(group["trial_id"].count()),
        "reason": reason or first["problem"] or "",
    }


def _marks(known: pd.DataFrame, x: str, y: str, starts: int) -> Iterator[go.Scatter]:
    """Points by what became of them; no trace where there are none."""
    able, front, footed = _able(known), known["pareto"], _footed(known)
    chosen = {
        "other points": able & ~front,
        FOOTED: footed,
        UNENDED: known["unfit"] == UNFINISHED,
        "best": able & front,
        "given to start from": ~footed & (known["number"] < starts),
    }
    for name, rows in chosen.items():
        if rows.any():
            low = name == FOOTED
            yield go.Scatter(
                x=numbers(known.loc[rows, x]),
                y=[0] * int(rows.sum()) if low else numbers(known.loc[rows, y]),
                yaxis="y2" if low else "y",
                cliponaxis=not low,
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


def _axis(known: pd.DataFrame, goal: Goal) -> dict[str, Any]:
    """From most on the left to least on the right for sizes, as in other figures; else as usual."""
    values = known[goal.name]
    axis = _plain_axis(goal.title)
    if goal.column in SIZES and values.min() > 0:
        low, high = (math.log10(value) for value in (values.min(), values.max()))
        ticks = {"tickformat": "~s"} | ({"dtick": "D2"} if high - low > 1 else {})
        return {**axis, "type": "log", "range": [high + 0.06, low - 0.06], **ticks}
    return {**axis, "range": spread(values)}


def _plain_axis(title: str) -> dict[str, Any]:
    return {"title": {"text": title}, "tickfont": {"size": 12}, "zeroline": False, **axis_lines()}


def _hover(row: pd.Series, goals: Sequence[Goal]) -> str:
    """All that a point is, for whoever points at it."""
    values = [f"{goal.name} {goal.text(row[goal.name])}" for goal in goals]
    taken = {*FIXED, *(goal.name for goal in goals)}
    params = [f"{path} {value_text(row[path])}" for path in row.index if path not in taken]
    return "<br>".join(plain(text) for text in [f"point {row['number']}", *values, *params])


PART = Part(sections=sections)
