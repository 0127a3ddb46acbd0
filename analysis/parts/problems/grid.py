"""Restorations by sparsity: a row a method, a column a density, as papers show them."""

import base64
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from ...charts.style import PALETTE, plain
from ...page.gallery import SHARED
from ...rows.choosing import evenly, leading_seed
from ...rows.naming import tuples
from ...rows.texts import density_text

MOST_DENSITIES = 7
MOST_METHODS = 6

ROLES = {"clean": "truth", "measured": "measurement"}
"""What the first columns show."""

CAPTION = 0.13
"""The height below each picture for its words, in heights of a picture."""

Pngs = Mapping[tuple[str, int, str, str], bytes]
"""Pictures by trial, level, image and role."""


def grid_fits(fits: pd.DataFrame) -> pd.DataFrame:
    """The rows of one problem that its grid shows: of one seed, evenly down the densities."""
    own = leading_seed(fits)
    kept = sorted(set(own["kept"]), reverse=True)
    own = own[own["kept"].isin(evenly(kept, MOST_DENSITIES))]
    sparse = own.loc[own["kept"] < own["total"], "method"]
    methods = list(sparse.cat.remove_unused_categories().cat.categories)[:MOST_METHODS]
    return own[own["method"].isin(methods) | (own["kept"] == own["total"])]


def grid_pngs(stored: pd.DataFrame) -> Pngs:
    """The pictures of rows of `reconstructions`."""
    return {
        (row.trial_id, row.level, row.image, row.role): bytes(row.png) for row in tuples(stored)
    }


def grid_figure(fits: pd.DataFrame, pngs: Pngs, which: str = "selected") -> go.Figure:
    """The pictures of `grid_fits` at one of the three steps, each with its PSNR.

    Above them are the truth, the measurement and the dense network's restoration. A fit without a
    stored picture leaves its place empty.
    """
    dense = fits[fits["kept"] == fits["total"]].head(1)
    sparse = fits[fits["kept"] < fits["total"]]
    densities = sorted(set(sparse["density"]), reverse=True)
    rows = [
        ("", [*_shared(dense, pngs), *_cells(dense, pngs, which)]),
        *(
            (str(method), _in_columns(list(_cells(own, pngs, which)), own, densities))
            for method, own in sparse.groupby("method", observed=True)
        ),
    ]
    columns = max(len(cells) for _, cells in rows)
    figure = go.Figure(layout=_look(len(rows), columns))
    for place, (method, cells) in enumerate(rows):
        for column, (source, words) in enumerate(cells):
            _put(figure, column, -place * (1 + CAPTION), source, words)
        figure.add_annotation(
            x=-0.06,
            y=-place * (1 + CAPTION) - 0.5,
            text=plain(method),
            textangle=-90,
            showarrow=False,
            xanchor="right",
        )
    return figure


def _shared(dense: pd.DataFrame, pngs: Pngs) -> Iterator[tuple[str, str]]:
    """The truth and the measurement, as far as they are stored."""
    for fit in tuples(dense):
        for role in SHARED:
            own = (png for key, png in pngs.items() if key[2:] == (fit.image, role))
            png = next(own, None)
            psnr = f", {fit.psnr_measured_db:.2f} dB" if role == "measured" else ""
            if png:
                yield _uri(png), f"{ROLES[role]}{psnr}"


def _cells(fits: pd.DataFrame, pngs: Pngs, which: str) -> Iterator[tuple[str, str]]:
    """Each fit's picture, and its density with its PSNR."""
    for fit in tuples(fits.sort_values("kept", ascending=False, kind="stable")):
        png = pngs.get((fit.trial_id, fit.level, fit.image, which))
        psnr = getattr(fit, f"psnr_{which}_db")
        name = "dense" if fit.kept == fit.total else density_text(fit.density)
        yield _uri(png) if png else "", name if pd.isna(psnr) else f"{name}: {psnr:.2f} dB"


def _in_columns(
    cells: Sequence[tuple[str, str]], fits: pd.DataFrame, densities: Sequence[float]
) -> list[tuple[str, str]]:
    """The cells below their density; those of densities without a fit are empty."""
    own = dict(zip(sorted(fits["density"], reverse=True), cells, strict=True))
    return [own.get(density, ("", "")) for density in densities]


def _uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _put(figure: go.Figure, x: float, y: float, source: str, words: str) -> None:
    """A picture with its top left corner there, and its words below."""
    if source:
        figure.add_layout_image(
            source=source, xref="x", yref="y", x=x, y=y, sizex=0.96, sizey=0.96, sizing="contain"
        )
    if words:
        figure.add_annotation(
            x=x + 0.48, y=y - 0.97, text=plain(words), showarrow=False, yanchor="top", font_size=10
        )


def _look(rows: int, columns: int) -> dict[str, Any]:
    hidden = {"visible": False, "fixedrange": True}
    height = rows * (1 + CAPTION)
    return {
        "xaxis": {**hidden, "range": [-0.25, columns]},
        "yaxis": {**hidden, "range": [-height, 0.02], "scaleanchor": "x"},
        "paper_bgcolor": PALETTE["paper"],
        "plot_bgcolor": PALETTE["paper"],
        "font": {"family": "system-ui, sans-serif", "color": PALETTE["ink"]},
        "meta": {"proportion": (height + 0.02) / (columns + 0.25)},
    }
