"""The frontier: PSNR of every ticket against the share of weights it keeps."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from scipy import stats

from lip_ray.records import Outcome

from .naming import distinct_names

WHICH = ("selected", "peak", "final")
"""The three PSNRs of a fit, the one shown by default first."""

DENSE = "dense"
"""The method of every fit that keeps all weights, whichever trial ran it."""

METHOD_FIELDS = frozenset({"pruner", "schedule", "rewind"})
"""The fields of a trajectory that say how it finds tickets; all but the seed say of what."""

CONFIDENCE = 0.95

BAD_OUTCOMES = (Outcome.COLLAPSED, Outcome.DIVERGED, Outcome.FAILED)

AXIS_TITLES = {
    "selected": "PSNR of the selected step (dB)",
    "peak": "Peak PSNR over the fit, an oracle (dB)",
    "final": "PSNR of the last step (dB)",
}
BUTTONS = {"selected": "Selected", "peak": "Peak (oracle)", "final": "Final"}

OKABE_ITO = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("solid", "dash", "dashdot", "dot", "longdashdot", "12px 3px 3px 3px 3px 3px")
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "star", "pentagon", "hexagram")

PALETTE = {"ink": "#222222", "muted": "#767676", "paper": "#FFFFFF", "grid": "#EBEBEB"}
"""The colours that are no method's, by their use: a page may put its own in their place."""

BROKEN_SYMBOLS = {Outcome.COLLAPSED: "x-thin", Outcome.DIVERGED: "asterisk"}
"""Marks of fits that went wrong but have a PSNR, whatever the method's own symbol."""

TICK_GAP = 1 / 7
"""The least share of the density axis between two of its labels, for them to fit on a phone."""


def frontier_points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per stored fit of a trajectory: the columns of `levels`, and where it belongs.

    Added are task, prior, pruner and seed; `settings`, the spec without seed and method as JSON;
    `problem`, a name for image and settings; and `method`, a name for pruner, schedule and rewind,
    or "dense" where all weights are kept. Both names are ordered categories that spell out what
    tells namesakes apart, so that grouping by them never mixes two of either.

    Raises ValueError when there is no such fit.
    """
    points = levels.merge(_described(trials), on="trial_id", validate="many_to_one")
    if points.empty:
        raise ValueError("no finished level in the store: run a sweep of trajectories first")
    named = points["image"] + ": " + points.pop("task_name")
    points["problem"] = distinct_names(named, points.pop("problem_key"), points["settings"])
    methods = distinct_names(
        points["pruner"], points.pop("method_key"), points.pop("method_settings")
    )
    points["method"] = methods.set_categories([DENSE, *methods.categories])
    points.loc[points["kept"] == points["total"], "method"] = DENSE
    psnrs = ["psnr_measured_db", *(f"psnr_{which}_db" for which in WHICH)]
    return points.astype(dict.fromkeys(psnrs, float))


def distinct_fits(points: pd.DataFrame) -> pd.DataFrame:
    """The points without repetition: the dense fit of a seed, which every trial stores, once."""
    return points.drop_duplicates(["problem", "method", "kept", "seed"])


def frontier_table(points: pd.DataFrame, *, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """One row per problem, method, density and `which` PSNR: its mean over seeds, and interval.

    Of the `seeds`, `n` have that PSNR and `missing` have none. `mean_db` lies in the Student-t
    interval `low_db` to `high_db` at that `confidence`; below two seeds there is none (NaN).
    `effective` and `measured_db` are means over the seeds that have them; `collapsed`, `diverged`
    and `failed` count fits.

    Raises ValueError when `confidence` is not within 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be within 0 and 1, got {confidence}")
    fits = distinct_fits(points)
    table = pd.concat([_means(fits, which) for which in WHICH], ignore_index=True)
    quantile = stats.t.ppf((1 + confidence) / 2, table["n"] - 1)
    half_width = quantile * table.pop("deviation_db") / np.sqrt(table["n"])
    table["confidence"] = confidence
    table["missing"] = table["seeds"] - table["n"]
    table["low_db"] = table["mean_db"] - half_width
    table["high_db"] = table["mean_db"] + half_width
    table["which"] = pd.Categorical(table["which"], categories=WHICH, ordered=True)
    order = ["problem", "method", "kept", "which"]
    return table.sort_values(order, ascending=[True, True, False, True], ignore_index=True)


def summary_table(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """One row per problem, method and density, for the terminal: mean PSNRs in dB, and counts.

    Columns: problem, method, density, selected_db, peak_db, final_db, seeds, then how many of
    these fits collapsed, diverged, failed. Raises ValueError when no level is finished.
    """
    table = frontier_table(frontier_points(trials, levels))
    outcomes = [outcome.value for outcome in BAD_OUTCOMES]
    keys = ["problem", "method", "density", "seeds", *outcomes]
    first = table[table["which"] == WHICH[0]].reset_index(drop=True)[keys]
    for which in WHICH:
        means = table.loc[table["which"] == which, "mean_db"]
        first[f"{which}_db"] = means.to_numpy()
    psnrs = [f"{which}_db" for which in WHICH]
    return first[["problem", "method", "density", *psnrs, "seeds", *outcomes]]


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
    fits = distinct_fits(points)
    figure = go.Figure(_traces(fits, table, WHICH[0]))
    figure.update_layout(_layout(fits), updatemenus=[_switch(fits, table)])
    densities = sorted(set(fits["density"]), reverse=True)
    figure.update_xaxes(_density_axis(densities, note=sample_text(table)))
    return figure


def density_text(density: float) -> str:
    """A density as figures and tables write it: three significant digits."""
    return f"{density:.3g}"


def sparsity_text(density: float) -> str:
    """The share of weights removed, in percent; with more digits where little is left."""
    return f"{round(100 * (1 - density), 1 if density >= 0.01 else 3):g} %"


def sample_text(table: pd.DataFrame) -> str:
    """How many seeds the means of a table are over, and what its intervals are."""
    counts = table.loc[table["n"] > 0, "n"]
    least, most = counts.min(), counts.max()
    if most == 1:
        return "n = 1 seed, so no intervals"
    seeds = f"{most}" if least == most else f"{least} to {most}"
    where = " from n = 2" if least == 1 else ""
    return f"n = {seeds} seeds, {100 * table['confidence'].iloc[0]:g} % intervals{where}"


def _described(trials: pd.DataFrame) -> pd.DataFrame:
    """The trajectories among the trials, their specs taken apart.

    What tells trials apart is taken from `canonical`, which a later version's new fields leave as
    it was; `settings` has all fields that the trial's own version knew.
    """
    chosen = trials.loc[trials["kind"] == "trajectory"]
    specs = [json.loads(text) for text in chosen["spec"]]
    identities = [json.loads(text) for text in chosen["canonical"]]
    return chosen[["trial_id", "pruner", "prior", "task", "seed"]].assign(
        settings=[_without(spec, METHOD_FIELDS | {"seed"}) for spec in specs],
        problem_key=[_without(spec, METHOD_FIELDS | {"seed"}) for spec in identities],
        method_settings=[_without(spec, spec.keys() - METHOD_FIELDS) for spec in specs],
        method_key=[_without(spec, spec.keys() - METHOD_FIELDS) for spec in identities],
        task_name=[_task_name(spec["task"]) for spec in specs],
    )


def _without(spec: Mapping[str, Any], left_out: frozenset[str] | set[str]) -> str:
    return json.dumps({k: v for k, v in spec.items() if k not in left_out}, sort_keys=True)


def _task_name(task: Mapping[str, Any]) -> str:
    sigma = task.get("sigma")
    return task["kind"] if sigma is None else f"{task['kind']}, σ = {sigma:g}"


def _means(fits: pd.DataFrame, which: str) -> pd.DataFrame:
    outcomes = {outcome.value: fits["outcome"] == outcome for outcome in BAD_OUTCOMES}
    groups = fits.assign(which=which, **outcomes).groupby(
        ["problem", "method", "kept", "which"], observed=True, as_index=False
    )
    psnr = f"psnr_{which}_db"
    table = groups.agg(
        total=("total", "first"),
        density=("density", "first"),
        effective=("effective", "mean"),
        measured_db=("psnr_measured_db", "mean"),
        seeds=(psnr, "size"),
        n=(psnr, "count"),
        mean_db=(psnr, "mean"),
        deviation_db=(psnr, "std"),
        **{name: (name, "sum") for name in outcomes},
    )
    return pd.DataFrame(table)


@dataclass(frozen=True, kw_only=True)
class _Style:
    """How a method looks, in colour and without."""

    colour: str
    dash: str
    symbol: str | None


MEASURED_STYLE = _Style(colour=PALETTE["muted"], dash="dot", symbol=None)


def _styles(methods: pd.Series) -> dict[str, _Style]:
    """By method, the dense one last and so on top; the same for every part of one table."""
    styles = {name: _style(i) for i, name in enumerate(methods.cat.categories, start=-1)}
    return styles | {DENSE: styles.pop(DENSE)}


def _style(place: int) -> _Style:
    if place < 0:
        return _Style(colour=PALETTE["ink"], dash="longdash", symbol="circle")
    return _Style(
        colour=OKABE_ITO[place % len(OKABE_ITO)],
        dash=DASHES[place % len(DASHES)],
        symbol=SYMBOLS[place % len(SYMBOLS)],
    )


def _traces(fits: pd.DataFrame, table: pd.DataFrame, which: str) -> list[go.Scatter]:
    """All traces, for one of the PSNRs: between these only `y` differs."""
    rows = table[table["which"] == which]
    dense = rows[rows["method"] == DENSE]
    ends = [fits["density"].max(), fits["density"].min()]
    measured = rows["measured_db"].dropna().head(1)
    traces = [_level_line(ends, value, "measurement", MEASURED_STYLE) for value in measured]
    for method, style in _styles(fits["method"]).items():
        own, group = rows[rows["method"] == method], fits[fits["method"] == method]
        if group.empty:
            continue
        if method == DENSE:
            line = _level_line(ends, dense["mean_db"].iloc[0], DENSE, style)
        else:
            line = _mean_line(pd.concat([dense, own]), method, style)
        traces += [_intervals(own, method, style), line, _fit_marks(group, method, style, which)]
    return traces + _broken_legend(fits) + _missing_marks(fits, which)


def _level_line(ends: list[float], value: float, name: str, style: _Style) -> go.Scatter:
    """A horizontal line at one value, marked at its dense end if the style says how."""
    return go.Scatter(
        x=ends,
        y=_numbers([value] * len(ends)),
        name=name,
        mode="lines+markers" if style.symbol else "lines",
        line={"color": style.colour, "dash": style.dash, "width": 1.5},
        marker={"symbol": style.symbol, "size": [9, 0], "opacity": 1},
        hoverinfo="skip",
        legendgroup=name,
    )


def _intervals(rows: pd.DataFrame, method: str, style: _Style) -> go.Scatter:
    """A vertical bar per density, broken off between densities."""
    x = [x for density in rows["density"] for x in (density, density, None)]
    bounds = zip(_numbers(rows["low_db"]), _numbers(rows["high_db"]), strict=True)
    return go.Scatter(
        x=x,
        y=[y for low, high in bounds for y in (low, high, None)],
        name=_plain(f"{method}, interval"),
        mode="lines",
        line={"color": style.colour, "width": 5},
        opacity=0.25,
        hoverinfo="skip",
        legendgroup=method,
        showlegend=False,
    )


def _mean_line(rows: pd.DataFrame, method: str, style: _Style) -> go.Scatter:
    """From the dense mean down the ladder; unmarked where crosses say that all fits collapsed."""
    marked = rows["collapsed"] < rows["seeds"]
    return go.Scatter(
        x=rows["density"].tolist(),
        y=_numbers(rows["mean_db"]),
        name=_plain(method),
        mode="lines+markers",
        line={"color": style.colour, "dash": style.dash, "width": 2},
        marker={
            "symbol": style.symbol,
            "size": [9 if some else 0 for some in marked],
            "opacity": 1,
        },
        hoverinfo="skip",
        legendgroup=method,
    )


def _fit_marks(fits: pd.DataFrame, method: str, style: _Style, which: str) -> go.Scatter:
    broken = [outcome in BROKEN_SYMBOLS for outcome in fits["outcome"]]
    own = f"{style.symbol}-open"
    return go.Scatter(
        x=fits["density"].tolist(),
        y=_numbers(fits[f"psnr_{which}_db"]),
        name=_plain(f"{method}, fits"),
        mode="markers",
        marker={
            "color": style.colour,
            "opacity": 1,
            "symbol": [BROKEN_SYMBOLS.get(outcome, own) for outcome in fits["outcome"]],
            "size": [12 if bad else 7 for bad in broken],
            "line": {"color": style.colour, "width": [3 if bad else 1.5 for bad in broken]},
        },
        customdata=fits.index.tolist(),
        text=[_plain(f"{method}, seed {seed}") for seed in fits["seed"]],
        hovertemplate="%{text}<br>density %{x:.3g}<br>%{y:.2f} dB<extra></extra>",
        legendgroup=method,
        showlegend=False,
    )


def _broken_legend(fits: pd.DataFrame) -> list[go.Scatter]:
    """An entry for each way in which fits went wrong, whatever their colour."""
    line = {"color": PALETTE["ink"], "width": 3}
    return [
        go.Scatter(
            x=[1],
            y=[None],
            name=f"{outcome} fit",
            mode="markers",
            marker={"symbol": symbol, "size": 12, "color": PALETTE["ink"], "line": line},
        )
        for outcome, symbol in BROKEN_SYMBOLS.items()
        if (fits["outcome"] == outcome).any()
    ]


def _missing_marks(fits: pd.DataFrame, which: str) -> list[go.Scatter]:
    """Triangles along the foot of the figure for the fits without a PSNR; no trace without."""
    psnrs = fits[[f"psnr_{name}_db" for name in WHICH]]
    some = fits[psnrs.isna().any(axis=1)]
    if some.empty:
        return []
    styles = _styles(fits["method"])
    return [
        go.Scatter(
            x=some["density"].tolist(),
            y=[0 if missing else None for missing in some[f"psnr_{which}_db"].isna()],
            yaxis="y2",
            name="fit without PSNR",
            mode="markers",
            cliponaxis=False,
            marker={
                "symbol": "triangle-down",
                "size": 11,
                "color": [styles[method].colour for method in some["method"]],
            },
            customdata=some.index.tolist(),
            text=[_plain(outcome) for outcome in some["outcome"]],
            hovertemplate="%{text}<br>density %{x:.3g}<br>no PSNR<extra></extra>",
        )
    ]


def _numbers(values: Iterable[float]) -> list[float | None]:
    """Plain floats for JSON, None where there is no finite one."""
    return [float(value) if math.isfinite(value) else None for value in values]


def _plain(text: str) -> str:
    """Text that Plotly, which takes names for markup, shows as it is."""
    return escape(text, quote=False)


def _switch(fits: pd.DataFrame, table: pd.DataFrame) -> dict[str, Any]:
    """Buttons that replace every trace's y; the first is `WHICH[0]`."""
    buttons = []
    for which in WHICH:
        heights = [trace.y for trace in _traces(fits, table, which)]
        change = [{"y": heights}, {"yaxis.title.text": AXIS_TITLES[which]}]
        buttons.append({"label": BUTTONS[which], "method": "update", "args": change})
    place = {"x": 0, "xanchor": "left", "y": 1, "yanchor": "bottom", "pad": {"b": 12}}
    return {"type": "buttons", "direction": "right", "active": 0, "buttons": buttons, **place}


def _layout(fits: pd.DataFrame) -> dict[str, Any]:
    return {
        "template": "plotly_white",
        "paper_bgcolor": PALETTE["paper"],
        "plot_bgcolor": PALETTE["paper"],
        "hovermode": "closest",
        "dragmode": False,
        "margin": {"l": 62, "r": 16, "t": 56, "b": 92},
        "font": {"family": "system-ui, sans-serif", "size": 13, "color": PALETTE["ink"]},
        "legend": {"orientation": "h", "yref": "container", "y": 0, "yanchor": "bottom"},
        "modebar": {"remove": ["sendChartToCloud", "select2d", "lasso2d"]},
        "uirevision": "hidden methods and zoom outlive a redraw",
        "yaxis": {
            "title": {"text": AXIS_TITLES[WHICH[0]]},
            "range": _psnr_range(fits),
            "zeroline": False,
            **_axis_lines(),
        },
        "yaxis2": {"overlaying": "y", "range": [0, 1], "visible": False, "fixedrange": True},
    }


def _psnr_range(fits: pd.DataFrame) -> list[float]:
    """Room for every PSNR of every fit, so that the axis stays while the switch is used."""
    columns = ["psnr_measured_db", *(f"psnr_{which}_db" for which in WHICH)]
    values = fits[columns].to_numpy()
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    margin = 0.06 * (high - low) or 1.0
    return [low - margin, high + margin]


def _axis_lines() -> dict[str, Any]:
    lines = {"linecolor": PALETTE["muted"], "gridcolor": PALETTE["grid"]}
    return {"showline": True, "ticks": "outside", "tickcolor": PALETTE["muted"], **lines}


def _density_axis(densities: list[float], *, note: str) -> dict[str, Any]:
    """A log axis from dense on the left to sparse on the right, labelled at its densities."""
    ticks = _ticks(densities)
    return {
        "type": "log",
        "range": [math.log10(densities[0] * 1.12), math.log10(densities[-1] / 1.12)],
        "tickvals": ticks,
        "ticktext": [f"{density_text(tick)}<br>{sparsity_text(tick)}" for tick in ticks],
        "tickangle": 0,
        "tickfont": {"size": 12},
        "title": {"text": f"Density (below it: sparsity)<br><sub>{note}</sub>"},
        **_axis_lines(),
    }


def _ticks(densities: list[float]) -> list[float]:
    """The ends of the falling densities, and those between that leave room for each other."""
    first, last = densities[0], densities[-1]
    gap = math.log(first / last) * TICK_GAP
    ticks = [first]
    for density in densities[1:-1]:
        if min(math.log(ticks[-1] / density), math.log(density / last)) >= gap:
            ticks.append(density)
    return ticks if first == last else [*ticks, last]
