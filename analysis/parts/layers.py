"""Which layers a method keeps weights in, and the tickets whose masks the store has."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..charts.controls import dropdown
from ..charts.style import OKABE_ITO, PALETTE, layout, menu, numbers, plain
from ..page.content import Content
from ..page.section import Figure, Section
from ..rows.choosing import leading_seed
from ..rows.naming import distinct_names
from ..rows.points import density_text, described_points

MOST_NETWORKS = 4
"""Have a map of layers, and a matrix of overlaps."""

MOST_SCENES = 6
"""Images and tasks of a network that the map of its layers offers on a page."""

MOST_METHODS = 6
"""Methods likewise."""

LEAST = 1e-3
"""The density of a layer up to which the map is palest."""

PALE, FULL, NOTHING = "#F7FBFF", OKABE_ITO[5], OKABE_ITO[4]
"""Light enough to carry dark numbers, and apart in any colour vision."""

SCALE = [[0, PALE], [1, FULL]]

LAYER_SCALE = [[0, NOTHING], [0.01, NOTHING], [0.01, PALE], [1, FULL]]
"""A layer that keeps nothing stands out."""

TICKET = ["trial_id", "level"]

TICKETS = [
    *("trial_id", "level", "network", "scene", "method", "image", "target_task_name", "seed"),
    *("kept", "total", "density"),
]
"""Of `pruned_points` what their masks are shown with."""

NOTE = """
Each column is a ticket, each row a layer in the order of the network, by the shape of its weights:
how much of the layer is kept. Colours follow the logarithm; orange keeps nothing. One seed of each
method is shown. Point at a cell, or tap it, for the layer's name.
"""

Grid = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def pruned_points(trials: pd.DataFrame, levels: pd.DataFrame) -> pd.DataFrame:
    """The tickets of which the store has masks: one row a trial and level below dense.

    Beside the columns of `frontier_points` there are `network`, a name for prior and fit, and
    `scene`, one for image and task. Transfers that take the masks of a trajectory as they are have
    none of their own.

    Raises ValueError when there is no fit of a trajectory or a transfer.
    """
    return with_masks(described_points(trials, levels), trials)


def with_masks(points: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """The `pruned_points` of `described_points`."""
    named = points.assign(
        **{
            part: distinct_names(*(points[f"{part}_{end}"] for end in ("name", "key", "settings")))
            for part in ("network", "scene")
        }
    )
    owners = set(trials.loc[trials["owns_masks"].astype(bool), "trial_id"])
    sparse = named[(named["kept"] < named["total"]) & named["trial_id"].isin(owners)]
    return sparse.drop_duplicates(TICKET).reset_index(drop=True)


def layered_tickets(points: pd.DataFrame) -> pd.DataFrame:
    """The `pruned_points` whose layers a page maps.

    Of each network the first `MOST_SCENES` images and tasks with `MOST_METHODS` methods each, and
    of each of these the seed with the most levels.
    """
    chosen = []
    for _, network in points.groupby("network", observed=True):
        for _, scene in list(network.groupby("scene", observed=True))[:MOST_SCENES]:
            methods = list(scene.groupby("method", observed=True))[:MOST_METHODS]
            chosen += [leading_seed(own).drop_duplicates("kept") for _, own in methods]
    return pd.concat(chosen) if chosen else points.iloc[:0]


def layer_table(masks: pd.DataFrame, tickets: pd.DataFrame) -> pd.DataFrame:
    """One row per ticket and layer, in the order of the network, the densest ticket first.

    `masks` are rows of that table; `tickets` rows of `pruned_points`. Columns: network, scene,
    method, seed; `density` of the ticket; `position` and `layer`, its place and name, `shape` as
    text, and `layer_density`, the layer's own: kept ÷ prunable weights, in [0, 1].
    """
    columns = ["network", "scene", "method", "seed", "density"]
    if masks.empty:
        return tickets.iloc[:0][columns].assign(position=0, layer="", shape="", layer_density=0.0)
    layers = masks[[*TICKET, "position", "layer", "shape", "kept", "total"]]
    layers = layers.assign(
        layer_density=layers["kept"] / layers["total"],
        shape=["×".join(map(str, shape)) for shape in layers["shape"]],
    ).drop(columns=["kept", "total"])
    table = tickets[[*TICKET, *columns]].merge(layers, on=TICKET).drop(columns=TICKET)
    order = ["network", "scene", "method", "density", "position"]
    return table.sort_values(order, ascending=[True, True, True, False, True], ignore_index=True)


def layer_choices(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Scenes and methods of a `layer_table` as they are offered."""
    scenes, methods = (
        [str(one) for one in table[part].cat.categories if one in set(table[part])]
        for part in ("scene", "method")
    )
    return scenes, methods


def layer_figure(table: pd.DataFrame) -> go.Figure:
    """Layers of one network down, densities across; a map is chosen by scene and method.

    Raises ValueError when that is more than one network, or no ticket.
    """
    if table["network"].nunique() != 1:
        raise ValueError("a map of layers shows one network: choose its rows")
    scenes, methods = layer_choices(table)
    pairs = [(scene, method) for scene in scenes for method in methods]
    groups = [
        table[(table["scene"] == scene) & (table["method"] == method)] for scene, method in pairs
    ]
    figure = go.Figure([_layers(rows) for rows in groups])
    buttons = []
    for place, (scene, method) in enumerate(pairs):
        visible = [other == place for other in range(len(pairs))]
        title = {"xaxis.title.text": _said(groups[place], f"{method}, {scene}")}
        args = [{"visible": visible}, title]
        buttons.append({"label": f"{scene}, {method}", "method": "update", "args": args})
    for place, trace in enumerate(figure.data):
        trace.visible = not place
    figure.update_layout(cell_grid(), updatemenus=[menu(buttons, kind="dropdown")])
    figure.update_xaxes(title_text=_said(groups[0], f"{pairs[0][1]}, {pairs[0][0]}"))
    return figure


def sections(shown: Content) -> Iterator[Section]:
    """One per network of which the store has masks."""
    chosen = layered_tickets(shown.once(masked_tickets))
    if chosen.empty:
        return
    table = layer_table(shown.store.frame("masks", trials=set(chosen["trial_id"])), chosen)
    for place, (network, rows) in enumerate(table.groupby("network", observed=True)):
        title = f"Density by layer: {network}"
        figure = _drawn(rows, f"layers-{place}")
        yield Section(name=f"of-layers-{place}", title=title, blocks=(figure,))


def masked_tickets(shown: Content) -> pd.DataFrame:
    """The tickets with masks of the `MOST_NETWORKS` networks that have the most."""
    if shown.described.empty:
        return pd.DataFrame(columns=TICKETS)
    tickets = with_masks(shown.described, shown.trials)[TICKETS]
    counts = tickets["network"].value_counts(sort=False).sort_index()
    largest = counts.sort_values(ascending=False, kind="stable").index[:MOST_NETWORKS]
    return pd.DataFrame(tickets[tickets["network"].isin(largest)])


def _drawn(rows: pd.DataFrame, place: str) -> Figure:
    scenes, methods = layer_choices(rows)
    return Figure(
        name="layers",
        place=place,
        label="Density of each layer",
        note=NOTE,
        lines=rows["position"].nunique() // 2,
        figure=layer_figure(rows),
        controls=(
            dropdown(f"scene-{place}", "Image and task", scenes),
            dropdown(f"method-{place}", "Method", methods),
        ),
    )


def _layers(rows: pd.DataFrame) -> go.Heatmap:
    """The map of one scene and method; colours follow the logarithm."""
    cells = rows.assign(column=[density_text(one) for one in rows["density"]])
    wide = cells.pivot_table(
        index=["position", "layer", "shape"], columns="column", values="layer_density", sort=False
    )
    values = wide.to_numpy()
    text = [
        [density_text(value) if math.isfinite(value) else "" for value in row] for row in values
    ]
    said = [[f"{layer}<br>{shape}"] * len(wide.columns) for _, layer, shape in wide.index]
    return go.Heatmap(
        x=list(wide.columns),
        y=[f"{position + 1}: {shape}" for position, _, shape in wide.index],
        z=[numbers(row) for row in _depths(values)],
        text=text,
        hovertext=said,
        texttemplate="%{text}",
        hovertemplate="%{hovertext}<br>ticket %{x}<br>layer %{text}<extra></extra>",
        hoverongaps=False,
        colorscale=LAYER_SCALE,
        zmin=0,
        zmax=1,
        showscale=False,
        xgap=1,
        ygap=1,
    )


def _depths(densities: Grid) -> Grid:
    """Places on the scale of colours: by the logarithm, and 0 for a layer that keeps nothing."""
    with np.errstate(divide="ignore"):
        share = 1 - np.log10(densities) / math.log10(LEAST)
    return np.where(densities == 0, 0, np.clip(share, 0.02, 1))


def _said(rows: pd.DataFrame, choice: str) -> str:
    """The title of the densities' axis."""
    seed = f", seed {rows['seed'].iloc[0]}" if len(rows) else ": no such ticket"
    return f"Density of the ticket<br><sub>{plain(choice + seed)}</sub>"


def cell_grid() -> dict[str, Any]:
    """Cells of categories, the first one at the top left."""
    axis: dict[str, Any] = {"showgrid": False, "zeroline": False, "type": "category", "ticks": ""}
    axis |= {"automargin": True, "linecolor": PALETTE["muted"], "fixedrange": True}
    axis["tickfont"] = {"size": 11}
    return layout("") | {
        "xaxis": axis,
        "yaxis": {**axis, "autorange": "reversed"},
        "margin": {"l": 20, "r": 12, "t": 56, "b": 70},
    }
