"""Errors of reconstructions against density, measurements and outliers, with switches.

Every figure has one menu, of all combinations of step, score and what else there is to choose; a
page shows it as one control for each of these, whose places are the digits of the menu's.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...charts.style import (
    BASE_DASHES,
    DASHES,
    OKABE_ITO,
    PALETTE,
    SYMBOLS,
    Style,
    axis_lines,
    layout,
    log_axis,
    menu,
    plain,
    spread,
)
from ...rows.naming import tuples
from ...rows.points import FAILURES, WHICH, density_text, sparsity_text
from ..frontier import BROKEN_SYMBOLS, density_axis
from .table import SCORES, sensing_sample

MOST_DENSITIES = 4
"""To choose from where a figure is of one density: the dense one and three spread over the rest."""

STEPS = {"selected": "selected", "peak": "peak (oracle)", "final": "first restart"}
"""What the three results of a reconstruction are."""

SCORE_TITLES = {"psnr": "PSNR (dB)", "mse": "MSE", "l2": "L2 per pixel"}

STEP_BUTTONS = {"selected": "Selected", "peak": "Peak (oracle)", "final": "First restart"}

FLOOR_SYMBOLS = ("cross-open", "triangle-left-open", "triangle-right-open", "hourglass-open")

FOOT = {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True}
"""The axis of what has no value."""

CHANGING = (
    "x",
    "y",
    "error_y.array",
    "error_y.arrayminus",
    "customdata",
    "showlegend",
)
"""What a menu's entries replace in every trace."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a figure is of, one value at a time."""

    legend: str
    column: str
    labels: Mapping[Any, str]
    """By value of the column, in order."""
    chosen: int
    """The place of the one shown first."""


def sensing_figure(table: pd.DataFrame) -> go.Figure:
    """Error against density for one problem of a `sensing_table`.

    A line is a solver with the tickets of one pruner, thin dots the floor of that pruner's
    generators, long dashes a method without a generator.

    Raises ValueError when that is more than one problem, or when there is no result at all.
    """
    _check(table, "problem", "a figure of reconstructions shows one problem: choose its rows")
    densities = table["density"].dropna()
    axis = density_axis(densities if len(densities) else [1.0], note=plain(sensing_sample(table)))
    return _figure(table, "density", axis, density_choices(table))


def measurements_figure(table: pd.DataFrame) -> go.Figure:
    """Error against the number of measurements for one problem, at a density to choose.

    Raises ValueError when that is more than one problem, or when there is no result at all.
    """
    _check(table, "problem", "a figure of measurements shows one problem: choose its rows")
    labels = {count: f"{count:,.0f}" for count in table["m"].dropna()}
    note = plain(sensing_sample(table))
    axis = log_axis(labels, f"Measurements<br><sub>{note}</sub>", gap=1 / 6)
    axis |= {"range": axis["range"][::-1]}
    return _figure(_at_densities(table), "m", axis, measurement_choices(table))


def outliers_figure(table: pd.DataFrame) -> go.Figure:
    """Error against the share of corrupted measurements, at a density and m to choose.

    `table` has the rows of problems that differ in the share alone.

    Raises ValueError when they differ in more, or when there is no result at all.
    """
    _check(table, "family", "a figure of outliers shows one family of problems: choose its rows")
    shares = sorted(set(table["share"]))
    room = 0.06 * (shares[-1] or 0.01)
    axis = {
        "range": [shares[0] - room, shares[-1] + room],
        "tickvals": shares,
        "ticktext": [f"{100 * share:g} %" for share in shares],
        "title": {
            "text": f"Share of corrupted measurements<br><sub>{plain(sensing_sample(table))}</sub>"
        },
        **axis_lines(),
    }
    return _figure(_at_densities(table), "share", axis, outlier_choices(table))


def density_choices(table: pd.DataFrame) -> list[Choice]:
    """What is chosen beside step and score where densities are compared."""
    return _m_choice(table)


def measurement_choices(table: pd.DataFrame) -> list[Choice]:
    """What is chosen beside step and score where numbers of measurements are compared."""
    return _density_choice(table)


def outlier_choices(table: pd.DataFrame) -> list[Choice]:
    """What is chosen beside step and score where shares of outliers are compared."""
    return [*_density_choice(table), *_m_choice(table)]


def known_scores(table: pd.DataFrame) -> dict[str, str]:
    """The scores that any row has, by name."""
    known = set(table.loc[table["n"] > 0, "score"])
    return {score: said for score, said in SCORES.items() if score in known}


def _m_choice(table: pd.DataFrame) -> list[Choice]:
    counts = sorted(set(table["m"].dropna()))
    if len(counts) < 2:
        return []
    labels = {count: f"{count:,.0f}" for count in counts}
    return [Choice(legend="Measurements", column="m", labels=labels, chosen=len(counts) // 2)]


def _density_choice(table: pd.DataFrame) -> list[Choice]:
    labels = _density_labels(table)
    return [Choice(legend="Density", column="said", labels=labels, chosen=0)] if labels else []


def _density_labels(table: pd.DataFrame) -> dict[str, str]:
    """The dense one, and up to three others spread over the ladder, with their sparsities."""
    densities = sorted(set(table["density"].dropna()), reverse=True)
    said = {density_text(one): one for one in densities}
    names = list(said)
    if len(names) > MOST_DENSITIES:
        last = len(names) - 1
        places = [round(place * last / (MOST_DENSITIES - 1)) for place in range(MOST_DENSITIES)]
        names = [names[place] for place in places]
    return {name: f"{name} ({sparsity_text(said[name])} removed)" for name in names}


def _at_densities(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its densities as they are chosen by."""
    return table.assign(said=[density_text(one) for one in table["density"]])


def _check(table: pd.DataFrame, column: str, rule: str) -> None:
    if table[column].nunique() != 1:
        raise ValueError(rule)
    if not table["n"].any():
        raise ValueError("no reconstruction has a result: an error needs a clean image")


def _figure(
    table: pd.DataFrame, x: str, axis: Mapping[str, Any], choices: Sequence[Choice]
) -> go.Figure:
    """The lines of every combination; the first step, score and each chosen value are shown."""
    scores = known_scores(table)
    ranges = {score: _range(table[table["score"] == score], score) for score in scores}
    lines = _lines(table)
    rows = list(tuples(table.sort_values(x, ascending=x != "density", kind="stable")))
    combinations = list(product(WHICH, scores, *(choice.labels for choice in choices)))
    chosen = [list(choice.labels)[choice.chosen] for choice in choices]
    active = combinations.index((WHICH[0], next(iter(scores)), *chosen))
    buttons, shown = [], []
    for which, score, *values in combinations:
        traces = _traces(_chosen(rows, which, score, choices, values), x, axis, lines)
        shown.append(traces)
        change = {path: [_inner(trace, path) for trace in traces] for path in CHANGING}
        look = _y_axis(score, which, ranges[score])
        said = [STEP_BUTTONS[which], scores[score]]
        said += [f"{c.legend.lower()} {c.labels[v]}" for c, v in zip(choices, values, strict=True)]
        buttons.append({"label": ", ".join(said), "method": "update", "args": [change, look]})
    figure = go.Figure([go.Scatter(trace) for trace in shown[active]])
    figure.update_layout(layout("") | {"yaxis2": FOOT})
    figure.update_layout(buttons[active]["args"][1])
    figure.update_layout(updatemenus=[menu(buttons, kind="dropdown") | {"active": active}])
    figure.update_yaxes(minorloglabels="complete", exponentformat="power")
    figure.update_xaxes(axis)
    return figure


def _chosen(
    rows: Sequence[Any], which: str, score: str, choices: Sequence[Choice], values: Sequence[Any]
) -> list[Any]:
    """The rows of one combination. What has no density is in all; L2 is of the selected step."""
    step = WHICH[0] if score == "l2" else which
    found = [row for row in rows if (row.score, row.which) == (score, step)]
    for choice, value in zip(choices, values, strict=True):
        everywhere = choice.column == "said"
        found = [
            row
            for row in found
            if getattr(row, choice.column) == value or (everywhere and row.reference)
        ]
    return found


def _lines(table: pd.DataFrame) -> list[tuple[str, str, Style]]:
    """What is drawn: kind of line, name of method or pruner, and looks; what is last is on top."""
    own = table[~table["reference"]]
    solvers = list(table["solver"].cat.categories)
    pruners = [pruner for pruner in table["pruner"].cat.categories if pruner]
    methods = list(table["method"].cat.categories)
    lines = []
    for place, pruner in enumerate(pruners):
        if own.loc[own["pruner"] == pruner, "floor"].notna().any():
            symbol = FLOOR_SYMBOLS[place % len(FLOOR_SYMBOLS)]
            lines.append(("floor", pruner, Style(colour=PALETTE["ink"], dash="dot", symbol=symbol)))
    references = table.loc[table["reference"], "method"].unique()
    for place, method in enumerate(sorted(references)):
        dash = BASE_DASHES[place % len(BASE_DASHES)]
        style = Style(colour=PALETTE["ink"], dash=dash, symbol="circle-open")
        lines.append(("reference", method, style))
    for row in tuples(own.drop_duplicates("method").sort_values("method")):
        style = Style(
            colour=OKABE_ITO[solvers.index(row.solver) % len(OKABE_ITO)],
            dash=DASHES[pruners.index(row.pruner) % len(DASHES)],
            symbol=SYMBOLS[methods.index(row.method) % len(SYMBOLS)],
        )
        lines.append(("method", row.method, style))
    return lines


def _traces(
    rows: Sequence[Any], x: str, axis: Mapping[str, Any], lines: Sequence[tuple[str, str, Style]]
) -> list[dict[str, Any]]:
    """As many in every combination, empty where it has no rows."""
    traces = []
    for kind, name, style in lines:
        if kind == "floor":
            own = [row for row in rows if row.pruner == name and not row.reference]
            traces.append(_floor_line(own, x, name, style))
            continue
        own = [row for row in rows if row.method == name]
        if kind == "reference" and x == "density":
            traces.append(_level_line(own, axis, name, style))
        else:
            traces.append(_method_line(own, x, name, style))
    return [*traces, *_broken_marks(rows, x), _missing_marks(rows, x)]


def _floor_line(rows: Sequence[Any], x: str, pruner: str, style: Style) -> dict[str, Any]:
    """All solvers have the same floor: it is drawn once."""
    floors = {getattr(row, x): row.floor for row in rows if not math.isnan(row.floor)}
    name = plain(f"floor, {pruner}")
    return {
        "x": list(floors),
        "y": short(floors.values()),
        "name": name,
        "mode": "lines+markers",
        "line": {"color": style.colour, "dash": style.dash, "width": 1},
        "marker": {"symbol": style.symbol, "size": 6, "color": style.colour},
        "hovertemplate": f"{name}<br>%{{y:.4g}}<extra></extra>",
    }


def _level_line(
    rows: Sequence[Any], axis: Mapping[str, Any], method: str, style: Style
) -> dict[str, Any]:
    """A horizontal line across the figure: it has no density."""
    ends = [10**end for end in axis["range"]]
    return {
        "x": ends if rows else [],
        "y": short(row.mean for row in rows) * len(ends),
        "customdata": [_note(row) for row in rows] * len(ends),
        "name": plain(method),
        "mode": "lines",
        "line": {"color": style.colour, "dash": style.dash, "width": 1.5},
        "hovertemplate": f"{plain(method)}<br>%{{y:.4g}}<br>%{{customdata}}<extra></extra>",
    }


def _method_line(rows: Sequence[Any], x: str, method: str, style: Style) -> dict[str, Any]:
    """Means with their intervals."""
    return {
        "x": [getattr(row, x) for row in rows],
        "y": short(row.mean for row in rows),
        "error_y": {
            "type": "data",
            "array": short(row.high - row.mean for row in rows),
            "arrayminus": short(row.mean - row.low for row in rows),
            "thickness": 1.2,
            "width": 3,
        },
        "customdata": [_note(row) for row in rows],
        "name": plain(method),
        "mode": "lines+markers",
        "line": {"color": style.colour, "dash": style.dash, "width": 2},
        "marker": {
            "symbol": style.symbol,
            "size": 9,
            "opacity": 1,
            "line": {"color": style.colour, "width": 1.5},
        },
        "hovertemplate": f"{plain(method)}<br>%{{y:.4g}}<br>%{{customdata}}<extra></extra>",
    }


def _note(row: Any) -> str:
    """What is said of a mean where it is pointed at."""
    said = [] if math.isnan(row.density) else [f"density {density_text(row.density)}"]
    said += [] if math.isnan(row.m) else [f"{row.m:,.0f} measurements"]
    said.append(f"n = {row.n} {row.over if row.n > 1 else row.over.removesuffix('s')}")
    said += [] if math.isnan(row.floor) else [f"floor {row.floor:.4g}"]
    said += [f"{getattr(row, name)} {name}" for name in FAILURES if getattr(row, name)]
    return "<br>".join(said)


def _broken_marks(rows: Sequence[Any], x: str) -> Iterator[dict[str, Any]]:
    """Crosses and asterisks over means in which fits went wrong, by how they did."""
    for outcome, symbol in BROKEN_SYMBOLS.items():
        broken = [
            row for row in rows if getattr(row, outcome.value) and not math.isnan(getattr(row, x))
        ]
        yield {
            "x": [getattr(row, x) for row in broken],
            "y": short(row.mean for row in broken),
            "name": f"some {outcome}",
            "mode": "markers",
            "marker": {
                "symbol": symbol,
                "size": 14,
                "color": PALETTE["ink"],
                "line": {"color": PALETTE["ink"], "width": 2},
            },
            "hoverinfo": "skip",
            "showlegend": bool(broken),
        }


def _missing_marks(rows: Sequence[Any], x: str) -> dict[str, Any]:
    """Triangles along the foot of the figure where a method has no result at all."""
    lost = [row for row in rows if not row.n and not math.isnan(getattr(row, x))]
    return {
        "x": [getattr(row, x) for row in lost],
        "y": [0] * len(lost),
        "yaxis": "y2",
        "name": "no result",
        "mode": "markers",
        "cliponaxis": False,
        "marker": {"symbol": "triangle-down", "size": 11, "color": PALETTE["ink"]},
        "customdata": [f"{plain(row.method)}<br>{_note(row)}" for row in lost],
        "hovertemplate": "%{customdata}<br>no result<extra></extra>",
        "showlegend": bool(len(lost)),
    }


def _inner(trace: Mapping[str, Any], path: str) -> Any:
    """The value at `a.b` of a trace, None where it has none."""
    value: Any = trace
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _y_axis(score: str, which: str, ends: Sequence[float]) -> dict[str, Any]:
    """Title, type and range of the vertical axis; errors are on a log axis."""
    step = STEPS[WHICH[0] if score == "l2" else which]
    return {
        "yaxis.title.text": f"{SCORE_TITLES[score]}, {step}",
        "yaxis.type": "linear" if score == "psnr" else "log",
        "yaxis.range": ends,
    }


def _range(rows: pd.DataFrame, score: str) -> list[float]:
    """Room for all means, and for intervals where they are not much wider, of every combination."""
    means = rows[["mean", "floor"]].to_numpy().ravel().tolist()
    everything = means + rows[["low", "high"]].to_numpy().ravel().tolist()
    if score != "psnr":
        means, everything = (
            [math.log10(value) for value in values if 0 < value < math.inf]
            for values in (means, everything)
        )
    tight, wide = spread(means), spread(everything)
    room = 0.5 * (tight[1] - tight[0])
    return [max(wide[0], tight[0] - room), min(wide[1], tight[1] + room)]


def short(values: Iterable[float]) -> list[float | None]:
    """Six digits of each number, which are enough to draw; None where there is no finite one."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]
