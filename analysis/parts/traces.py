"""Learn, then overfit: PSNR by step, with the steps that were selected, best and last."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..charts.cells import in_lines
from ..charts.controls import Change, Choice, first_change, listed, listed_of, menu
from ..charts.style import (
    DASHES,
    FLAW_SYMBOLS,
    MEASURED_STYLE,
    OKABE_ITO,
    PALETTE,
    axis_lines,
    layout,
    numbers,
    plain,
    spread,
)
from ..page.content import Content, Part
from ..page.gallery import PICTURE_KEY
from ..page.section import Block, Figure, Section, one_per
from ..rows.choosing import check_single, evenly, leading_seed, shown_text, with_most
from ..rows.identity import KINDS
from ..rows.naming import flat_settings, tuples
from ..rows.points import UNFINISHED, WHICH, distinct_fits, frontier_points
from ..rows.texts import density_text
from .stopping import RULES

MOST_PROBLEMS = 12
"""The problems that have a figure of curves."""

MOST_METHODS = 6
"""The methods of a problem that a page shows."""

MOST_DENSITIES = 6
"""The densities of a method that a page shows."""

MOST_STEPS = 140
"""The steps of a curve that are kept: the width of a page cannot tell them from all."""

TRACED = [
    *("trial_id", "level", "image", "problem", "settings", "method", "reference", "seed", "kept"),
    *("total", "density", "outcome", "unfinished", "selected_step", "peak_step"),
    *("psnr_measured_db", *(f"psnr_{which}_db" for which in WHICH)),
]
"""The columns that curves are shown with: few are sorted fast."""

NOTE = """
One fit, step by step: PSNR rises while the network learns the image, and falls when it learns the
noise. Marks are the step that the stopping rule selected without the clean image, the best step,
and the last one; they are of the averaged output. Where the best step is an hourglass, the fit is
unfinished: it is among the last, and more steps would restore better. Below is what the rule
follows: it takes the lowest. The dashed line is the dense network from the same initial weights.
"""

Trace = dict[str, Any]
"""A trace of Plotly, which is checked once, with the figure."""

LISTS = ("psnr_raw_db", "psnr_db", "statistic")

MARKS = {
    "final": {"symbol": "square-open", "color": OKABE_ITO[3], "size": 15, "line": {"width": 3}},
    "selected": {"symbol": "circle", "color": OKABE_ITO[1], "size": 11},
    "peak": {"symbol": "star", "color": OKABE_ITO[4], "size": 11},
}
"""How the marked steps look: one upon the other they are still all seen."""

BELOW_DB = 4.0
"""What is shown below the worst mark: how the curve rises, not where it comes from."""

SCALE = Choice(name="scale", legend="Steps", labels=listed(["Linear", "Log"]), row=True, menu=1)

RULE_WIDTH = 12
"""Characters in a line of a rule's name, beside its panel."""

PANELS = {"main": [0.32, 1.0], "statistic": [0.0, 0.2]}
"""The shares of the height that each panel takes."""


def trace_table(curves: pd.DataFrame, levels: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """One row per fit that has a curve with a PSNR: where it belongs, its marks and its curve.

    The columns are those of `frontier_points`, each dense fit once, `stopping`, the kind of rule
    that selected, and lists of equal length: `step`, `psnr_raw_db` of the network's output,
    `psnr_db` of its running average, and the rule's `statistic` (NaN before its first). Curves are
    thinned to about `MOST_STEPS`, the selected and the best step among them.

    Raises ValueError when there is no fit of a trajectory or a transfer.
    """
    return traces_of(distinct_fits(frontier_points(trials, levels)), curves)


def traces_of(fits: pd.DataFrame, curves: pd.DataFrame) -> pd.DataFrame:
    """The `trace_table` of these rows of `frontier_points`."""
    if curves.empty:
        return fits.iloc[:0].assign(stopping="", step=None, **dict.fromkeys(LISTS))
    found = fits.merge(curves[[*PICTURE_KEY, "step", *LISTS]], on=PICTURE_KEY)
    known = [bool(np.isfinite(values).any()) for values in found["psnr_db"]]
    found = found[known].reset_index(drop=True)
    thinned = pd.DataFrame([_thinned(row) for row in tuples(found)], columns=["step", *LISTS])
    rules = [flat_settings(text).get("fit.stopping.kind", "") for text in found["settings"]]
    return found.assign(stopping=rules, **thinned)


def traced_fits(points: pd.DataFrame, *, problems: int) -> pd.DataFrame:
    """The rows of `frontier_points` whose curves a page shows, of the problems with the most fits.

    Of each problem the seed with the most fits, its first `MOST_METHODS` methods and of each
    `MOST_DENSITIES` densities, evenly down its ladder; and the dense fits that these begin with.
    """
    chosen = []
    shown = with_most(distinct_fits(points), "problem", problems)
    for _, own in shown.groupby("problem", observed=True):
        fits = leading_seed(own)
        sparse = fits[fits["kept"] < fits["total"]]
        ladders = list(sparse.groupby("method", observed=True))[:MOST_METHODS]
        chosen.append(fits[fits["kept"] == fits["total"]])
        for _, ladder in ladders:
            kept = sorted(set(ladder["kept"]), reverse=True)
            chosen.append(ladder[ladder["kept"].isin(evenly(kept, MOST_DENSITIES))])
    return pd.concat(chosen) if chosen else points.iloc[:0]


def trace_choices(table: pd.DataFrame) -> tuple[Choice, Choice]:
    """Methods and densities of a `trace_table` as they are offered: dense is a density of all."""
    sparse = table[table["kept"] < table["total"]]
    methods = listed_of((sparse if len(sparse) else table)["method"])
    densities = listed(map(density_text, sorted(set(table["density"]), reverse=True)))
    middle = len(densities) // 2
    density = Choice(name="density", legend="Density", labels=densities, chosen=middle)
    return Choice(name="method", legend="Method", labels=methods), density


def trace_figure(table: pd.DataFrame) -> go.Figure:
    """The curve of one fit of one problem, to be chosen by method and density.

    Beside it there are the dense fits' and the measurement, and below, on a log axis, the statistic
    that the stopping rule follows. A second menu makes the axis of steps logarithmic.

    Raises ValueError when that is more than one problem, or no fit.
    """
    check_single(table, "problem", "a figure of curves shows one problem: choose its rows")
    rows = list(tuples(table))
    watched = any(value > 0 for row in rows for value in row.statistic)
    context, fits = _context(rows), [_traces(row, watched=watched) for row in rows]

    def change(method: str, density: str) -> Change:
        references = set(table.loc[table["method"] == method, "reference"].astype(str))
        shown = [_is(row, method, references, density) for row in rows]
        pairs = zip(fits, shown, strict=True)
        visible = [True] * len(context) + [one for own, one in pairs for _ in own]
        return {"visible": visible}, _axes_of(rows, shown, f"{method}, density {density}")

    buttons = menu(trace_choices(table), change)
    traces = [*context, *(trace for own in fits for trace in own)]
    visible, axes = first_change(buttons)
    data = [trace | {"visible": one} for trace, one in zip(traces, visible["visible"], strict=True)]
    look = _dress(rows, axes, watched=watched)
    return go.Figure(data, look | {"updatemenus": [buttons, menu([SCALE], _scales(rows), x=1)]})


def sections(shown: Content) -> Iterator[Section]:
    """One per problem that has curves, at most `MOST_PROBLEMS`."""
    points = shown.described.assign(settings=shown.described["problem_settings"])[TRACED]
    fits = traced_fits(shown.having("curves", points), problems=MOST_PROBLEMS)
    table = traces_of(fits, shown.store.frame("curves", trials=set(fits["trial_id"])))
    count = points["problem"].nunique()
    more = shown_text(count, MOST_PROBLEMS, "problems the {} with the most fits")

    def blocks(rows: pd.DataFrame, place: str) -> Iterator[Block]:
        yield Figure(
            name="curves",
            place=place,
            label="PSNR of one fit by step",
            note=NOTE + more,
            lines=7,
            figure=trace_figure(rows),
            controls=(*trace_choices(rows), SCALE),
        )

    yield from one_per(table, "problem", "trace", blocks, title="Learn, then overfit: {}")


def _scales(rows: Sequence[Any]) -> Callable[[str], Change]:
    """What the choice of the scale of steps changes."""
    last = max(row.step[-1] for row in rows)
    linear = {"xaxis.type": "linear", "xaxis.range": [0, last]}
    logarithmic = {"xaxis.type": "log", "xaxis.range": [0, math.log10(max(last, 2))]}
    return lambda scale: ({}, linear if scale == "Linear" else logarithmic)


def _dress(rows: Sequence[Any], change: Mapping[str, Any], *, watched: bool) -> dict[str, Any]:
    """The layout, with a panel for the statistic where it is `watched`."""
    found = layout("PSNR (dB)")
    ends = [0, max(row.step[-1] for row in rows)]
    found["xaxis"] = {"range": ends, "title": {"text": change["xaxis.title.text"]}, **axis_lines()}
    found["yaxis"]["range"] = change["yaxis.range"]
    if watched:
        kinds = dict.fromkeys(row.stopping for row in rows if row.stopping)
        rules = in_lines(" or ".join(RULES.get(kind, kind) for kind in kinds), RULE_WIDTH)
        panel = {"type": "log", "domain": PANELS["statistic"], "title": {"text": rules}}
        ticks = {"tickformat": "~e", "dtick": 1, "range": _decades(rows), "zeroline": False}
        found["yaxis2"] = {**panel, **ticks, **axis_lines()}
        found["yaxis"]["domain"] = PANELS["main"]
        found["xaxis"]["anchor"] = "y2"
    return found


def _is(row: Any, method: str, references: Set[str], density: str) -> bool:
    """Whether a fit is that of a choice; dense is where the method's ladder begins."""
    names = {method} if row.kept < row.total else references
    return str(row.method) in names and density_text(row.density) == density


def _axes_of(rows: Sequence[Any], shown: Sequence[bool], said: str) -> dict[str, Any]:
    """What a choice changes beside the curves: what is said of it, and the range of PSNRs."""
    own = [row for row, one in zip(rows, shown, strict=True) if one]
    note = f"{said}, seed {own[0].seed}: {_ended(own[0])}" if own else f"{said}: no such fit"
    seen = [*own, *(row for row in rows if row.kept == row.total)]
    marked = [getattr(row, f"psnr_{which}_db") for row in seen for which in WHICH]
    low, high = spread([*marked, *(max(row.psnr_db) for row in seen)])
    title = f"Step<br><sub>{plain(note)}</sub>"
    return {"xaxis.title.text": title, "yaxis.range": [low - BELOW_DB, high]}


def _ended(row: Any) -> str:
    """How a fit ended."""
    return f"{row.outcome}, {UNFINISHED}" if row.unfinished else str(row.outcome)


def _context(rows: Sequence[Any]) -> list[Trace]:
    """What stays: the measurement and the averages of the dense fits."""
    lines = []
    measured = rows[0].psnr_measured_db
    if math.isfinite(measured):
        ends = [0, max(row.step[-1] for row in rows)]
        lines.append(_line(ends, [measured] * 2, "measurement", MEASURED_STYLE.line(1.5)))
    for place, row in enumerate(row for row in rows if row.kept == row.total):
        dash = DASHES[1 + place % (len(DASHES) - 1)]
        line = {"color": PALETTE["ink"], "dash": dash, "width": 1.5}
        lines.append(_line(row.step, row.psnr_db, f"{row.method}, averaged", line))
    return lines


def _traces(row: Any, *, watched: bool) -> list[Trace]:
    """A fit: its raw curve, the averaged one, the three marks, and the statistic."""
    raw = _line(row.step, row.psnr_raw_db, "raw output", {"color": OKABE_ITO[5], "width": 1})
    mean = _line(row.step, row.psnr_db, "averaged output", {"color": OKABE_ITO[0], "width": 2.5})
    steps = {"selected": row.selected_step, "peak": row.peak_step, "final": row.step[-1]}
    looks = dict(MARKS)
    if row.unfinished:
        looks["peak"] = looks["peak"] | {"symbol": FLAW_SYMBOLS[UNFINISHED], "line": {"width": 2}}
    marks = [
        {
            "type": "scatter",
            "x": [steps[which]],
            "y": numbers([getattr(row, f"psnr_{which}_db")]),
            "name": which,
            "mode": "markers",
            "marker": look,
            "cliponaxis": False,
            "hovertemplate": f"{which}<br>step %{{x}}<br>%{{y:.2f}} dB<extra></extra>",
        }
        for which, look in looks.items()
    ]
    statistic = {
        "type": "scatter",
        "x": np.asarray(row.step),
        "y": np.asarray(row.statistic),
        "yaxis": "y2",
        "mode": "lines",
        "line": {"color": OKABE_ITO[2], "width": 1.5},
        "showlegend": False,
        "hovertemplate": "step %{x}<br>%{y:.3g}<extra></extra>",
    }
    return [raw, mean, *marks] + ([statistic] if watched else [])


def _line(x: Sequence[int], y: Sequence[float], name: str, line: dict[str, Any]) -> Trace:
    said = f"{plain(name)}<br>step %{{x}}<br>%{{y:.2f}} dB<extra></extra>"
    named = {"name": plain(name), "mode": "lines", "hovertemplate": said}
    return {"type": "scatter", "x": np.asarray(x), "y": np.asarray(y), "line": line, **named}


def _decades(rows: Sequence[Any]) -> list[int]:
    """The powers of ten that hold every statistic."""
    values = [value for row in rows for value in row.statistic if value > 0]
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    return [low, max(high, low + 1)]


def _thinned(row: Any) -> tuple[list[Any], ...]:
    """Steps and their values, rounded to what a figure can show."""
    steps = np.asarray(row.step)
    marked = np.flatnonzero(np.isin(steps, [row.selected_step, row.peak_step]))
    places = sorted({*evenly(range(len(steps)), MOST_STEPS), *marked.tolist()})
    raw, mean, statistic = (np.asarray(getattr(row, name), dtype=float)[places] for name in LISTS)
    return (
        steps[places].tolist(),
        raw.round(2).tolist(),
        mean.round(2).tolist(),
        [float(f"{value:.3g}") for value in statistic],
    )


PART = Part(label="Curves", names={"curves"}, sections=sections, kinds={*KINDS})
