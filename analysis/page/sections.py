"""The parts of a page beside the frontiers: verdicts, sizes, transfers, classifiers, searches."""

import json
from collections.abc import Iterator, Sequence
from html import escape
from typing import Any

import pandas as pd

from ..charts.style import BUTTONS
from ..parts.classification import PLOT, classification_figure, classification_table
from ..parts.search import (
    FIXED,
    OPEN,
    STATES,
    front_figure,
    front_table,
    goals_of,
    pair_table,
    search_table,
    value_text,
)
from ..parts.size import count_text, size_figure, sizes_of
from ..parts.transfer import MATRIX, transfer_figure, transfers_of
from ..parts.verdicts import MARGIN_DB, matching_of
from ..rows.choosing import most_frequent
from ..rows.naming import grouped, tuples
from ..rows.points import density_text, sample_text
from ..statistics.aggregate import ladder_row
from .html import Section, chart, controls, dropdown, mean_text, number_table

VERDICT_NOTE = f"""
Every fit is paired with the dense fit of the same image, noise and initial weights, at the selected
step. A density is <i>shown</i> to match if it, and all above it, are not worse by {MARGIN_DB:g} dB
or more; it is <i>refuted</i> if it, and all below it, are worse by more. Both are one-sided t tests
at 5 % over images, seeds averaged first; between the two nobody knows. With a single image the
sample is its seeds, and the verdict is about that image alone. Each row is tested by itself: among
twenty methods just at the margin, one is expected to be shown by chance.
"""

SIZE_NOTE = """
Parameters are all that the network has left: weights, biases and normalisation. Points are means
over seeds, bars their Student-t intervals, cut off where they are very wide. The lines of sparse
networks begin at the dense one.
"""

TRANSFER_NOTE = """
In a cell: PSNR of the transferred ticket − that of the native one, which the same method found on
the target itself, at the same density; the mean over seeds. Blue is better than native, orange is
worse. The diagonal is outlined: where tickets did not travel back to where they come from, it has
the native ticket's own PSNR in dB. Point at a cell, or tap it, for intervals and the dense network.
"""

TRANSFER_NUMBERS = """
Mean PSNR in dB at the selected step, and the mean difference to the native ticket and to the dense
fit from the same initial weights, over seeds; in brackets Student-t intervals.
"""

TRAVELS = {
    "mask_and_weights": "mask and weights travel",
    "mask": "the mask travels, weights are drawn afresh",
    "layer_densities": "only the densities of the layers travel",
}

CLASSIFICATION_NOTE = """
Accuracy on the held-out test set: selected is at the epoch that validation chose, final after the
last. Points are means over seeds, bars their Student-t intervals, cut off where they are very wide.
"""

SEARCH_NOTE = """
Each mark is a point of the search, its values means over its trials and their images at the level
that the axis names. The line is the best that was found. The best of many, picked by these very
values, are candidates for a comparison on equal terms, not its result. Point at a mark, or tap it,
for its settings.
"""

FRONT_NUMBERS = """
The points that no other complete point is as good as in all objectives and better in one, best
first in the first. Columns are the objectives, then the searched fields.
"""

BEST_NUMBERS = "The best complete point: the objective, then the searched fields."


MOST_COMPARISONS = 12
"""Of networks by size that have a part of a page each; the explorer has all."""


def verdict_sections(points: pd.DataFrame) -> Iterator[Section]:
    """Down to which density each method matches dense; nothing where no ticket was fitted.

    `points`, here and below, are `described_points`.
    """
    table = matching_of(points)
    if table.empty:
        return
    heads = ["Study", "Method", "Verdict", "Sample", "Shown", "Crosses", "Refuted", "Sparsest"]
    numbers = number_table("Verdicts", VERDICT_NOTE, heads, map(_verdict_row, tuples(table)))
    yield Section(
        name="verdicts", title="Verdicts", body=numbers, chart="chart-verdicts", figure=None
    )


def size_sections(points: pd.DataFrame) -> Iterator[Section]:
    """One per image and task on which several priors have a PSNR, at most `MOST_COMPARISONS`."""
    table = sizes_of(points)
    table = table[table.groupby("comparison", observed=True)["n"].transform("any")]
    shown = most_frequent(table["comparison"], MOST_COMPARISONS)
    left = table["comparison"].nunique() - len(shown)
    more = f"<p>{left:,} more such comparisons are in the explorer alone.</p>" if left else ""
    table = table[table["comparison"].isin(shown)]
    for place, (comparison, rows) in enumerate(table.groupby("comparison", observed=True)):
        heads = ["Network and method", "Parameters", "Density", "Selected", "Peak", "Final", "n"]
        groups = grouped(rows, "series", "network", "kept_all")
        name = f"size-{place}"
        yield Section(
            name=f"by-{name}",
            title=f"Networks by size, {comparison}",
            body=("" if place else more)
            + controls(f"which-{name}", "PSNR shown", BUTTONS)
            + chart(name, "PSNR against parameters", SIZE_NOTE, rows=rows["series"].nunique())
            + number_table(
                "Mean PSNR by network and size",
                f"Mean PSNR in dB over seeds. {sample_text(rows)}.",
                heads,
                map(_size_row, groups),
            ),
            chart=name,
            figure=size_figure(rows),
        )


def transfer_sections(points: pd.DataFrame) -> Iterator[Section]:
    """One per network, method and travels that went elsewhere than where tickets come from."""
    table = transfers_of(points)
    networks = table["network"].nunique()
    groups = table.groupby(list(MATRIX), observed=True)
    away = [(key, rows) for key, rows in groups if not rows["own"].all() and rows["n"].any()]
    for place, ((network, method, travels), rows) in enumerate(away):
        title = f"Transfers of {method}, {TRAVELS.get(str(travels), travels)}"
        name = f"transfer-{place}"
        yield Section(
            name=f"of-{name}",
            title=f"{title}: {network}" if networks > 1 else title,
            body=_matrix(rows, name) + _transfer_numbers(rows),
            chart=name,
            figure=transfer_figure(rows) if _comparable(rows) else None,
        )


def classification_sections(trials: pd.DataFrame, levels: pd.DataFrame) -> Iterator[Section]:
    """One per problem of classifiers."""
    table = classification_table(trials, levels)
    for place, (problem, rows) in enumerate(table.groupby("problem", observed=True)):
        name = f"accuracy-{place}"
        drawn = rows["n"].any()
        groups = rows.groupby(["method", "kept"], observed=True, sort=False)
        figure = controls(f"which-{name}", "Accuracy shown", PLOT.buttons) + chart(
            name, "Accuracy against density", CLASSIFICATION_NOTE, rows=rows["method"].nunique()
        )
        heads = ["Method", "Density", "Kept", "Selected", "Final", "Seeds", "Note"]
        said = f"Mean test accuracy. {sample_text(rows)}." if drawn else ""
        numbers = [ladder_row(group, ".4f", unknown="accuracy") for _, group in groups]
        yield Section(
            name=f"of-{name}",
            title=str(problem),
            body=(figure if drawn else "")
            + number_table("Mean accuracy by method and density", said, heads, numbers),
            chart=name,
            figure=classification_figure(rows) if drawn else None,
        )


def search_sections(points: pd.DataFrame) -> Iterator[Section]:
    """One per search of the store's view `points`."""
    names = points.groupby("search")["search_id"].nunique().to_dict()
    for place, ((search, search_id), own) in enumerate(points.groupby(["search", "search_id"])):
        goals, table = goals_of(own), search_table(own)
        name = f"search-{place}"
        title = f"Search {search}" + (f" ({search_id})" if names[search] > 1 else "")
        valued = table[[goal.name for goal in goals]].notna().all(axis=1).any()
        figure = front_figure(own) if valued and len(goals) < 3 else None
        label = "What the search found; the best points are in the table below"
        drawn = chart(name, label, SEARCH_NOTE, rows=3) if figure else _no_plane(own, len(goals))
        yield Section(
            name=f"of-{name}",
            title=title,
            body=f"<p>{escape(_searched(own, table))}</p>{drawn}{_front_numbers(own)}",
            chart=name,
            figure=figure,
        )


def _searched(points: pd.DataFrame, table: pd.DataFrame) -> str:
    """What was sought, and how far it has come."""
    goals = goals_of(points)
    aims = "; ".join(f"{goal.direction} {goal.words}" for goal in goals)
    fields = ", ".join(json.loads(points["params"].iloc[0]))
    states = table["state"].value_counts()
    counts = ", ".join(f"{states[s]} {s}" for s in (*STATES, OPEN) if s in states)
    best = f"{table['pareto'].sum()} on the front" if len(goals) > 1 else ""
    said = f"Aim: {aims}. Searched: {fields}. Points: {len(table)}, of which {counts}"
    return f"{said}; {best}." if best else f"{said}."


def _no_plane(points: pd.DataFrame, goals: int) -> str:
    """What stands for a figure of three or more objectives; or that no point has values yet."""
    if goals < 3:
        return "<p>No point has values yet.</p>"
    pairs = "; ".join(
        f"{row.points} by {row.first} and {row.second}" for row in tuples(pair_table(points))
    )
    return (
        f"<p>A plane shows two objectives, and a point that looks beaten in it may be the best in "
        f"another, so there is no figure of these {goals}. Taken two at a time, as many points "
        f"would be on the front: {escape(pairs)}.</p>"
    )


def _front_numbers(points: pd.DataFrame) -> str:
    front = front_table(points)
    goals = {goal.name: goal for goal in goals_of(points)}
    fields = [name for name in front.columns if name not in {*FIXED, *goals}]
    cells = [
        [
            str(row["number"]),
            *(goal.text(row[name]) for name, goal in goals.items()),
            *(value_text(row[name]) for name in fields),
        ]
        for row in front.to_dict("records")
    ]
    note = FRONT_NUMBERS if len(goals) > 1 else BEST_NUMBERS
    return number_table("Points on the front", note, ["Point", *goals, *fields], cells)


def _size_row(group: Sequence[Any]) -> Sequence[str]:
    first = group[0]
    return [
        first.series,
        count_text(first.kept_all),
        density_text(first.density),
        *(mean_text(row.mean_db, row.low_db, row.high_db) for row in group),
        str(first.n),
    ]


def _matrix(rows: pd.DataFrame, name: str) -> str:
    """Controls and figure, or why there is none."""
    if not _comparable(rows):
        return "<p>The targets have no tickets of their own to compare with.</p>"
    figure = transfer_figure(rows)
    choice = figure.layout.updatemenus[1]
    densities = [button.label for button in choice.buttons]
    height = rows["source"].nunique() * 2
    return (
        f'<div class="controls">{controls(f"which-{name}", "PSNR shown", BUTTONS)}'
        f"{dropdown('Density', densities, chosen=choice.active, menu=1)}</div>"
        + chart(name, "Differences of transferred to native tickets", TRANSFER_NOTE, rows=height)
    )


def _comparable(rows: pd.DataFrame) -> bool:
    """Whether a ticket that went elsewhere meets a native one there."""
    return bool(rows.loc[~rows["own"], "n_native"].any())


def _transfer_numbers(rows: pd.DataFrame) -> str:
    heads = ["Found on", "Fitted on", "Density", "PSNR", "To native", "To dense", "n"]
    selected = rows[rows["which"] == "selected"]
    cells = [
        [
            str(row.source),
            str(row.target),
            density_text(row.density),
            mean_text(row.mean_db, float("nan"), float("nan")),
            mean_text(row.to_native_db, row.to_native_low_db, row.to_native_high_db, "+.2f"),
            mean_text(row.to_dense_db, row.to_dense_low_db, row.to_dense_high_db, "+.2f"),
            str(row.n),
        ]
        for row in tuples(selected)
    ]
    return number_table("Transfers by source, target, density", TRANSFER_NUMBERS, heads, cells)


def _verdict_row(row: Any) -> list[str]:
    sample = f"{row.n} {row.unit}{'s' if row.n > 1 else ''}"
    if row.missing:
        sample += f", {row.missing} without PSNR"
    found = (row.shown, row.estimate, row.refuted, row.least)
    densities = ["–" if pd.isna(density) else density_text(density) for density in found]
    return [row.study, row.method, row.verdict, sample, *densities]
