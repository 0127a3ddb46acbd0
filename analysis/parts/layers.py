"""Which layers a method keeps weights in."""

import math
from collections.abc import Iterator

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from ..charts.cells import FULL, PALE, cell_layout, cell_map
from ..charts.controls import Choice, alternatives, listed_of
from ..charts.style import OKABE_ITO, plain
from ..page.content import Content, Part
from ..page.section import Block, Figure, Section, one_per
from ..rows.choosing import check_single, leading_seed
from ..rows.identity import KINDS
from ..rows.texts import density_text
from .tickets import TICKET, masked_tickets

MOST_SCENES = 6
"""Images and tasks of a network that the map of its layers offers on a page."""

MOST_METHODS = 6
"""Methods that it offers for each of these."""

LEAST = 1e-3
"""The density of a layer up to which the map is palest."""

NOTHING = OKABE_ITO[4]
SCALE = [[0, NOTHING], [0.01, NOTHING], [0.01, PALE], [1, FULL]]
"""A layer that keeps nothing stands out."""

NOTE = """
Each column is a ticket, each row a layer in the order of the network, by the shape of its weights:
how much of the layer is kept. Colours follow the logarithm; orange keeps nothing. One seed of each
method is shown. Point at a cell, or tap it, for the layer's name.
"""

Grid = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


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


def layer_choices(table: pd.DataFrame) -> tuple[Choice, Choice]:
    """Scenes and methods of a `layer_table` as they are offered."""
    scene = Choice(name="scene", legend="Image and task", labels=listed_of(table["scene"]))
    return scene, Choice(name="method", legend="Method", labels=listed_of(table["method"]))


def layer_figure(table: pd.DataFrame) -> go.Figure:
    """Layers of one network down, densities across; a map is chosen by scene and method.

    Raises ValueError when that is more than one network, or no ticket.
    """
    check_single(table, "network", "a map of layers shows one network: choose its rows")

    def own(scene: str, method: str) -> pd.DataFrame:
        return table[(table["scene"] == scene) & (table["method"] == method)]

    return alternatives(
        layer_choices(table),
        cell_layout(),
        lambda *values: _layers(own(*values)),
        lambda scene, method: {
            "xaxis.title.text": _title(own(scene, method), f"{method}, {scene}")
        },
    )


def sections(shown: Content) -> Iterator[Section]:
    """One per network of which the store has masks."""
    chosen = layered_tickets(shown.once(masked_tickets))
    if len(chosen):
        table = layer_table(shown.store.frame("masks", trials=set(chosen["trial_id"])), chosen)
        yield from one_per(table, "network", "layers", _blocks, title="Density by layer: {}")


def _blocks(rows: pd.DataFrame, place: str) -> Iterator[Block]:
    yield Figure(
        name="layers",
        place=place,
        label="Density of each layer",
        note=NOTE,
        lines=rows["position"].nunique() // 2,
        figure=layer_figure(rows),
        controls=layer_choices(rows),
    )


def _layers(rows: pd.DataFrame) -> go.Heatmap:
    """The map of one scene and method; colours follow the logarithm."""
    cells = rows.assign(column=[density_text(one) for one in rows["density"]])
    wide = cells.pivot_table(
        index=["position", "layer", "shape"], columns="column", values="layer_density", sort=False
    )
    values = wide.to_numpy()
    return cell_map(
        list(wide.columns),
        [f"{position + 1}: {shape}" for position, _, shape in wide.index],
        _depths(values),
        scale=SCALE,
        text=[[density_text(one) if math.isfinite(one) else "" for one in row] for row in values],
        hovertext=[[f"{layer}<br>{shape}"] * len(wide.columns) for _, layer, shape in wide.index],
        hovertemplate="%{hovertext}<br>ticket %{x}<br>layer %{text}<extra></extra>",
    )


def _depths(densities: Grid) -> Grid:
    """Places on the scale of colours: by the logarithm, and 0 for a layer that keeps nothing."""
    with np.errstate(divide="ignore"):
        share = 1 - np.log10(densities) / math.log10(LEAST)
    return np.where(densities == 0, 0, np.clip(share, 0.02, 1))


def _title(rows: pd.DataFrame, choice: str) -> str:
    seed = f", seed {rows['seed'].iloc[0]}" if len(rows) else ": no such ticket"
    return f"Density of the ticket<br><sub>{plain(choice + seed)}</sub>"


PART = Part(label="Layers", names={"layers"}, sections=sections, kinds={*KINDS})
