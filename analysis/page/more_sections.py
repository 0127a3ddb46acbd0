"""The last parts of a page: curves of fits, layers and masks, cost and failures."""

from collections.abc import Collection, Iterator, Sequence
from html import escape
from typing import Any, Protocol

import pandas as pd

from lip_ray.columns import MEMORY_MB
from lip_ray.records import LayerMask

from ..parts.cost import cost_figure, cost_table, failure_reason_table, time_text
from ..parts.layers import (
    layer_choices,
    layer_figure,
    layer_table,
    layered_tickets,
    with_masks,
)
from ..parts.overlap import (
    MEASURES,
    MOST_TICKETS,
    overlap_densities,
    overlap_figure,
    overlap_table,
    overlap_tickets,
)
from ..parts.traces import (
    SCALES,
    chosen_density,
    trace_choices,
    trace_figure,
    traced_fits,
    traces_of,
)
from ..rows.identity import KINDS
from ..rows.naming import tuples
from ..rows.points import WHICH, described_points
from .html import Section, chart, controls, dropdown, number_table

MOST_PROBLEMS = 12
"""Have a figure of curves."""

MOST_NETWORKS = 4
"""Have a map of layers, and a matrix of overlaps."""

TRACED = [
    *("trial_id", "level", "image", "problem", "settings", "method", "reference", "seed", "kept"),
    *("total", "density", "outcome", "selected_step", "peak_step", "psnr_measured_db"),
    *(f"psnr_{which}_db" for which in WHICH),
]
"""Of points what their curves are shown with: few columns are sorted fast."""

TICKETS = [
    *("trial_id", "level", "network", "scene", "method", "image", "target_task_name", "seed"),
    *("kept", "total", "density"),
]
"""Of `pruned_points` what their masks are shown with."""

MOST_REASONS = 30
"""Rows of the table of failures."""

TRACE_NOTE = """
One fit, step by step: PSNR rises while the network learns the image, and falls when it learns the
noise. Marks are the step that the stopping rule selected without the clean image, the best step,
and the last one; they are of the averaged output. Below is what the rule follows: it takes the
lowest. The dashed line is the dense network from the same initial weights.
"""

LAYER_NOTE = """
Each column is a ticket, each row a layer in the order of the network, by the shape of its weights:
how much of the layer is kept. Colours follow the logarithm; orange keeps nothing. One seed of each
method is shown. Point at a cell, or tap it, for the layer's name.
"""

OVERLAP_NOTE = """
Two tickets that keep equally many weights: the weights that both keep ÷ those that either keeps
(IoU, 1 for equal masks), or how many times that is what independent masks with the same density in
every layer would have. At 1 two tickets agree on how much each layer keeps, and on nothing else.
Point at a cell, or tap it, for all numbers.
"""

COST_NOTE = """
Hours of fitting, without pruning, evaluation and waiting, added up over fits also where several
shared a device.
"""

COST_NUMBERS = """
A fit is a level of a trial on all of its images. Core time is the time of fitting times the threads
of each fit, on CPUs only. Memory is the highest peak: of tensors on a GPU, of the whole process on
a CPU.
"""

FAILURE_NOTE = """
Fits that went wrong are rows of the store like all others. A trial that was given up is tried again
by the next run: the last column counts those that are incomplete to this day.
"""


class Masks(Protocol):
    """What reads a store: `lip_ray.store.Reader`, or frames and masks made by hand."""

    def frame(self, table: str, *, trials: Collection[str] | None = None) -> pd.DataFrame:
        """The table of that name, or its rows of these trials."""

    def masks(self, trial_id: str, level: int, /) -> tuple[LayerMask, ...] | None:
        """The mask of a level, None where none is stored."""


def more_sections(
    store: Masks,
    trials: pd.DataFrame,
    levels: pd.DataFrame,
    *,
    points: pd.DataFrame | None = None,
) -> Iterator[Section]:
    """Curves, layers and overlaps of what restores images; cost and failures of all.

    Which curves and masks are read is chosen before: a few of a store of any size. `points`
    are the `described_points` that are compared, by default all.
    """
    if points is None and _restoring(trials, levels):
        points = described_points(trials, levels)
    if points is not None and len(points):
        yield from trace_sections(store, points)
        tickets = _of_largest_networks(with_masks(points, trials)[TICKETS])
        yield from layer_sections(store, tickets)
        yield from overlap_sections(store, tickets)
    yield from cost_sections(trials, levels, store.frame("failures"))


def _restoring(trials: pd.DataFrame, levels: pd.DataFrame) -> bool:
    """Whether there is a fit of an image."""
    restoring = trials.loc[trials["kind"].isin(KINDS), "trial_id"].unique()
    return bool(levels["trial_id"].isin(restoring).any())


def trace_sections(store: Masks, points: pd.DataFrame) -> Iterator[Section]:
    """One per problem that has curves, at most `MOST_PROBLEMS`."""
    points = points.assign(settings=points["problem_settings"])[TRACED]
    fits = traced_fits(points, problems=MOST_PROBLEMS)
    table = traces_of(fits, store.frame("curves", trials=set(fits["trial_id"])))
    count = points["problem"].nunique()
    more = _chosen(count, MOST_PROBLEMS, "problems the {} with the most fits")
    for place, (problem, rows) in enumerate(table.groupby("problem", observed=True)):
        methods, densities = trace_choices(rows)
        name = f"trace-{place}"
        chosen = chosen_density(densities)
        choices = (
            dropdown("Method", methods, chosen=0, menu=0)
            + dropdown("Density", densities, chosen=chosen, menu=0)
            + controls(f"scale-{name}", "Steps", dict(zip(SCALES, SCALES, strict=True)), menu=1)
        )
        yield Section(
            name=f"of-{name}",
            title=f"Learn, then overfit: {problem}",
            body=f'<div class="controls">{choices}</div>'
            + chart(name, "PSNR of one fit by step", TRACE_NOTE + more, rows=7),
            chart=name,
            figure=trace_figure(rows),
        )


def layer_sections(store: Masks, tickets: pd.DataFrame) -> Iterator[Section]:
    """One per network of which the store has masks."""
    chosen = layered_tickets(tickets)
    table = layer_table(store.frame("masks", trials=set(chosen["trial_id"])), chosen)
    for place, (network, rows) in enumerate(table.groupby("network", observed=True)):
        scenes, methods = layer_choices(rows)
        name = f"layers-{place}"
        choices = dropdown("Image and task", scenes, chosen=0, menu=0)
        choices += dropdown("Method", methods, chosen=0, menu=0)
        lines = rows["position"].nunique() // 2
        yield Section(
            name=f"of-{name}",
            title=f"Density by layer: {network}",
            body=f'<div class="controls">{choices}</div>'
            + chart(name, "Density of each layer", LAYER_NOTE, rows=lines),
            chart=name,
            figure=layer_figure(rows),
        )


def overlap_sections(store: Masks, tickets: pd.DataFrame) -> Iterator[Section]:
    """One per network of which several tickets have equally many weights."""
    chosen = overlap_tickets(tickets)
    found = {
        (row.trial_id, row.level): store.masks(row.trial_id, row.level) for row in tuples(chosen)
    }
    known = {key: mask for key, mask in found.items() if mask is not None}
    table = overlap_table(chosen, known)
    for place, (network, rows) in enumerate(table.groupby("network", observed=True)):
        if not (rows["a"] != rows["b"]).any():
            continue
        name = f"overlap-{place}"
        choices = dropdown("Density", overlap_densities(rows), chosen=0, menu=0)
        choices += controls(f"measure-{name}", "Shown", MEASURES, menu=0)
        own = tickets[tickets["network"] == network].groupby("kept").size().max()
        more = _chosen(own, MOST_TICKETS, "tickets {}")
        yield Section(
            name=f"of-{name}",
            title=f"Overlap of masks: {network}",
            body=f'<div class="controls">{choices}</div>'
            + chart(name, "Overlap of masks", OVERLAP_NOTE + more, rows=rows["a"].nunique()),
            chart=name,
            figure=overlap_figure(rows),
        )


def _of_largest_networks(tickets: pd.DataFrame) -> pd.DataFrame:
    """Those of the `MOST_NETWORKS` networks that have the most."""
    counts = tickets["network"].value_counts(sort=False).sort_index()
    largest = counts.sort_values(ascending=False, kind="stable").index[:MOST_NETWORKS]
    return pd.DataFrame(tickets[tickets["network"].isin(largest)])


def _chosen(count: int, most: int, words: str) -> str:
    """That not all are shown, where that is so."""
    return f"Of {count} {words.format(most)} are shown." if count > most else ""


def cost_sections(
    trials: pd.DataFrame, levels: pd.DataFrame, failures: pd.DataFrame
) -> Iterator[Section]:
    """What all fits cost, and what went wrong."""
    table = cost_table(trials, levels)
    heads = ["Kind", "Prior", "Device", "Trials", "Fits", "Fitting", "Core time", "Memory"]
    figure = cost_figure(table)
    bars = table[["kind", "prior"]].drop_duplicates()
    drawn = chart("chart-cost", "Hours of fitting by kind and prior", COST_NOTE, rows=len(bars))
    costs = number_table(
        "Cost by kind, prior and device", COST_NUMBERS, heads, map(_cost_row, tuples(table))
    )
    yield Section(
        name="cost",
        title="Cost and failures",
        body=drawn + costs + _failures(failure_reason_table(levels, failures)),
        chart="chart-cost",
        figure=figure,
    )


def _failures(table: pd.DataFrame) -> str:
    """The reasons, the most frequent first."""
    if table.empty:
        return "<h3>Failures</h3><p>No fit went wrong, and no trial was given up.</p>"
    heads = ["Outcome", "Times", "Trials", "Incomplete", "Reason"]
    shown = table.head(MOST_REASONS)
    left = table.iloc[MOST_REASONS:]
    more = (
        f" {len(left)} rarer reasons, {left['count'].sum()} times in all, are left out."
        if len(left)
        else ""
    )
    note = escape(f"{FAILURE_NOTE.strip()}{more}")
    rows = map(_reason_row, tuples(shown))
    return number_table("What went wrong", note, heads, rows, title="Failures")


def _cost_row(row: Any) -> Sequence[str]:
    return [
        str(row.kind),
        str(row.prior),
        str(row.device),
        f"{row.trials:,}",
        f"{row.fits:,}",
        time_text(row.fit_s),
        "none" if pd.isna(row.core_s) else time_text(row.core_s),
        "none" if pd.isna(row.memory_mb) else f"{row.memory_mb:,.0f} {MEMORY_MB.unit}",
    ]


def _reason_row(row: Any) -> Sequence[str]:
    return [row.outcome, f"{row.count:,}", f"{row.trials:,}", f"{row.open:,}", row.reason]
