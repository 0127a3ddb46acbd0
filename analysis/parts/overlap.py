"""How much the masks of two tickets have in common, against what chance would give."""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from lip_ray.records import LayerMask

from ..charts.cells import cell_layout, cell_map, in_lines
from ..charts.controls import Choice, alternatives, density_choice
from ..page.content import Content, Part
from ..page.section import Block, Figure, Section, one_per
from ..rows.choosing import check_single, evenly, shown_text
from ..rows.identity import KINDS
from ..rows.naming import tuples
from .tickets import masked_tickets

MOST_TICKETS = 24
"""The tickets of a matrix: more cannot be read."""

MOST_DENSITIES = 3
"""Densities at which a page compares the masks of a network."""

MEASURES = {"iou": "IoU", "lift": "Times chance"}
"""What a matrix of overlaps shows, by the column of its table."""

NOTE = """
Two tickets that keep equally many weights: the weights that both keep ÷ those that either keeps
(IoU, 1 for equal masks), or how many times that is what independent masks with the same density in
every layer would have. At 1 two tickets agree on how much each layer keeps, and on nothing else.
Point at a cell, or tap it, for all numbers.
"""

TOLD = ("method", "image", "target_task_name", "seed")
"""What tells the tickets of a matrix apart, by the columns of points."""

LABEL_WIDTH = 34
"""Characters in a line of a ticket's name."""

HOVER = (
    "tickets %{y} and %{x}<br>IoU %{customdata[0]}, by chance %{customdata[1]}: "
    "%{customdata[2]} times<br>%{customdata[3]} % of the kept weights in both<extra></extra>"
)


def overlap_tickets(points: pd.DataFrame) -> pd.DataFrame:
    """The `pruned_points` whose masks a page compares: at most `MOST_TICKETS` a matrix.

    Of each network the `MOST_DENSITIES` counts of kept weights, evenly down the ladder, that
    several tickets have; of these tickets the first seed of every method and scene, then the
    second, and so on. `ticket` names each in its matrix by what tells it from the others.
    """
    chosen = []
    for _, network in points.groupby(["network", "total"], observed=True):
        sizes = network["kept"].value_counts()
        shared = sorted(sizes[sizes > 1].index, reverse=True)
        for kept in evenly(shared, MOST_DENSITIES):
            chosen.append(_first_seeds(network[network["kept"] == kept]))
    if not chosen:
        return points.iloc[:0].assign(ticket="")
    return pd.concat(chosen, ignore_index=True)


def overlap_table(
    tickets: pd.DataFrame, masks: Mapping[tuple[str, int], Sequence[LayerMask]]
) -> pd.DataFrame:
    """One row per two tickets, `a` and `b`, of one network that keep equally many weights.

    `tickets` are rows of `overlap_tickets`, `masks` are by trial and level; tickets without are
    left out. `both` counts the weights that both keep, `share` is that ÷ kept, `iou` that ÷ what
    either keeps. `chance` is the IoU at the expected intersection of independent masks that keep as
    many in every layer, so that `lift`, IoU ÷ chance, is 1 where the two agree on nothing but their
    layers' densities; NaN where no layer is shared.
    """
    columns = ["network", "kept", "total", "density", "a", "b"]
    columns += ["both", "share", "iou", "chance", "lift"]
    rows = []
    for _, own in tickets.groupby(["network", "kept", "total"], observed=True):
        known = [ticket for ticket in tuples(own) if (ticket.trial_id, ticket.level) in masks]
        for a, b in combinations_with_replacement(known, 2):
            found = _overlap(masks[a.trial_id, a.level], masks[b.trial_id, b.level])
            shared = {name: getattr(a, name) for name in columns[:4]}
            if found is not None:
                rows.append(shared | {"a": a.ticket, "b": b.ticket} | found)
    return pd.DataFrame(rows, columns=columns)


def overlap_figure(table: pd.DataFrame) -> go.Figure:
    """Tickets of one network by tickets: what their masks have in common, at a chosen density.

    Raises ValueError when that is more than one network, or no pair.
    """
    check_single(table, "network", "a matrix of overlaps shows one network: choose its rows")
    return alternatives(
        overlap_choices(table),
        cell_layout(),
        lambda kept, measure: _matrix(table[table["kept"] == kept], measure),
    )


def overlap_choices(table: pd.DataFrame) -> tuple[Choice, Choice]:
    """The densities of a network, by how many weights are kept, and what is shown of them.

    The sparsest comes first: the more weights are kept, the more any two masks have in common.
    """
    measure = Choice(name="measure", legend="Shown", labels=MEASURES, row=True)
    return density_choice(table, chosen=table["kept"].nunique() - 1), measure


def sections(shown: Content) -> Iterator[Section]:
    """One per network of which several tickets have equally many weights."""
    tickets = shown.once(masked_tickets)
    chosen = overlap_tickets(tickets)
    keys = [(row.trial_id, row.level) for row in tuples(chosen)]
    found = {key: shown.store.masks(*key) for key in dict.fromkeys(keys)}
    known = {key: mask for key, mask in found.items() if mask is not None}
    table = overlap_table(chosen, known)
    several = table.groupby("network", observed=True).filter(
        lambda own: (own["a"] != own["b"]).any()
    )

    def blocks(rows: pd.DataFrame, place: str) -> Iterator[Block]:
        own = tickets[tickets["network"] == rows["network"].iloc[0]].groupby("kept").size().max()
        yield Figure(
            name="overlap",
            place=place,
            label="Overlap of masks",
            note=NOTE + shown_text(own, MOST_TICKETS, "tickets {}"),
            lines=0,
            rows=rows["a"].nunique(),
            figure=overlap_figure(rows),
            controls=overlap_choices(rows),
        )

    yield from one_per(several, "network", "overlap", blocks, title="Overlap of masks: {}")


def _first_seeds(tickets: pd.DataFrame) -> pd.DataFrame:
    """At most `MOST_TICKETS`, named, in the order of methods, scenes and seeds."""
    order = ["method", "scene", "seed"]
    ranked = tickets.sort_values(order, kind="stable")
    turn = ranked.groupby(["method", "scene"], observed=True).cumcount()
    first = ranked.loc[turn.sort_values(kind="stable").index[:MOST_TICKETS]]
    found = first.sort_values(order, kind="stable")
    return found.assign(ticket=_names(found))


def _names(tickets: pd.DataFrame) -> pd.Series:
    """What tells each from the others, and a count where nothing does."""
    told = [part for part in TOLD if tickets[part].nunique() > 1] or ["method"]
    words = [tickets[part].astype(str).radd("seed " if part == "seed" else "") for part in told]
    names = pd.concat(words, axis=1).agg(", ".join, axis=1)
    again = names.groupby(names).cumcount()
    return pd.Series(names + [f" ({place + 1})" if place else "" for place in again])


def _overlap(
    first: Sequence[LayerMask], second: Sequence[LayerMask]
) -> dict[str, float | int] | None:
    """None where the two are not of the same layers, or keep nothing."""
    if [(one.layer, one.shape) for one in first] != [(one.layer, one.shape) for one in second]:
        return None
    pairs = list(zip(first, second, strict=True))
    bits = ((np.frombuffer(a.bits, np.uint8), np.frombuffer(b.bits, np.uint8)) for a, b in pairs)
    both = sum(int(np.bitwise_count(one & other).sum()) for one, other in bits)
    expected = sum(a.kept * b.kept / a.total for a, b in pairs)
    kept = sum(a.kept for a, _ in pairs)
    either = kept + sum(b.kept for _, b in pairs)
    if not kept:
        return None
    iou, chance = both / (either - both), expected / (either - expected)
    found = {"both": both, "share": both / kept, "iou": iou, "chance": chance}
    return found | {"lift": iou / chance if chance else math.nan}


def _matrix(rows: pd.DataFrame, measure: str) -> go.Heatmap:
    """The matrix of one density; tickets across have the numbers of those down."""
    names = list(dict.fromkeys(rows["a"]))
    known = {frozenset((row.a, row.b)): row for row in tuples(rows)}
    cells = [[known.get(frozenset((a, b))) for b in names] for a in names]
    values = [
        [math.nan if cell is None else getattr(cell, measure) for cell in row] for row in cells
    ]
    top = 1.0 if measure == "iou" else max(float(rows["lift"].max()), 2.0)
    scaled = values if measure == "iou" else np.log10(np.maximum(values, 1.0))
    return cell_map(
        [str(place + 1) for place in range(len(names))],
        [in_lines(f"{place + 1}: {name}", LABEL_WIDTH) for place, name in enumerate(names)],
        scaled,
        ends=(0, top if measure == "iou" else math.log10(top)),
        text=[["" if math.isnan(value) else _short(value) for value in row] for row in values],
        customdata=[[_said(cell) for cell in row] for row in cells],
        hovertemplate=HOVER,
    )


def _short(value: float) -> str:
    """Two digits, which fit into a cell."""
    return f"{value:.2f}".lstrip("0") if value < 0.995 else f"{value:.2g}"


def _said(row: Any) -> list[float]:
    """What `HOVER` says of a pair, in short numbers."""
    if row is None:
        return []
    return [float(f"{value:.3g}") for value in (row.iou, row.chance, row.lift, 100 * row.share)]


PART = Part(label="Overlap", names={"overlap"}, sections=sections, kinds={*KINDS})
