"""What matters in a search, what was tried and how it went: figures beside its front."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Self

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ...charts.controls import Change, Choice, first_change, listed, menu
from ...charts.style import OKABE_ITO, PALETTE, axis_lines, layout, numbers, plain
from ...rows.naming import short_names
from ...statistics.importance import EVALUATORS, looks_log
from .figures import best_so_far, hover_text, plain_axis, value_axis
from .table import Goal, able, fields_of, goals_of, search_table, value_text

BEST, OTHER = OKABE_ITO[0], PALETTE["muted"]

NUMBERED = [[0, "#E69F00"], [0.5, "#009E73"], [1, "#0072B2"]]
"""Colours from the first point to the last, that are apart on white, on black and in grey."""

Traces = Sequence[Any]


def objective_choices(goals: Sequence[Goal]) -> tuple[Choice, ...]:
    """The choice of an objective, where there are several."""
    labels = {goal.name: goal.name for goal in goals}
    one = Choice(name="objective", legend="Objective", labels=labels, row=len(goals) < 4)
    return (one,) if len(goals) > 1 else ()


def evaluator_choices(goals: Sequence[Goal]) -> tuple[Choice, ...]:
    """What importances are measured by, and of which objective."""
    by = Choice(name="evaluator", legend="Measured by", labels=listed(EVALUATORS), row=True)
    return (by, *objective_choices(goals))


def field_choices(points: pd.DataFrame) -> tuple[Choice, ...]:
    """The choice of a field that has several values, and of an objective."""
    field = Choice(name="field", legend="Field", labels=listed(varied_fields(points)))
    return (field, *objective_choices(goals_of(points)))


def varied_fields(points: pd.DataFrame) -> list[str]:
    """The searched fields that have several values in points that could be on a front."""
    goals, table = goals_of(points), search_table(points)
    rows = table[able(table)]
    return [name for name in fields_of(table, goals) if rows[name].nunique() > 1]


def importance_figure(table: pd.DataFrame, goals: Sequence[Goal]) -> go.Figure:
    """Bars of the `importances_of` a search, one row per field, the most important at the top.

    Raises ValueError when there are none.
    """
    if table.empty:
        raise ValueError("no importances: too few complete points, or all of one value")
    fields = list(table.groupby("field")["importance"].mean().sort_values().index)
    names = [plain(name) for name in short_names(fields)]

    def traces(evaluator: str, objective: str = goals[0].name) -> Traces:
        rows = table[(table["evaluator"] == evaluator) & (table["objective"] == objective)]
        shares = rows.set_index("field")["importance"].reindex(fields)
        return [
            go.Bar(
                x=numbers(shares),
                y=names,
                orientation="h",
                marker={"color": BEST},
                text=[value_text(round(share, 2)) for share in shares.fillna(0.0)],
                textposition="outside",
                cliponaxis=False,
                hovertemplate="%{y}: %{x:.3f}<extra></extra>",
            )
        ]

    look = layout("") | {"xaxis": plain_axis("Importance: shares add up to 1"), "showlegend": False}
    look["xaxis"] |= {"range": [0, 1.08], "fixedrange": True}
    look["yaxis"] = _field_axis(names)
    return _switched(evaluator_choices(goals), look, traces)


def history_figure(points: pd.DataFrame) -> go.Figure:
    """Each objective by point in the order of asking, and the best so far.

    Raises ValueError when there is no point, or more than one search.
    """
    goals, rows = goals_of(points), _able_rows(points)
    by_name = {goal.name: goal for goal in goals}

    def traces(objective: str = goals[0].name) -> Traces:
        best = best_so_far(rows[objective], by_name[objective])
        return [
            _marks(rows, "number", objective, marker={"symbol": "circle-open", "color": OTHER}),
            go.Scatter(
                x=numbers(rows["number"]),
                y=numbers(best),
                name="best so far",
                mode="lines",
                line={"color": BEST, "width": 2, "shape": "hv"},
                hoverinfo="skip",
            ),
        ]

    def said(objective: str = goals[0].name) -> Mapping[str, Any]:
        return _axis_changes("yaxis", value_axis(rows, by_name[objective], falling=False))

    look = layout(goals[0].title) | {"xaxis": plain_axis("Point, in the order of asking")}
    return _switched(objective_choices(goals), look, traces, said)


def slice_figure(points: pd.DataFrame) -> go.Figure:
    """An objective against one searched field: a mark per point, coloured by its number.

    Raises ValueError when there is no point, more than one search, or no field with two values.
    """
    goals, rows = goals_of(points), _able_rows(points)
    by_name, fields = {goal.name: goal for goal in goals}, varied_fields(points)
    if not fields:
        raise ValueError("no searched field has two values in complete points")
    bar = {"title": {"text": "Point", "side": "right"}, "thickness": 10, "outlinewidth": 0}
    marker = {"color": numbers(rows["number"]), "colorscale": NUMBERED, "colorbar": bar}

    def traces(field: str, objective: str = goals[0].name) -> Traces:
        return [_marks(rows, field, objective, marker=marker)]

    def said(field: str, objective: str = goals[0].name) -> Mapping[str, Any]:
        across = _Axis.of(rows[field], field)
        return {
            **_axis_changes("xaxis", {"title": {"text": plain(field)}, "type": across.kind}),
            **_axis_changes("yaxis", value_axis(rows, by_name[objective], falling=False)),
        }

    look = layout(goals[0].title) | {"xaxis": plain_axis(fields[0]), "showlegend": False}
    look["xaxis"]["automargin"] = True
    return _switched(field_choices(points), look, traces, said)


def parallel_figure(points: pd.DataFrame) -> go.Figure:
    """Points as lines through one axis per objective and field, from least to largest value.

    The axes lie below each other, so that their names have room on a narrow screen. Raises
    ValueError when there is no point, more than one search, or no point that could be on a front.
    """
    goals, rows = goals_of(points), _able_rows(points)
    if rows.empty:
        raise ValueError("no complete point to show")
    values, fields = [goal.name for goal in goals], varied_fields(points)
    names = zip([*values, *fields], [*values, *short_names(fields)], strict=True)
    axes = [_Axis.of(rows[column], name) for column, name in names]
    look = layout("") | {"xaxis": plain_axis("Least to largest")}
    look["xaxis"] |= {"range": [-0.04, 1.04], "fixedrange": True, "showticklabels": False}
    look["yaxis"] = _field_axis([axis.label for axis in axes])
    look["yaxis"] |= {"autorange": "reversed", "showgrid": True}
    return go.Figure(list(_lines(rows, axes)), look)


@dataclass(frozen=True, kw_only=True)
class _Axis:
    """Where the values of a field or an objective lie between its least and its largest."""

    label: str
    kind: str
    """Plotly's type of it: linear, log or category."""
    places: Sequence[float | None]
    """By row, from 0 to 1."""

    @classmethod
    def of(cls, values: pd.Series, name: str) -> Self:
        """Numbers by size or, where they span much, by their logs; texts in their order."""
        if values.dtype.kind not in "if":
            texts = sorted(set(values.astype(str)))
            places = values.astype(str).map(texts.index) / max(1, len(texts) - 1)
            return cls(
                label=f"{plain(name)}<br><sub>{len(texts)} values</sub>",
                kind="category",
                places=numbers(places),
            )
        log = looks_log(values)
        sizes = np.log(values.astype(float)) if log else values.astype(float)
        width = sizes.max() - sizes.min()
        least, largest = (
            f"{end:,.4g}" if abs(end) < 1e4 else f"{end:,.0f}"
            for end in (values.min(), values.max())
        )
        ends = f"{least} to {largest}" + (", log" if log else "")
        return cls(
            label=f"{plain(name)}<br><sub>{plain(ends)}</sub>",
            kind="log" if log else "linear",
            places=numbers((sizes - sizes.min()) / width if width else sizes * 0 + 0.5),
        )


def _lines(rows: pd.DataFrame, axes: Sequence[_Axis]) -> Iterator[go.Scatter]:
    """The points that others beat, and those that are best, each a line with a gap after it."""
    said, best = rows["said"].tolist(), rows["pareto"].tolist()
    for name, wanted, colour, width in (
        ("other points", False, OTHER, 1),
        ("best", True, BEST, 2.5),
    ):
        chosen = [place for place, own in enumerate(best) if own == wanted]
        if chosen:
            yield go.Scatter(
                x=[x for place in chosen for x in (*(a.places[place] for a in axes), None)],
                y=[y for _ in chosen for y in (*(axis.label for axis in axes), None)],
                text=[said[place] for place in chosen for _ in range(len(axes) + 1)],
                name=name,
                mode="lines+markers",
                opacity=1 if wanted else 0.6,
                line={"color": colour, "width": width},
                marker={"color": colour, "size": 5},
                hovertemplate="%{text}<extra></extra>",
            )


def _able_rows(points: pd.DataFrame) -> pd.DataFrame:
    """The rows of a `search_table` that could be on a front."""
    goals, table = goals_of(points), search_table(points)
    rows = table[able(table)]
    return rows.assign(said=[hover_text(row, goals) for _, row in rows.iterrows()])


def _marks(rows: pd.DataFrame, x: str, y: str, *, marker: Mapping[str, Any]) -> go.Scatter:
    numeric = rows[x].dtype.kind in "if"
    return go.Scatter(
        x=numbers(rows[x]) if numeric else [plain(str(value)) for value in rows[x]],
        y=numbers(rows[y]),
        name="points",
        mode="markers",
        marker={"size": 10, **marker},
        text=rows["said"].tolist(),
        hovertemplate="%{text}<extra></extra>",
    )


def _field_axis(names: Sequence[str]) -> dict[str, Any]:
    """One row per name, from the bottom."""
    lines = {**axis_lines(), "ticks": "", "showgrid": False, "zeroline": False}
    order = {"type": "category", "categoryorder": "array", "categoryarray": list(names)}
    return {"automargin": True, "fixedrange": True, "tickfont": {"size": 12}, **order, **lines}


def _axis_changes(axis: str, look: Mapping[str, Any]) -> dict[str, Any]:
    """The change that gives an axis its title, type and range."""
    found = {
        f"{axis}.title.text": look["title"]["text"],
        f"{axis}.type": look.get("type", "linear"),
        f"{axis}.tickformat": look.get("tickformat", ""),
    }
    ends = look.get("range")
    return found | ({f"{axis}.range": ends} if ends else {f"{axis}.autorange": True})


def _switched(
    choices: Sequence[Choice],
    look: Mapping[str, Any],
    traces: Callable[..., Traces],
    said: Callable[..., Mapping[str, Any]] = lambda *_: {},
) -> go.Figure:
    """A figure of some traces for each combination of values, and what its layout then says."""
    combinations = [*product(*(one.labels for one in choices))]
    drawn = {values: traces(*values) for values in combinations}

    def change(*values: Any) -> Change:
        shown = [other == values for other, own in drawn.items() for _ in own]
        return {"visible": shown}, said(*values)

    figure = go.Figure([trace for own in drawn.values() for trace in own], look)
    if choices:
        buttons = menu(choices, change)
        figure.update_layout(updatemenus=[buttons])
        figure.plotly_update(*first_change(buttons))
    else:
        figure.plotly_update({}, said())
    return figure
