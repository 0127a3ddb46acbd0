"""The explorer's figure: one scene by one cost."""

from dataclasses import dataclass
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from lip_ray.columns import FIT_S, MACS

from ...charts.choices import chosen, resolved
from ...charts.style import AXIS_TITLES, axis_lines, layout, spread
from ...rows.points import WHICH
from .looks import ALL, series_of
from .table import AXES, SCENE
from .traces import drawings

LEGEND_SHARE = 0.8
"""The most that the legend takes of the figure's height."""

COST_TITLES = {
    "density": "Density: kept ÷ prunable weights",
    "kept": "Kept prunable weights",
    "macs": MACS.title.capitalize(),
    "seconds": FIT_S.title.capitalize(),
}

DENSITY_TICKS = [
    round(digit * 10.0**power, -power) for power in range(-5, 1) for digit in (1, 2, 5)
]


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What an explorer's figure shows."""

    task: str
    image: str
    prior: str = ALL
    """The name of a network, or `ALL`."""
    method: str = ALL
    which: str = WHICH[0]
    axis: str = "density"


def first_choice(table: pd.DataFrame) -> Shown:
    """The first scene of a `scene_table`."""
    first = table.iloc[0]
    return Shown(task=first["task"], image=first["image"])


def explorer_figure(
    table: pd.DataFrame, choice: Shown | None = None, *, fits: pd.DataFrame | None = None
) -> go.Figure:
    """PSNR against a cost for one scene: means, intervals, the front, and what they are held to.

    `table` is a `scene_table`, and `fits`, drawn as open marks whose `customdata` are row labels,
    are those of `explorer_fits` that it was made of. Without a choice the first scene is shown.

    Raises ValueError when the table has no row of that scene, naming those that there are.
    """
    choice = choice or first_choice(table)
    rows = scene_rows(table, choice)
    own = scene_fits(fits, choice.task, choice.image) if fits is not None else None
    (drawing,) = drawings(series_of(table), {choice.which: rows}, own).values()
    figure = go.Figure(list(drawing.drawn(vars(choice))))
    figure.update_layout(resolved(explorer_layout(), vars(choice), {}))
    figure.update_yaxes(range=psnr_range(table[_in_scene(table, choice)], own))
    return figure


def explorer_layout() -> dict[str, Any]:
    """The layout of all scenes but for the range of PSNRs, by choice."""
    found = layout("") | {"xaxis": chosen("axis", {axis: cost_axis(axis) for axis in AXES})}
    found["legend"] = found["legend"] | {"maxheight": LEGEND_SHARE}
    found["yaxis"] = found["yaxis"] | {"title": {"text": chosen("which", AXIS_TITLES)}}
    return found


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
