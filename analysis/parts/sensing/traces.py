"""Traces of the figures of reconstructions: floors, references, methods, and what went wrong."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from lip_ray.records import FAILURES

from ...charts.style import (
    BASE_DASHES,
    BROKEN_SYMBOLS,
    DASHES,
    OKABE_ITO,
    PALETTE,
    SYMBOLS,
    Style,
    plain,
)
from ...rows.naming import tuples
from ...rows.texts import density_text

Line = tuple[str, str, Style]
"""Its kind (floor, reference or method), the name of its pruner or method, and its looks."""

FLOOR_SYMBOLS = ("cross-open", "triangle-left-open", "triangle-right-open", "hourglass-open")


def lines_of(table: pd.DataFrame) -> list[Line]:
    """What is drawn of a `sensing_table`, in order: what is last is on top."""
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


def traces_of(
    rows: Sequence[Any], x: str, axis: Mapping[str, Any], lines: Sequence[Line]
) -> list[dict[str, Any]]:
    """The traces of a combination: as many in each, empty where it has no rows."""
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
        "line": style.line(1),
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
        "line": style.line(1.5),
        "hovertemplate": f"{plain(method)}<br>%{{y:.4g}}<br>%{{customdata}}<extra></extra>",
    }


def _method_line(rows: Sequence[Any], x: str, method: str, style: Style) -> dict[str, Any]:
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
        "line": style.line(2),
        "marker": {**style.marker(9), "line": {"color": style.colour, "width": 1.5}},
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


def short(values: Iterable[float]) -> list[float | None]:
    """Six digits of each number, which are enough to draw; None where there is no finite one."""
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values]
