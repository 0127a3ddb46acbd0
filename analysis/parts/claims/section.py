"""The section about claims: a line for each, and where its interval lies."""

from collections.abc import Iterator
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...charts.style import OKABE_ITO, PALETTE, axis_lines, layout, plain, spread
from ...page.content import Content, Part
from ...page.section import Figure, Section, table_of
from ...rows.naming import tuples
from ...rows.texts import tested_text
from ..differences import difference_cell
from .stated import StatedStore
from .table import claims_table

COLOURS = {"holds": OKABE_ITO[2], "does not": OKABE_ITO[1], "cannot be told": PALETTE["muted"]}
SYMBOLS = {"holds": "circle", "does not": "x", "cannot be told": "circle-open"}
"""How a verdict looks, in colour and without."""

EDGE_DB = 3.0
"""What is beyond stands at the edge with its number: a solver that loses thirteen decibels would
hide the tenths that most claims are about."""

NOTE = """
Each claim is about pairs of fits of the same image, task and seed; seeds are averaged first, and
images are the sample. Figures are mean differences in dB with intervals, each by itself, or shares
of images. Verdicts are corrected for the number of all rows (Holm 1979). A fit that is worse than
its measurement counts as the measurement; pairs of which neither fit restores anything, and pairs
with an unfinished fit, are left out and counted. Where tickets move between images, sources and
targets are crossed random effects.
"""


def sections(shown: Content) -> Iterator[Section]:
    """Every claim with its verdict; nothing where none is stated."""
    if not isinstance(shown.store, StatedStore):
        return
    found = claims_table(shown.store.reader, shown.store.claims)
    if found.empty:
        return
    table = table_of(tuples(found), CELLS, name="claims", label="Claims and verdicts", note=NOTE)
    yield Section(name="claims", title="Claims", blocks=(*_figures(found), table))


def _figures(found: pd.DataFrame) -> Iterator[Figure]:
    rows = found[(found["test"] != "works") & found["mean"].notna()]
    if rows.empty:
        return
    yield Figure(
        name="claims",
        place="claims",
        label="Mean differences of claims with intervals, by verdict",
        note="Filled circles hold, crosses do not, open circles cannot be told. Lines are "
        f"intervals, each by itself. What is beyond {EDGE_DB:g} dB has its number at the edge. The "
        "names are those of the table below.",
        lines=1,
        figure=claims_figure(rows),
        rows=len(rows),
    )


def claims_figure(rows: pd.DataFrame) -> go.Figure:
    """The mean difference and interval of each row of a `claims_table`, the first on top."""
    figure = go.Figure(layout=layout(""))
    places = [*range(len(rows), 0, -1)]
    for word, colour in COLOURS.items():
        own = [
            (place, row)
            for place, row in zip(places, tuples(rows), strict=True)
            if row.verdict == word
        ]
        if own:
            figure.add_trace(_trace(word, colour, own))
    seen = rows[["mean", "low", "high"]].clip(-EDGE_DB, EDGE_DB).to_numpy().ravel()
    figure.update_layout(
        xaxis={
            "title": {"text": "first − second, dB"},
            "zeroline": True,
            "range": spread([0.0, *seen]),
            **axis_lines(),
        },
        yaxis={
            "tickvals": places,
            "ticktext": [f"{row.claim}, {row.by}" for row in tuples(rows)],
            "range": [0.4, len(rows) + 0.6],
        },
    )
    return figure


def _trace(word: str, colour: str, own: list[tuple[int, Any]]) -> go.Scatter:
    rows = [row for _, row in own]
    return go.Scatter(
        x=[max(-EDGE_DB, min(EDGE_DB, row.mean)) for row in rows],
        y=[place for place, _ in own],
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [_length(row, row.high) for row in rows],
            "arrayminus": [_length(row, row.low) for row in rows],
            "color": colour,
        },
        mode="markers+text",
        name=word,
        marker={"color": colour, "symbol": SYMBOLS[word], "size": 9},
        text=[_beyond_text(row.mean) for row in rows],
        textposition=[f"middle {'left' if row.mean > 0 else 'right'}" for row in rows],
        customdata=[
            "<br>".join([plain(row.says), _figure_text(row), plain(_verdict_text(row))])
            for row in rows
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )


def _beyond_text(mean: float) -> str:
    """What stands beside a mean that is drawn at the edge: its number, and an arrow to it."""
    if abs(mean) <= EDGE_DB:
        return ""
    return f"{mean:+.1f} →" if mean > 0 else f"← {mean:+.1f}".replace("-", "−")


def _length(row: Any, end: float) -> float | None:
    """One side of an interval; None where one run is all there is, or the mean is at the edge."""
    return None if pd.isna(end) or abs(row.mean) > EDGE_DB else abs(end - row.mean)


def _figure_text(row: Any) -> str:
    if row.n == 0:
        return "–"
    if row.test == "works":
        return f"{round(row.mean * row.n)} of {row.n} images"
    return difference_cell(row.mean, row.low, row.high, row.rounding)


def _sample_text(row: Any) -> str:
    counts = {"unfinished": row.unfinished, "neither restores": row.neither}
    if row.test != "works":
        counts["failed"] = row.failed
    return tested_text(row, counts)


def _verdict_text(row: Any) -> str:
    return f"{row.verdict}: {row.why}" if row.why else row.verdict


CELLS = {
    "Claim": lambda row: row.claim,
    "In words": lambda row: row.says,
    "By": lambda row: row.by,
    "Found": _figure_text,
    "Verdict": _verdict_text,
    "Sample": _sample_text,
    "Source": lambda row: row.source or "ours",
    "Limits": lambda row: row.limits,
}

PART = Part(label="Claims", names={"claims"}, sections=sections)
