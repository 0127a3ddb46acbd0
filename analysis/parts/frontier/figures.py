"""The frontier's figure: one scene by one cost."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lip_ray.columns import FIT_S, MACS

from ...charts.choices import chosen, resolved
from ...charts.style import AXIS_TITLES, TICK_GAP, axis_lines, layout, sparse_ticks, spread
from ...rows.points import WHICH
from ...rows.texts import count_text, density_text, sparsity_text
from .looks import ALL, series_of
from .table import AXES, SCENE
from .traces import drawings

LEGEND_SHARE = 0.35
"""The most that the legend takes of the figure's height."""

COST_TITLES = {
    "density": "Density (below it: sparsity)",
    "kept": "Kept prunable weights",
    "macs": MACS.title.capitalize(),
    "seconds": FIT_S.title.capitalize(),
}

ROUND_NUMBERS = [digit * 10.0**power for power in range(-3, 15) for digit in (1, 2, 5)]

TICK_TEXTS: Mapping[str, Callable[[float], str]] = {
    "density": lambda cost: f"{density_text(cost)}<br>{sparsity_text(cost)}",
    "kept": count_text,
    "macs": count_text,
    "seconds": lambda cost: f"{cost:g}",
}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What the frontier's figure shows."""

    task: str
    image: str
    prior: str = ALL
    """The name of a network, or `ALL`."""
    method: str = ALL
    which: str = WHICH[0]
    axis: str = "density"
    spread: str = "bars"
    """How intervals are drawn, as one of `SPREADS`."""


def first_choice(table: pd.DataFrame) -> Shown:
    """The first scene of a `scene_table`."""
    first = table.iloc[0]
    return Shown(task=first["task"], image=first["image"])


def frontier_figure(
    table: pd.DataFrame, choice: Shown | None = None, *, fits: pd.DataFrame | None = None
) -> go.Figure:
    """PSNR against a cost for one scene: means, intervals, the front, and what they are held to.

    `table` is a `scene_table`, and `fits`, drawn as open marks whose `customdata` are row labels,
    are those of `frontier_fits` that it was made of. Without a choice the first scene is shown.

    Raises ValueError when the table has no row of that scene, naming those that there are.
    """
    choice = choice or first_choice(table)
    rows = scene_rows(table, choice)
    own = scene_fits(fits, choice.task, choice.image) if fits is not None else None
    (drawing,) = drawings(series_of(table), {choice.which: rows}, own).values()
    look = resolved(frontier_layout(), vars(choice), {})
    figure = go.Figure(list(drawing.drawn(vars(choice))), look)
    scene = table[_in_scene(table, choice)]
    figure.update_yaxes(range=psnr_range(scene, own))
    figure.update_xaxes(cost_ticks(scene[choice.axis], choice.axis))
    return figure


def frontier_layout() -> dict[str, Any]:
    """The layout of all scenes but for the range of PSNRs, by choice."""
    found = layout("") | {"xaxis": chosen("axis", {axis: cost_axis(axis) for axis in AXES})}
    found["legend"] = found["legend"] | {"maxheight": LEGEND_SHARE}
    found["yaxis"] = found["yaxis"] | {"title": {"text": chosen("which", AXIS_TITLES)}}
    return found


def cost_axis(axis: str) -> dict[str, Any]:
    """A log axis with the cheapest on the right, as in all figures."""
    title = {"title": {"text": COST_TITLES[axis]}}
    return {"type": "log", "autorange": "reversed", "tickangle": 0} | title | axis_lines()


def cost_ticks(costs: pd.Series, axis: str) -> dict[str, Any]:
    """Labels of a cost's axis: the densities that there are, and round numbers of all else."""
    there = sorted({float(cost) for cost in costs if cost > 0}, reverse=True) or [1.0]
    labels = there
    if axis != "density":
        within = [number for number in ROUND_NUMBERS if there[-1] <= number <= there[0]]
        labels = within[::-1] if len(within) > 1 else there
    ticks = sparse_ticks(labels, TICK_GAP)
    return {"tickvals": ticks, "ticktext": [TICK_TEXTS[axis](tick) for tick in ticks]}


def psnr_range(scene: pd.DataFrame, fits: pd.DataFrame | None) -> list[float]:
    """Room for all three PSNRs of a scene, so that the axis stays while the switch is used.

    The measurement has room where anything restored is as bad: elsewhere its line would only take
    height from what is compared.
    """
    found = [*scene["mean_db"]]
    if fits is not None:
        found += fits[[f"psnr_{which}_db" for which in WHICH]].to_numpy().ravel().tolist()
    known = [value for value in found if math.isfinite(value)]
    measured = [value for value in scene["measured_db"] if value >= min(known, default=math.inf)]
    return spread([*known, *measured])


def scene_rows(table: pd.DataFrame, choice: Shown) -> pd.DataFrame:
    """The rows of a `scene_table` for a choice's scene and PSNR.

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


def scene_fits(fits: pd.DataFrame, task: str, image: str) -> pd.DataFrame:
    """The fits of a scene: those of all images of the task where the scene is their mean."""
    own = fits[fits["task"] == task]
    single = image in own["image"].cat.categories
    return own[own["image"] == image] if single else own


def _in_scene(table: pd.DataFrame, choice: Shown) -> "pd.Series[bool]":
    return (table["task"] == choice.task) & (table["image"] == choice.image)
