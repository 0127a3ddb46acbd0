"""The explorer's figure: one scene by one cost, as the page's script draws it too."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lip_ray.columns import FIT_S, MACS
from lip_ray.records import Outcome

from ...charts.style import (
    AXIS_TITLES,
    PALETTE,
    Style,
    axis_lines,
    base_style,
    layout,
    method_style,
    numbers,
    plain,
    spread,
)
from ...rows.naming import tuples
from ...rows.points import WHICH
from ...statistics.published import published_for
from .table import SCENE, SERIES

ALL = "all"
"""Of priors and methods."""

DEEP_DECODER = "deep_decoder"
"""The kind of network that is a reference whatever is chosen."""

MANY = 2_000
"""Fits in view beyond which they are drawn by WebGL."""

LEGEND_SHARE = 0.8
"""Of the figure's height at most."""

BROKEN = {Outcome.COLLAPSED.value: "x-thin", Outcome.DIVERGED.value: "asterisk"}

COST_TITLES = {
    "density": "Density: kept ÷ prunable weights",
    "kept": "Kept prunable weights",
    "macs": MACS.title.capitalize(),
    "seconds": FIT_S.title.capitalize(),
}

COST_HOVERS = {
    "density": "density %{x:.3g}",
    "kept": "%{x:,} weights kept",
    "macs": "%{x:.3s} multiply-adds",
    "seconds": "%{x:.3s} s",
}

TAILS = {
    "run": ", one run",
    "seed": " [%{customdata[0]:.2f}, %{customdata[1]:.2f}], n = %{customdata[2]} seeds",
    "image": " [%{customdata[0]:.2f}, %{customdata[1]:.2f}], n = %{customdata[2]} images",
}
"""Of what a mean's hover label says, by its sample."""

DENSITY_TICKS = [
    round(digit * 10.0**power, -power) for power in range(-5, 1) for digit in (1, 2, 5)
]


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What an explorer's figure shows."""

    task: str
    image: str
    prior: str = ALL
    """A network by name."""
    method: str = ALL
    which: str = WHICH[0]
    axis: str = "density"


@dataclass(frozen=True, kw_only=True)
class Series:
    """What one line joins: the tickets of a method in a network, or a dense network alone."""

    network: str
    method: str
    prior: str
    base: bool
    name: str
    style: Style

    def shown(self, choice: Choice) -> bool:
        """Whether it is in view: dense networks are, whatever the method."""
        own = choice.prior in (ALL, self.network) or (self.base and self.prior == DEEP_DECODER)
        return own and (self.base or choice.method in (ALL, self.method))


def first_choice(table: pd.DataFrame) -> Choice:
    """The first scene of a `scene_table`."""
    first = table.iloc[0]
    return Choice(task=first["task"], image=first["image"])


def series_of(table: pd.DataFrame) -> list[Series]:
    """All series of a `scene_table`, in the order in which they are drawn; the dense ones last."""
    columns = [*SERIES, "prior", "reference"]
    found = table[columns].drop_duplicates(SERIES).sort_values(SERIES).astype(str)
    alone = found["network"].nunique() == 1
    base = found["method"] == found["reference"]
    styles: tuple[tuple[pd.DataFrame, bool, Callable[[int], Style]], ...] = (
        (found[~base], False, method_style),
        (found[base], True, base_style),
    )
    return [
        Series(
            network=row.network,
            method=row.method,
            prior=row.prior,
            base=is_base,
            name=row.method if alone else f"{row.network}: {row.method}",
            style=style(place),
        )
        for rows, is_base, style in styles
        for place, row in enumerate(tuples(rows))
    ]


def explorer_figure(
    table: pd.DataFrame, choice: Choice | None = None, *, fits: pd.DataFrame | None = None
) -> go.Figure:
    """PSNR against a cost for one scene: means, intervals, the front, and what they are held to.

    `table` is a `scene_table`, and `fits`, drawn as open marks whose `customdata` are row labels,
    are those of `explorer_fits` that it was made of. Without a choice the first scene is shown.

    Raises ValueError when the table has no row of that scene, naming those that there are.
    """
    choice = choice or first_choice(table)
    scene = scene_rows(table, choice)
    own = scene_fits(fits, choice) if fits is not None else None
    figure = go.Figure(list(_traces(series_of(table), scene, own, choice)))
    figure.update_layout(layout(AXIS_TITLES[choice.which]), legend_maxheight=LEGEND_SHARE)
    figure.update_xaxes(cost_axis(choice.axis))
    figure.update_yaxes(range=psnr_range(table[_in_scene(table, choice)], own))
    return figure


def cost_axis(axis: str) -> dict[str, Any]:
    """A log axis with the cheapest on the right, as in all figures."""
    ticks: dict[str, Any] = {"tickformat": "~s"}
    if axis == "density":
        ticks = {"tickvals": DENSITY_TICKS, "ticktext": [f"{tick:g}" for tick in DENSITY_TICKS]}
    title = {"title": {"text": COST_TITLES[axis]}}
    return {"type": "log", "autorange": "reversed", "tickangle": 0} | ticks | title | axis_lines()


def psnr_range(scene: pd.DataFrame, fits: pd.DataFrame | None) -> list[float]:
    """Room for all three PSNRs of a scene, so that the axis stays while the switch is used."""
    found = [*scene["mean_db"], *scene["measured_db"]]
    if fits is not None:
        found += fits[[f"psnr_{which}_db" for which in WHICH]].to_numpy().ravel().tolist()
    return spread(found)


def scene_rows(table: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """The rows of a `scene_table` that a choice is of.

    Raises ValueError when there are none.
    """
    rows = table[_in_scene(table, choice) & (table["which"] == choice.which)]
    if rows.empty:
        known = table[SCENE].drop_duplicates().astype(str).agg(", ".join, axis=1)
        raise ValueError(
            f"no scene {choice.task}, {choice.image} ({choice.which}); there are: "
            + "; ".join(known)
        )
    return rows


def scene_fits(fits: pd.DataFrame, choice: Choice) -> pd.DataFrame:
    """The fits of a scene: of all images of the task where it is their mean."""
    own = fits[fits["task"] == choice.task].sort_values("image", kind="stable")
    single = choice.image in own["image"].cat.categories
    return own[own["image"] == choice.image] if single else own


def published_marks(scene: str, which: str) -> pd.DataFrame:
    """Published PSNRs of that step for a scene's JSON, each with a text that says whose it is."""
    found = published_for(scene)
    found = found[found["which"] == which]
    said = found["network"] + ", " + found["method"]
    return found.assign(text=said.map(plain) + "<br>" + found["source"].map(plain))


def _in_scene(table: pd.DataFrame, choice: Choice) -> "pd.Series[bool]":
    return (table["task"] == choice.task) & (table["image"] == choice.image)


def _traces(
    series: list[Series], scene: pd.DataFrame, fits: pd.DataFrame | None, choice: Choice
) -> Iterator[go.Scatter | go.Scattergl]:
    """All of a scene, the front on top."""
    shown = [one for one in series if one.shown(choice)]
    ends = [scene[choice.axis].max(), scene[choice.axis].min()]
    for one in shown:
        rows = _own(scene, one)
        if rows.empty:
            continue
        yield _intervals(rows, one, choice.axis)
        if one.base:
            yield _mark(rows, one, choice.axis)
            yield from (_level(value, one, ends) for value in numbers(rows["mean_db"]))
        else:
            yield _line(scene, rows, one, choice)
    if fits is not None:
        yield from _fit_traces(shown, fits, choice)
    yield _front(scene, choice.axis)
    key = scene["scene"].iloc[0]
    if key and choice.axis == "density":
        yield from _published(published_marks(key, choice.which))


def _own(rows: pd.DataFrame, series: Series) -> pd.DataFrame:
    return rows[(rows["network"] == series.network) & (rows["method"] == series.method)]


def _intervals(rows: pd.DataFrame, series: Series, axis: str) -> go.Scatter:
    """A vertical bar per point, broken off between them."""
    bounds = zip(numbers(rows["low_db"]), numbers(rows["high_db"]), strict=True)
    return go.Scatter(
        x=[x for cost in numbers(rows[axis]) for x in (cost, cost, None)],
        y=[y for low, high in bounds for y in (low, high, None)],
        name=plain(f"{series.name}, interval"),
        mode="lines",
        line={"color": series.style.colour, "width": 5},
        opacity=0.25,
        hoverinfo="skip",
        legendgroup=series.name,
        showlegend=False,
    )


def _line(scene: pd.DataFrame, rows: pd.DataFrame, series: Series, choice: Choice) -> go.Scatter:
    """From the dense mean down the ladder."""
    top = scene[
        (scene["network"] == series.network) & (scene["method"] == rows["reference"].iloc[0])
    ]
    ladder = pd.concat([top.head(1), rows])
    return go.Scatter(
        x=numbers(ladder[choice.axis]),
        y=numbers(ladder["mean_db"]),
        mode="lines+markers",
        line={"color": series.style.colour, "dash": series.style.dash, "width": 2},
        marker={"symbol": series.style.symbol, "size": 9, "opacity": 1},
        **_named(ladder, series, choice.axis),
    )


def _mark(rows: pd.DataFrame, series: Series, axis: str) -> go.Scatter:
    """A dense network at its own cost."""
    return go.Scatter(
        x=numbers(rows[axis]),
        y=numbers(rows["mean_db"]),
        mode="lines+markers",
        line={"color": series.style.colour, "dash": series.style.dash, "width": 1.5},
        marker={"symbol": series.style.symbol, "size": 9, "opacity": 1},
        **_named(rows, series, axis),
    )


def _level(value: float | None, series: Series, ends: list[float]) -> go.Scatter:
    """A horizontal line at what a dense network reaches."""
    return go.Scatter(
        x=numbers(ends),
        y=[value, value],
        name=plain(f"{series.name}, level"),
        mode="lines",
        line={"color": series.style.colour, "dash": series.style.dash, "width": 1.5},
        hoverinfo="skip",
        legendgroup=series.name,
        showlegend=False,
    )


def _named(rows: pd.DataFrame, series: Series, axis: str) -> dict[str, Any]:
    """Legend and hover label of means."""
    head = f"{plain(series.name)}<br>{COST_HOVERS[axis]}<br>%{{y:.2f}} dB"
    units = rows["unit"].where(rows["n"] > 1, "run")
    bounds = zip(numbers(rows["low_db"]), numbers(rows["high_db"]), rows["n"].tolist(), strict=True)
    return {
        "name": plain(series.name),
        "legendgroup": series.name,
        "customdata": [list(row) for row in bounds],
        "hovertemplate": [f"{head}{TAILS[unit]}<extra></extra>" for unit in units],
    }


def _fit_traces(
    shown: list[Series], fits: pd.DataFrame, choice: Choice
) -> Iterator[go.Scatter | go.Scattergl]:
    """Open marks, and one trace for each way in which fits went wrong."""
    groups = [(one, _own(fits, one)) for one in shown]
    many = sum(len(own) for _, own in groups) > MANY
    broken = []
    for one, own in groups:
        bad = own["outcome"].isin(list(BROKEN))
        broken.append(own[bad])
        good = own[~bad]
        if len(good):
            style: dict[str, Any] = {
                "color": one.style.colour,
                "symbol": f"{one.style.symbol}-open",
                "size": 4 if many else 6,
            }
            named = {"name": plain(f"{one.name}, fits"), "legendgroup": one.name}
            marks = _marks(good, choice, many=many, label=plain(one.name))
            yield marks.update(marker=style, showlegend=False, **named)
    ink = PALETTE["ink"]
    for outcome, symbol in BROKEN.items():
        own = pd.concat(broken) if broken else fits.iloc[:0]
        own = own[own["outcome"] == outcome]
        if len(own):
            line = {"color": ink, "width": 1.5}
            style = {"color": ink, "symbol": symbol, "size": 9, "line": line}
            marks = _marks(own, choice, many=many, label=f"{outcome} fit")
            yield marks.update(marker=style, name=f"{outcome} fit")


def _marks(
    fits: pd.DataFrame, choice: Choice, *, many: bool, label: str
) -> go.Scatter | go.Scattergl:
    kind = go.Scattergl if many else go.Scatter
    return kind(
        x=numbers(fits[choice.axis]),
        y=numbers(fits[f"psnr_{choice.which}_db"]),
        mode="markers",
        opacity=0.3 if many else 0.6,
        customdata=fits.index.tolist(),
        text=[
            f"{plain(image)}, seed {seed}"
            for image, seed in zip(fits["image"], fits["seed"], strict=True)
        ],
        hovertemplate=f"{label}<br>%{{text}}<br>{COST_HOVERS[choice.axis]}<br>%{{y:.2f}} dB"
        "<extra></extra>",
    )


def _front(scene: pd.DataFrame, axis: str) -> go.Scatter:
    """Steps from the cheapest to the best; rings around what is on the front."""
    rows = scene[scene[f"front_{axis}"]].sort_values(axis, kind="stable")
    return go.Scatter(
        x=numbers(rows[axis]),
        y=numbers(rows["mean_db"]),
        name="Pareto front",
        mode="lines+markers",
        line={"color": PALETTE["ink"], "width": 1, "shape": "hv"},
        marker={"symbol": "circle-open", "size": 16, "color": PALETTE["ink"]},
        hoverinfo="skip",
    )


def _published(marks: pd.DataFrame) -> Iterator[go.Scatter]:
    if len(marks):
        yield go.Scatter(
            x=marks["density"].tolist(),
            y=marks["psnr_db"].tolist(),
            name="published",
            mode="markers",
            marker={"symbol": "cross", "size": 10, "color": PALETTE["muted"]},
            text=marks["text"].tolist(),
            hovertemplate="published<br>%{text}<br>density %{x:.3g}<br>%{y:.2f} dB<extra></extra>",
        )
